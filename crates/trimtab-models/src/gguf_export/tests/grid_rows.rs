//! Packed rows as blocks: the same numbers bit for bit, or an error that says what does not fit.

use crate::{
    gguf::{GgmlType, GgufFile, GgufWriter},
    gguf_export::{
        Unmappable,
        grid_rows::{Minima, blocks_from_grid_row},
    },
};
use half::f16;
use trimtab_kernels::GridRow;

/// A row of codes below 16, groups of equal size.
fn row(group_size: usize, scales: &[f32], zero_points: &[u8]) -> GridRow {
    let n = group_size * scales.len();
    GridRow {
        codes: (0..n).map(|idx| (idx * 7 % 16) as i16).collect(),
        scales: scales.iter().map(|&scale| f16::from_f32(scale)).collect(),
        zero_points: zero_points.to_vec(),
        group_size,
    }
}

fn values(row: &GridRow) -> Vec<f32> {
    let value = |(idx, &code): (usize, &i16)| {
        let group = idx / row.group_size;
        row.scales[group].to_f32() * (f32::from(code) - f32::from(row.zero_points[group]))
    };
    row.codes.iter().enumerate().map(value).collect()
}

fn blocks(ggml_type: GgmlType, row: &GridRow, minima: Minima) -> Result<Vec<f32>, Unmappable> {
    let n = row.codes.len();
    let block = ggml_type.block().unwrap();
    let mut stored = vec![0; n / block.n_elements * block.n_bytes];
    blocks_from_grid_row(ggml_type, row, minima, &mut stored)?;
    let file = GgufWriter::new().stored_tensor("t", &[n], ggml_type, stored);
    let file = GgufFile::parse(&file.to_bytes()).unwrap();
    Ok(file.dequantize("t").unwrap())
}

#[track_caller]
fn check_exact(ggml_type: GgmlType, row: &GridRow) {
    let got = blocks(ggml_type, row, Minima::Exact).unwrap();
    assert_eq!(got, values(row));
}

#[track_caller]
fn check_refused(ggml_type: GgmlType, row: &GridRow) -> Unmappable {
    blocks(ggml_type, row, Minima::Exact).unwrap_err()
}

#[test]
fn q8_0_holds_every_code_of_both_widths() {
    check_exact(
        GgmlType::Q8_0,
        &row(64, &[0.1, -0.2, 0.0, 3e-6], &[0, 15, 3, 8]),
    );
    let mut int8 = row(128, &[0.07, 1.5], &[0, 0]);
    int8.codes = (0..=255).map(|idx| idx - 128).collect();
    check_exact(GgmlType::Q8_0, &int8);
}

#[test]
fn q4_0_holds_codes_within_eight_steps_of_zero() {
    check_exact(GgmlType::Q4_0, &row(64, &[0.1, 0.3], &[8, 8]));
    let mut shifted = row(64, &[0.1, 0.3], &[7, 0]);
    shifted.codes[..64].fill(14);
    shifted.codes[64..].fill(7);
    check_exact(GgmlType::Q4_0, &shifted);
    shifted.codes[70] = 8;
    assert!(matches!(
        check_refused(GgmlType::Q4_0, &shifted),
        Unmappable::Range {
            weight: 70,
            steps: 8,
            ..
        }
    ));
}

#[test]
fn q4_1_holds_minima_that_are_16_bit_floats() {
    check_exact(GgmlType::Q4_1, &row(64, &[0.25, 0.1, 0.1], &[15, 0, 8]));
    let odd = row(64, &[0.25, 0.1], &[15, 5]);
    let error = check_refused(GgmlType::Q4_1, &odd);
    assert!(
        matches!(error, Unmappable::Minimum { group: 1, .. }),
        "{error}"
    );

    // Half of the last place of an f16, of the minimum.
    let bound = 0.5 * 2.0_f32.powi(-11);
    let rounded = blocks(GgmlType::Q4_1, &odd, Minima::Rounded).unwrap();
    for (want, got) in values(&odd).iter().zip(rounded) {
        assert!((want - got).abs() <= bound, "{want} {got}");
    }
}

#[test]
fn q4_k_holds_groups_of_whole_blocks() {
    check_exact(
        GgmlType::Q4K,
        &row(256, &[0.1, -0.037, 0.0, 6e-8, 4096.0], &[15, 7, 3, 1, 13]),
    );
    check_exact(GgmlType::Q4K, &row(512, &[0.1], &[9]));
}

#[test]
fn q4_k_holds_smaller_groups_whose_scales_are_small_multiples() {
    let unit = 0.013;
    let scales = [1.0, 2.0, 7.0, 63.0].map(|factor| factor * f16::from_f32(unit).to_f32());
    // 63 times an f16 of eleven digits is none; one of few digits is.
    check_exact(
        GgmlType::Q4K,
        &row(64, &[0.25, 0.5, 1.75, 15.75], &[8, 4, 1, 0]),
    );
    check_refused(GgmlType::Q4K, &row(64, &scales, &[8; 4]));
}

#[test]
fn q4_k_refuses_what_six_bits_cannot_say() {
    for (scales, zero_points, what) in [
        ([1.0, 64.0, 1.0, 1.0], [0; 4], "the scales"),
        ([1.0, -1.0, 1.0, 1.0], [0; 4], "the scales"),
        ([0.1, 0.11, 0.12, 0.13], [8; 4], "the scales"),
        ([1.0, 32.0, 1.0, 1.0], [1, 15, 1, 1], "the minima"),
    ] {
        let error = check_refused(GgmlType::Q4K, &row(64, &scales, &zero_points));
        assert!(
            matches!(error, Unmappable::Factors { what: found, start: 0, end: 256 } if found == what),
            "{error}"
        );
    }
}

#[test]
fn scales_that_are_no_numbers_and_types_without_codes_are_refused() {
    let infinite = row(64, &[1.0, f32::INFINITY, 1.0, 1.0], &[8; 4]);
    for ggml_type in [
        GgmlType::Q8_0,
        GgmlType::Q4_0,
        GgmlType::Q4_1,
        GgmlType::Q4K,
    ] {
        let error = check_refused(ggml_type, &infinite);
        assert!(
            matches!(error, Unmappable::Scale { group: 1, .. }),
            "{error}"
        );
    }
    let error = check_refused(GgmlType::F32, &row(64, &[1.0], &[8]));
    assert!(matches!(error, Unmappable::Type(GgmlType::F32)));
    let mut wide = row(64, &[1.0; 4], &[0; 4]);
    wide.codes[3] = 16;
    for ggml_type in [GgmlType::Q4_1, GgmlType::Q4K] {
        assert!(matches!(
            check_refused(ggml_type, &wide),
            Unmappable::Range { weight: 3, .. }
        ));
    }
}
