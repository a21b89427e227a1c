//! Damaged files: whatever bytes are changed, cut or inserted, reading ends with a value or an
//! error, and memory stays in proportion to the file.

use crate::gguf::{GgmlType, GgufArray, GgufFile, GgufValue, GgufWriter};
use proptest::prelude::*;

/// A small file with every kind of thing in it.
fn good_file() -> Vec<u8> {
    let writer = GgufWriter::new()
        .metadata("general.architecture", "llama")
        .metadata("general.alignment", 32_u32)
        .metadata(
            "tokenizer.ggml.tokens",
            vec!["a".to_owned(), "b".to_owned()],
        )
        .metadata("tokenizer.ggml.token_type", vec![1, 3])
        .metadata(
            "flags",
            GgufValue::Array(GgufArray::Bool(vec![true, false])),
        )
        .metadata("wide", GgufValue::U64(7));
    let elements = [0.5_f32; 64];
    let writer = writer
        .tensor("f32", &[2, 32], GgmlType::F32, &elements)
        .unwrap();
    let writer = writer
        .tensor("q8_0", &[2, 32], GgmlType::Q8_0, &elements)
        .unwrap();
    writer
        .tensor("q4_0", &[2, 32], GgmlType::Q4_0, &elements)
        .unwrap()
        .to_bytes()
}

#[derive(Clone, Debug)]
enum Damage {
    Set { place: usize, value: u8 },
    SetWord { place: usize, value: u64 },
    Cut { length: usize },
    Insert { place: usize, value: u8 },
    Remove { place: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 12));
    let extreme = prop_oneof![
        any::<u64>(),
        Just(u64::MAX),
        Just(1 << 60),
        Just(0),
        0_u64..64
    ];
    prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(place, value)| Damage::Set { place, value }),
        (place.clone(), extreme).prop_map(|(place, value)| Damage::SetWord { place, value }),
        place.clone().prop_map(|length| Damage::Cut { length }),
        (place.clone(), any::<u8>()).prop_map(|(place, value)| Damage::Insert { place, value }),
        place.prop_map(|place| Damage::Remove { place }),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let within = |place: usize| place % bytes.len();
    match *damage {
        Damage::Set { place, value } => {
            let place = within(place);
            bytes[place] = value;
        }
        Damage::SetWord { place, value } => {
            let place = within(place);
            let end = bytes.len().min(place + 8);
            bytes[place..end].copy_from_slice(&value.to_le_bytes()[..end - place]);
        }
        Damage::Cut { length } => {
            let length = within(length);
            bytes.truncate(length);
        }
        Damage::Insert { place, value } => {
            let place = within(place);
            bytes.insert(place, value);
        }
        Damage::Remove { place } => {
            let place = within(place);
            bytes.remove(place);
        }
    }
}

/// Bytes held for the metadata and the tensor table, by their own account.
fn held_bytes(file: &GgufFile) -> usize {
    let metadata = file.metadata().iter().map(|(key, value)| {
        let value = match value {
            GgufValue::String(text) => text.capacity(),
            GgufValue::Array(GgufArray::String(texts)) => texts.held_bytes(),
            GgufValue::Array(GgufArray::Bool(values)) => values.capacity(),
            GgufValue::Array(GgufArray::I32(values)) => values.capacity() * 4,
            _ => 0,
        };
        key.capacity() + value + size_of::<GgufValue>()
    });
    metadata.sum::<usize>() + file.tensors().len() * 128
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_damaged_file_gives_a_value_or_an_error(
        damages in prop::collection::vec(damage(), 1..6)
    ) {
        let mut bytes = good_file();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        if let Ok(file) = GgufFile::parse(&bytes) {
            prop_assert!(held_bytes(&file) <= 8 * bytes.len() + 1024);
            for tensor in file.tensors() {
                if let Ok(elements) = file.dequantize(&tensor.name) {
                    // The smallest type takes 84 bytes for 256 elements.
                    prop_assert!(elements.len() <= 4 * bytes.len());
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_after_a_good_beginning_give_a_value_or_an_error(
        n_tensors in 0_u64..4,
        n_metadata in 0_u64..4,
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(n_tensors.to_le_bytes());
        bytes.extend(n_metadata.to_le_bytes());
        bytes.extend(rest);
        let _ = GgufFile::parse(&bytes);
    }
}
