//! Root-mean-square normalisation.
//!
//! Source: Zhang and Sennrich 2019, <https://arxiv.org/abs/1910.07467>.

use crate::Simd;
#[cfg(target_arch = "x86_64")]
use crate::avx2;

/// `out = x / rms(x) · gain`, token by token.
///
/// # Shapes
///
/// - `x`, `out`: `[n_tokens, d_model]`; `gain`: `[d_model]`
pub fn rms_norm(simd: Simd, x: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    for (x, out) in x
        .chunks_exact(gain.len())
        .zip(out.chunks_exact_mut(gain.len()))
    {
        let mean_square = dot(simd, x, x) / x.len() as f32;
        let inverse = 1.0 / (mean_square + epsilon).sqrt();
        for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
            *out = x * inverse * gain;
        }
    }
}

/// Product of two float slices of the same length.
pub(crate) fn dot(simd: Simd, a: &[f32], b: &[f32]) -> f32 {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::Avx2` is only handed out where the processor has these features.
        Simd::Avx2 => unsafe { avx2::dot_floats(a, b) },
        _ => a.iter().zip(b).map(|(a, b)| a * b).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normalised_token_has_the_root_mean_square_of_its_gain() {
        for simd in Simd::available() {
            for d_model in [1, 7, 33, 576] {
                let x: Vec<f32> = (0..2 * d_model)
                    .map(|i| (i as f32 * 0.7).cos() * 5.0)
                    .collect();
                let mut out = vec![0.0; x.len()];
                rms_norm(simd, &x, &vec![2.0; d_model], 0.0, &mut out);
                for token in out.chunks_exact(d_model) {
                    let mean_square = token.iter().map(|v| v * v).sum::<f32>() / d_model as f32;
                    assert!(
                        (mean_square - 4.0).abs() < 1e-4,
                        "{simd:?} {d_model} {mean_square}"
                    );
                }
            }
        }
    }
}
