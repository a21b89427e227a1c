//! Damaged and arbitrary files: reading ends with a value or an error.

use super::{one_tensor, safetensors_bytes};
use crate::{
    hf::{WeightFiles, WeightFormat},
    tensor_source::TensorSource,
};
use proptest::prelude::*;
use std::{fs, sync::LazyLock};

static TORCH: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/hf_weights/");
    let names = ["every_kind.bin", "wrapped.pt", "f8.bin", "legacy.bin"];
    names
        .map(|name| fs::read(format!("{folder}{name}")).unwrap())
        .to_vec()
});

/// Reads everything that can be read.
fn exhaust(bytes: Vec<u8>, format: WeightFormat) {
    let n_bytes = bytes.len();
    let Ok(weights) = WeightFiles::from_bytes(bytes, format) else {
        return;
    };
    for name in weights.names() {
        let n_elements: usize = weights.shape(&name).unwrap().iter().product();
        assert!(n_elements <= n_bytes);
        if let Ok(floats) = weights.floats(&name) {
            assert_eq!(floats.len(), n_elements);
        }
        if let Ok(integers) = weights.integers(&name) {
            assert_eq!(integers.len(), n_elements);
        }
    }
}

/// Replaces some bytes, and cuts or keeps the end.
fn damaged(
    mut bytes: Vec<u8>,
    changes: &[(prop::sample::Index, u8)],
    cut: Option<prop::sample::Index>,
) -> Vec<u8> {
    for (place, byte) in changes {
        let place = place.index(bytes.len());
        bytes[place] = *byte;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damaged_pytorch_files_are_survived(
        file in 0_usize..4,
        changes in changes(),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        exhaust(damaged(TORCH[file].clone(), &changes, cut), WeightFormat::Torch);
    }

    #[test]
    fn damaged_safetensors_files_are_survived(
        changes in changes(),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        exhaust(damaged(one_tensor("w"), &changes, cut), WeightFormat::Safetensors);
    }

    #[test]
    fn arbitrary_headers_are_survived(
        dtype in prop::sample::select(vec!["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4"]),
        shape in prop::collection::vec(prop_oneof![0_u64..4, any::<u64>()], 0..4),
        offsets in (prop_oneof![0_u64..64, any::<u64>()], prop_oneof![0_u64..64, any::<u64>()]),
        data in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (start, end) = offsets;
        let header = format!(
            r#"{{"t":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}}}"#
        );
        exhaust(safetensors_bytes(&header, &data), WeightFormat::Safetensors);
    }
}
