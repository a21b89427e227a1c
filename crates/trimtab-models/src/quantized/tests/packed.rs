//! Into the kernels' format and back.

use crate::quantized::{GridParts, GridWeight, Inexact};
use half::f16;
use proptest::prelude::*;
use trimtab_kernels::{PackedFormat, PackedView};

/// A weight whose codes, scales and zero points follow from `seed`.
pub(super) fn some_weight(
    shape: [usize; 2],
    bits: u32,
    group_size: usize,
    seed: u64,
) -> GridWeight {
    let [d_out, d_in] = shape;
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u32
    };
    let limit = 1 << bits;
    let n_scales = d_out * d_in.div_ceil(group_size);
    let parts = GridParts {
        d_out,
        d_in,
        bits,
        group_size,
        codes: (0..d_out * d_in).map(|_| (next() % limit) as u8).collect(),
        scales: (0..n_scales)
            .map(|_| f16::from_f32((next() % 1000 + 1) as f32 * 1e-4).to_f32())
            .collect(),
        // Middle to middle: distances of 8-bit codes then fit a signed byte.
        zero_points: (0..n_scales)
            .map(|_| {
                if bits > 4 {
                    1 << (bits - 1)
                } else {
                    (next() % limit) as i32
                }
            })
            .collect(),
        group_idx: None,
    };
    GridWeight::new(parts).unwrap()
}

fn packed_floats(weight: &GridWeight) -> (PackedFormat, Vec<f32>) {
    let (shape, bytes) = weight.to_packed().unwrap();
    let view = PackedView::new(shape, &bytes).unwrap();
    let mut values = vec![0.0; shape.d_out * shape.d_in];
    for (row_idx, row) in values.chunks_exact_mut(shape.d_in).enumerate() {
        view.dequantize_row_reference(row_idx, row);
    }
    let again = GridWeight::from_packed(view).unwrap();
    assert_eq!(again.dequantize(), values);
    (shape.format, values)
}

proptest! {
    #[test]
    fn the_packed_form_stands_for_the_same_floats(
        shape in [1_usize..5, 1_usize..400],
        bits in 2_u32..=8,
        group in 1_usize..5,
        seed in any::<u64>(),
    ) {
        let weight = some_weight(shape, bits, group * 64, seed);
        prop_assert_eq!(packed_floats(&weight).1, weight.dequantize());
    }
}

#[test]
fn one_group_a_row_may_be_wider_than_any_kernel_group() {
    let weight = some_weight([2, 9000], 4, 9000, 3);
    let (format, values) = packed_floats(&weight);
    assert_eq!(values, weight.dequantize());
    assert!(
        matches!(
            format,
            PackedFormat::Int4 {
                group_size: 4096,
                ..
            }
        ),
        "{format:?}"
    );
    let weight = some_weight([2, 18_432], 4, 9216, 3);
    let (format, values) = packed_floats(&weight);
    assert_eq!(values, weight.dequantize());
    assert!(
        matches!(
            format,
            PackedFormat::Int4 {
                group_size: 3072,
                ..
            }
        ),
        "{format:?}"
    );
}

#[test]
fn groups_of_32_are_joined_where_pairs_agree() {
    let mut parts = some_weight([1, 128], 4, 32, 5).into_parts();
    let error = GridWeight::new(parts.clone())
        .unwrap()
        .to_packed()
        .unwrap_err();
    assert_eq!(
        error,
        Inexact::Groups {
            row: 0,
            first: 0,
            last: 63
        }
    );
    parts.scales = vec![0.5, 0.5, 0.25, 0.25];
    parts.zero_points = vec![1, 1, 2, 2];
    let weight = GridWeight::new(parts).unwrap();
    assert_eq!(packed_floats(&weight).1, weight.dequantize());
}

#[test]
fn what_the_kernels_cannot_hold_says_why() {
    let with = |bits, change: &dyn Fn(&mut GridParts)| {
        let mut parts = some_weight([1, 128], bits, 64, 7).into_parts();
        change(&mut parts);
        GridWeight::new(parts).unwrap().to_packed().unwrap_err()
    };
    assert_eq!(with(4, &|parts| parts.scales[1] = 0.1), Inexact::Scale(0.1));
    assert_eq!(
        with(4, &|parts| parts.zero_points[0] = -1),
        Inexact::ZeroPoint(-1)
    );
    let far = with(8, &|parts| {
        parts.codes[0] = 255;
        parts.zero_points[0] = 0;
    });
    assert_eq!(
        far,
        Inexact::Distance {
            code: 255,
            zero_point: 0
        }
    );
    let sorted = with(4, &|parts| {
        parts.group_idx = Some((0..128).map(|channel| channel % 2).collect());
    });
    assert_eq!(
        sorted,
        Inexact::Groups {
            row: 0,
            first: 0,
            last: 63
        }
    );
}
