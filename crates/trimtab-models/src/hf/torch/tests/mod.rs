//! Pickles and archives written byte by byte: what is understood, and everything that is refused.

mod archive;
mod names;
mod pickle;
mod views;

use super::TorchError;
use crate::{
    hf::{WeightFileError, WeightFiles, WeightFormat},
    tensor_source::TensorSource,
};

/// Members of a zip archive, stored as they are.
struct Zip(Vec<(&'static str, Vec<u8>)>);

impl Zip {
    fn bytes(&self) -> Vec<u8> {
        self.with_method(0)
    }

    fn with_method(&self, method: u16) -> Vec<u8> {
        let (mut file, mut directory) = (vec![], vec![]);
        for (name, content) in &self.0 {
            let (start, n_bytes) = (file.len() as u32, content.len() as u32);
            let n_name = name.len() as u16;
            file.extend(b"PK\x03\x04");
            file.extend([0; 22]);
            file.extend(n_name.to_le_bytes());
            file.extend([0; 2]);
            file.extend(name.as_bytes());
            file.extend(content);
            directory.extend(b"PK\x01\x02");
            directory.extend([0; 6]);
            directory.extend(method.to_le_bytes());
            directory.extend([0; 8]);
            directory.extend(n_bytes.to_le_bytes());
            directory.extend(n_bytes.to_le_bytes());
            directory.extend(n_name.to_le_bytes());
            directory.extend([0; 12]);
            directory.extend(start.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let start = file.len() as u32;
        file.extend(directory);
        file.extend(b"PK\x05\x06\0\0\0\0");
        let n_members = (self.0.len() as u16).to_le_bytes();
        file.extend([n_members, n_members].concat());
        file.extend((file.len() as u32 - start).to_le_bytes());
        file.extend(start.to_le_bytes());
        file.extend([0; 2]);
        file
    }
}

/// An archive of this pickle and of a storage `0` of eight bytes: 0, 1, … 7.
fn archive(pickle: impl AsRef<[u8]>) -> Zip {
    let storage = (0..8).collect();
    Zip(vec![
        ("a/data.pkl", pickle.as_ref().to_vec()),
        ("a/data/0", storage),
    ])
}

fn parsed(bytes: Vec<u8>) -> Result<WeightFiles, TorchError> {
    match WeightFiles::from_bytes(bytes, WeightFormat::Torch) {
        Ok(weights) => Ok(weights),
        Err(WeightFileError::Torch(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

fn refused(pickle: impl AsRef<[u8]>) -> String {
    let error = parsed(archive(pickle).bytes()).unwrap_err();
    error.to_string()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x8c, text.len() as u8];
    bytes.extend(text.as_bytes());
    bytes
}

fn integer(integer: i64) -> Vec<u8> {
    let mut bytes = vec![0x8a, 8];
    bytes.extend(integer.to_le_bytes());
    bytes
}

fn integers(values: &[i64]) -> Vec<u8> {
    let items = values.iter().flat_map(|value| integer(*value));
    [b"(".to_vec(), items.collect(), b"t".to_vec()].concat()
}

/// The storage `0` of bytes.
fn storage(class: &str, key: &str, n_elements: i64) -> Vec<u8> {
    [
        b"(".to_vec(),
        text("storage"),
        format!("ctorch\n{class}\n").into_bytes(),
        text(key),
        text("cpu"),
        integer(n_elements),
        b"tQ".to_vec(),
    ]
    .concat()
}

fn tensor_of(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(),
        storage,
        integer(offset),
        integers(shape),
        integers(strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

fn tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    tensor_of(storage("ByteStorage", "0", 8), offset, shape, strides)
}

/// A dictionary with text keys, unfinished: `STOP` is left to the caller.
fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items = entries
        .iter()
        .flat_map(|(key, value)| [text(key), value.clone()].concat());
    [b"}(".to_vec(), items.collect(), b"u".to_vec()].concat()
}

fn stopped(body: Vec<u8>) -> Vec<u8> {
    [b"\x80\x02".to_vec(), body, b".".to_vec()].concat()
}

fn names(body: Vec<u8>) -> Result<Vec<String>, String> {
    let weights = parsed(archive(stopped(body)).bytes());
    weights
        .map(|weights| weights.names())
        .map_err(|error| error.to_string())
}
