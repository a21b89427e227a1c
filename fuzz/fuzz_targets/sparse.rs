//! Arbitrary bytes as an n:m sparse weight: reading ends with values or an error, never with a panic,
//! and what was read is packed to something that reads the same.
//!
//! The first four bytes choose float format, pattern and number of groups.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab_fuzz::sparse_pattern::{SparseFloat, SparsePattern};

fuzz_target!(|bytes: &[u8]| {
    let Some((&[values, kept, of, n_groups], stored)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let pattern = SparsePattern {
        values: [SparseFloat::F32, SparseFloat::F16, SparseFloat::Bf16][usize::from(values % 3)],
        kept: usize::from(kept),
        of: usize::from(of) + 1,
    };
    let n_values = usize::from(n_groups) * pattern.of;
    let Ok(dense) = pattern.unpack(n_values, stored) else {
        return;
    };
    let packed = pattern.pack(&dense).expect("it was read by the pattern");
    // Zeros may be kept in other places.
    assert_eq!(packed.len(), stored.len());
    let again = pattern.unpack(n_values, &packed).expect("it was packed");
    let is_same = dense
        .iter()
        .zip(&again)
        .all(|(a, b)| a == b || a | b == 0x80);
    assert!(is_same, "other values than before");
});
