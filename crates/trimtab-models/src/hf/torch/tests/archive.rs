//! Zip archives.

use super::{Zip, archive, dict, parsed, stopped, tensor};
use crate::{
    hf::{ArchiveError, TorchError},
    tensor_source::TensorSource,
};

#[test]
fn archives_that_are_damaged_are_named() {
    let pickle = stopped(dict(&[("t", tensor(0, &[1], &[1]))]));
    let good = archive(pickle.clone()).bytes();
    assert!(parsed(good.clone()).is_ok());
    let is = |bytes: Vec<u8>, expected: &str| {
        let error = parsed(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    };
    is(vec![], "does not begin and end like a zip archive");
    is(
        b"hello".repeat(99),
        "does not begin and end like a zip archive",
    );
    is(
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(),
        "from before version 1.6",
    );
    is(
        archive(&pickle).with_method(8),
        "is compressed or encrypted",
    );
    is(
        Zip(vec![("a/version", vec![])]).bytes(),
        "no member `data.pkl`",
    );
    let pickles = || vec![("a/data.pkl", vec![]), ("b/data.pkl", vec![])];
    is(Zip(pickles()).bytes(), "more than one `data.pkl`");
    is(
        Zip(vec![("data.pkl", vec![]), ("data.pkl", vec![])]).bytes(),
        "two members `data.pkl`",
    );
    let big = ("a/byteorder", b"big".to_vec());
    is(
        Zip(vec![("a/data.pkl", pickle), big]).bytes(),
        "is big-endian",
    );
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let end = good.len() - 22;
    let start = u32::from_le_bytes(good[end + 16..end + 20].try_into().unwrap()) as usize;
    is(
        with(end + 16, &[0xff; 4]),
        "an entry of the directory at byte 4294967295",
    );
    is(with(end + 10, &[3, 0]), "does not begin as it should");
    is(
        with(start + 20, &[0xff, 0xff, 0xff, 0x7f]),
        "a member at byte",
    );
    is(with(start + 24, &[0xff; 4]), "an entry of the directory");
    is(with(start + 42, &[0xff, 0xff, 0, 0]), "a member at byte");
    is(with(start + 46, &[0xff]), "is not UTF-8");
    is(
        with(0, b"XX"),
        "a member at byte 0 does not begin as it should",
    );
}

#[test]
fn a_directory_of_the_64_bit_form_is_found() {
    let mut file = archive(stopped(dict(&[("t", tensor(0, &[1], &[1]))]))).bytes();
    let end = file.split_off(file.len() - 22);
    let (n_members, start) = (2_u64, u32::from_le_bytes(end[16..20].try_into().unwrap()));
    let end64 = file.len() as u64;
    let wide = |end64: u64, start: u64| {
        let mut file = file.clone();
        file.extend(b"PK\x06\x06");
        file.extend([0; 28]);
        file.extend(n_members.to_le_bytes());
        file.extend([0; 8]);
        file.extend(start.to_le_bytes());
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(end64.to_le_bytes());
        file.extend([0; 4]);
        file.extend(&end);
        parsed(file)
    };
    assert_eq!(wide(end64, start.into()).unwrap().names(), ["t"]);
    let error = wide(u64::MAX, start.into()).unwrap_err();
    assert!(
        matches!(error, TorchError::Archive(ArchiveError::Truncated { .. })),
        "{error}"
    );
    let error = wide(end64, u64::MAX - 5).unwrap_err();
    assert!(
        matches!(error, TorchError::Archive(ArchiveError::Truncated { .. })),
        "{error}"
    );
}
