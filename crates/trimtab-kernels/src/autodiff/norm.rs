//! The backward passes of norms, with respect to the tokens; gains and biases are frozen.
//!
//! With h = (x − m) · r, r = 1/√(mean((x − m)²) + ε) and g the gradient at h,
//! dx = r · (g − mean(g) − h · mean(g · h)); without centring m and mean(g) are left out.

use crate::{
    AttentionShape, Simd,
    isa::{Isa, Kernel},
    vector::{dot, map_pairs},
};
use rayon::prelude::*;

/// Constants of a norm that is differentiated.
#[derive(Clone, Copy, Debug)]
pub struct NormGradient<'a> {
    /// Whether the mean is subtracted first: layer norm.
    pub is_centred: bool,
    /// Factor of each channel, `[d_model]`.
    pub gain: &'a [f32],
    /// Added to the mean square or variance.
    pub epsilon: f32,
}

/// Tokens that a thread takes at once.
const JOB_TOKENS: usize = 16;

/// Replaces the gradient at the norm of `x` by the gradient at `x`.
///
/// # Shapes
///
/// - `x`, `gradient`: `[n_tokens, d_model]`
///
/// # Panics
///
/// If the slices do not fit the gain.
pub fn norm_backward(simd: Simd, norm: NormGradient<'_>, x: &[f32], gradient: &mut [f32]) {
    let d_model = norm.gain.len();
    assert!(
        d_model > 0 && x.len().is_multiple_of(d_model),
        "tokens of {d_model} channels"
    );
    assert_eq!(x.len(), gradient.len(), "a gradient of other tokens");
    gradient
        .par_chunks_mut(JOB_TOKENS * d_model)
        .zip(x.par_chunks(JOB_TOKENS * d_model))
        .for_each(|(gradient, x)| simd.run(Backward { norm, x, gradient }));
}

struct Backward<'a> {
    norm: NormGradient<'a>,
    x: &'a [f32],
    gradient: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let NormGradient {
            is_centred,
            gain,
            epsilon,
        } = self.norm;
        let n = gain.len() as f32;
        let mut centred = vec![0.0; gain.len()];
        let tokens = self.x.chunks_exact(gain.len());
        for (x, gradient) in tokens.zip(self.gradient.chunks_exact_mut(gain.len())) {
            map_pairs(
                isa,
                gradient,
                gain,
                #[inline(always)]
                |g, gain| isa.mul(g, gain),
            );
            let (mut x, mut mean_gradient) = (x, 0.0);
            if is_centred {
                let mean = x.iter().sum::<f32>() / n;
                for (centred, x) in centred.iter_mut().zip(x) {
                    *centred = x - mean;
                }
                x = &centred;
                mean_gradient = gradient.iter().sum::<f32>() / n;
            }
            let inverse = 1.0 / (dot(isa, x, x) / n + epsilon).sqrt();
            let along = dot(isa, gradient, x) / n * inverse * inverse;
            let (along, inverse, mean) = (
                isa.splat(along),
                isa.splat(inverse),
                isa.splat(mean_gradient),
            );
            map_pairs(
                isa,
                gradient,
                x,
                #[inline(always)]
                |g, x| isa.mul(isa.sub(isa.sub(g, mean), isa.mul(x, along)), inverse),
            );
        }
    }
}

/// As [`norm_backward`] for the root-mean-square norm of every query and key head; gradients at
/// values stay as they are.
///
/// # Shapes
///
/// - `qkv`, `gradient`: `[n_tokens, d_qkv]`; `gains`: of queries and of keys, `[d_key]` each
///
/// # Panics
///
/// If the sizes contradict each other.
pub fn norm_heads_backward(
    simd: Simd,
    shape: AttentionShape,
    (query_gain, key_gain): (&[f32], &[f32]),
    epsilon: f32,
    (qkv, gradient): (&[f32], &mut [f32]),
) {
    assert!(
        qkv.len() == gradient.len() && qkv.len().is_multiple_of(shape.d_qkv()),
        "queries and keys of {shape:?}"
    );
    let fits = query_gain.len() == shape.d_key && key_gain.len() == shape.d_key;
    assert!(fits, "gains of {shape:?}");
    let norm = |gain| NormGradient {
        is_centred: false,
        gain,
        epsilon,
    };
    let (d_queries, d_keys) = (shape.n_heads * shape.d_key, shape.n_kv_heads * shape.d_key);
    gradient
        .par_chunks_mut(shape.d_qkv())
        .zip(qkv.par_chunks(shape.d_qkv()))
        .for_each(|(gradient, qkv)| {
            let (queries, rest) = gradient.split_at_mut(d_queries);
            simd.run(Backward {
                norm: norm(query_gain),
                x: &qkv[..d_queries],
                gradient: queries,
            });
            simd.run(Backward {
                norm: norm(key_gain),
                x: &qkv[d_queries..d_queries + d_keys],
                gradient: &mut rest[..d_keys],
            });
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norm::{Norm, normalize_reference};

    /// Rounding of central differences of an f32 function, relative to the largest gradient.
    const MAX_DIFFERENCE: f64 = 5e-3;

    fn wave(n: usize, speed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * speed).cos() + 0.2).collect()
    }

    /// Σ weights · norm(x), in f64.
    fn weighed(norm: Norm<'_>, x: &[f32], weights: &[f32]) -> f64 {
        let normed = normalize_reference(norm, x);
        let terms = normed.iter().zip(weights);
        terms.map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for simd in Simd::available() {
            for (is_centred, d_model) in [(false, 33), (true, 33), (false, 7), (true, 64)] {
                let (gain, x) = (wave(d_model, 0.3), wave(2 * d_model, 0.7));
                let weights = wave(2 * d_model, 1.1);
                let plain = Norm {
                    is_centred,
                    gain: &gain,
                    bias: None,
                    epsilon: 1e-3,
                };
                let norm = NormGradient {
                    is_centred,
                    gain: &gain,
                    epsilon: 1e-3,
                };
                let mut got = weights.clone();
                norm_backward(simd, norm, &x, &mut got);
                let largest = got.iter().fold(0.0_f32, |a, g| a.max(g.abs()));
                for idx in 0..x.len() {
                    let step = 1e-2;
                    let moved = |by: f32| {
                        let mut moved = x.clone();
                        moved[idx] += by;
                        weighed(plain, &moved, &weights)
                    };
                    let want = (moved(step) - moved(-step)) / f64::from(2.0 * step);
                    let difference = (want - f64::from(got[idx])).abs();
                    assert!(
                        difference <= MAX_DIFFERENCE * f64::from(largest),
                        "{simd:?} {is_centred} {idx}: {want} {}",
                        got[idx]
                    );
                }
            }
        }
    }
}
