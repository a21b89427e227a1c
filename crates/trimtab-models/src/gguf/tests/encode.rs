//! Writing blocks: what the reference does not fix is bounded, what does not fit is named.

use crate::gguf::{GgmlType, GgufFile, GgufWriteError, GgufWriter};

/// Root of the mean squared error over that of the elements, for uniform noise: 16 codes from end
/// to end leave (2 / 15) / √12 over 1 / √3, which is 0.0667; the 6-bit factors cost a little.
const MAX_Q4_K_ERROR: f64 = 0.07;

/// Uniform values in −1…1, the same on every machine.
fn noise(n: usize, mut seed: u32) -> Vec<f32> {
    let next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

fn round_trip(ggml_type: GgmlType, elements: &[f32]) -> Vec<f32> {
    let file = GgufWriter::new()
        .tensor("t", &[elements.len()], ggml_type, elements)
        .unwrap();
    let file = GgufFile::parse(&file.to_bytes()).unwrap();
    file.dequantize("t").unwrap()
}

/// ‖got − want‖ / ‖want‖
fn relative_error(want: &[f32], got: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value).powi(2);
    let error: f64 = want.iter().zip(got).map(|(w, g)| square(w - g)).sum();
    (error / want.iter().map(|w| square(*w)).sum::<f64>()).sqrt()
}

#[test]
fn q4_k_keeps_noise_within_its_bound_at_any_scale() {
    for size in [1e-3, 1.0, 1e3] {
        let elements: Vec<f32> = noise(256 * 64, 7).iter().map(|v| v * size).collect();
        let error = relative_error(&elements, &round_trip(GgmlType::Q4K, &elements));
        assert!(error <= MAX_Q4_K_ERROR, "{size}: {error}");
    }
}

#[test]
fn q4_k_is_nearer_than_q4_0() {
    let elements = noise(256 * 64, 3);
    let error = |ggml_type| relative_error(&elements, &round_trip(ggml_type, &elements));
    assert!(error(GgmlType::Q4K) < error(GgmlType::Q4_0));
}

#[test]
fn q4_k_keeps_blocks_of_zeros_and_of_one_sign() {
    let zeros = vec![0.0; 256];
    assert_eq!(round_trip(GgmlType::Q4K, &zeros), zeros);
    for sign in [1.0, -1.0] {
        // Far from zero the grid has to reach down to it; a step is a fifteenth of the largest.
        let elements: Vec<f32> = noise(256, 5).iter().map(|v| sign * (3.0 + v)).collect();
        for (want, got) in elements.iter().zip(round_trip(GgmlType::Q4K, &elements)) {
            assert!((want - got).abs() < 4.0 / 15.0, "{want} {got}");
        }
    }
}

#[test]
fn elements_beyond_a_type_are_named() {
    let mut elements = noise(256, 1);
    elements[40] = -1e10;
    for ggml_type in [
        GgmlType::F16,
        GgmlType::Q8_0,
        GgmlType::Q4_0,
        GgmlType::Q4_1,
        GgmlType::Q4K,
    ] {
        let error = GgufWriter::new()
            .tensor("t", &[256], ggml_type, &elements)
            .unwrap_err();
        assert!(
            matches!(error, GgufWriteError::TooLarge { value: -1e10, .. }),
            "{error}"
        );
    }
}
