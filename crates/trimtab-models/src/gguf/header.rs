//! The header: counts, metadata and tensor table, read in one pass over untrusted bytes.

use super::{
    GgufError, GgufTensor, GgufValue,
    cursor::Cursor,
    tensor::MIN_ENTRY_BYTES,
    value::{FromGguf, read_value},
};
use std::collections::{BTreeMap, HashSet};

pub(super) const MAGIC: [u8; 4] = *b"GGUF";
pub(super) const DEFAULT_ALIGNMENT: u32 = 32;
/// The longest key the format allows.
const MAX_KEY_BYTES: u64 = 65_535;
/// The least bytes a metadata entry takes: length of the key, type, a value of one byte.
const MIN_METADATA_BYTES: usize = 8 + 4 + 1;

/// Everything before the data.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) metadata: BTreeMap<String, GgufValue>,
    pub(super) tensors: Vec<GgufTensor>,
    /// Where the data begins. Invariant: at most the length of the file.
    pub(super) data_offset: usize,
}

impl Header {
    /// Reads the header of a file and checks that all tensors lie within it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(bytes);
        let version = read_version(&mut cursor, bytes)?;
        let n_tensors = cursor.count(MIN_ENTRY_BYTES, "tensors")?;
        let n_metadata = cursor.count(MIN_METADATA_BYTES, "metadata entries")?;
        let metadata = read_metadata(&mut cursor, n_metadata)?;
        let tensors = read_tensors(&mut cursor, n_tensors)?;
        let alignment = alignment(&metadata, bytes.len())?;
        let padded = (cursor.offset() as u64).checked_next_multiple_of(alignment);
        // A file without tensors need not be padded up to where its data would begin.
        let data_offset = padded.map_or(bytes.len(), |offset| bytes.len().min(offset as usize));
        let available = bytes.len() - data_offset;
        for tensor in &tensors {
            tensor.check_place(alignment, available)?;
        }
        refuse_overlaps(&tensors)?;
        Ok(Self {
            version,
            metadata,
            tensors,
            data_offset,
        })
    }
}

fn read_version(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Result<u32, GgufError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(GgufError::BadMagic {
            found: bytes[..bytes.len().min(4)].to_vec(),
        });
    }
    cursor.take(MAGIC.len() as u64, "the magic")?;
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => Ok(version),
        swapped if (1..=0xff).contains(&swapped.swap_bytes()) => Err(GgufError::BigEndian),
        other => Err(GgufError::UnsupportedVersion(other)),
    }
}

fn read_metadata(
    cursor: &mut Cursor<'_>,
    n_metadata: usize,
) -> Result<BTreeMap<String, GgufValue>, GgufError> {
    let mut metadata = BTreeMap::new();
    for _ in 0..n_metadata {
        let key = cursor.name(MAX_KEY_BYTES, "a metadata key")?;
        let value = read_value(cursor, key)?;
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(GgufError::DuplicateKey(key.to_owned()));
        }
    }
    Ok(metadata)
}

fn read_tensors(cursor: &mut Cursor<'_>, n_tensors: usize) -> Result<Vec<GgufTensor>, GgufError> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for _ in 0..n_tensors {
        let tensor = GgufTensor::read(cursor)?;
        if !names.insert(tensor.name.clone()) {
            return Err(GgufError::DuplicateTensor(tensor.name));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn alignment(metadata: &BTreeMap<String, GgufValue>, n_bytes: usize) -> Result<u64, GgufError> {
    let key = "general.alignment";
    let Some(value) = metadata.get(key) else {
        return Ok(DEFAULT_ALIGNMENT.into());
    };
    let Some(alignment) = u64::from_gguf(value) else {
        let (expected, found) = (u64::EXPECTED, value.type_name());
        return Err(GgufError::WrongType {
            key: key.to_owned(),
            expected,
            found,
        });
    };
    if !alignment.is_power_of_two() || alignment > n_bytes as u64 {
        return Err(GgufError::InvalidAlignment(alignment));
    }
    Ok(alignment)
}

/// Shared bytes have no use, and would let a small file ask for unbounded memory.
fn refuse_overlaps(tensors: &[GgufTensor]) -> Result<(), GgufError> {
    let mut by_offset: Vec<&GgufTensor> = tensors.iter().collect();
    by_offset.sort_by_key(|tensor| tensor.offset);
    for (first, second) in by_offset.iter().zip(by_offset.iter().skip(1)) {
        if first.offset + first.n_bytes.unwrap_or(0) > second.offset {
            let (first, second) = (first.name.clone(), second.name.clone());
            return Err(GgufError::OverlappingTensors { first, second });
        }
    }
    Ok(())
}
