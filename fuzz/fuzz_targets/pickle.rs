//! Arbitrary bytes as the pickle of a PyTorch file whose archive is good, so that all work goes into
//! the steps of the pickle.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab_fuzz::{
    hf::{WeightFiles, WeightFormat},
    read_all,
};

/// What the storage `0` holds.
const STORAGE: [u8; 64] = [1; 64];

fuzz_target!(|pickle: &[u8]| {
    let file = archive(&[("a/data.pkl", pickle), ("a/data/0", &STORAGE)]);
    let n_bytes = file.len();
    if let Ok(weights) = WeightFiles::from_bytes(file, WeightFormat::Torch) {
        read_all(&weights, n_bytes);
    }
});

/// A zip archive of members that are stored as they are.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (vec![], vec![]);
    for (name, content) in members {
        let (start, n_bytes) = (file.len() as u32, (content.len() as u32).to_le_bytes());
        let n_name = (name.len() as u16).to_le_bytes();
        file.extend(b"PK\x03\x04");
        file.extend([0; 22]);
        file.extend([n_name, [0; 2]].concat());
        file.extend([name.as_bytes(), content].concat());
        directory.extend(b"PK\x01\x02");
        directory.extend([0; 16]);
        directory.extend([n_bytes, n_bytes].concat());
        directory.extend(n_name);
        directory.extend([0; 12]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    let n_members = (members.len() as u16).to_le_bytes();
    file.extend([n_members, n_members].concat());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}
