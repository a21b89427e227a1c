//! Normalisation of tokens: by their root mean square, or by mean and variance.
//!
//! Sources: Zhang and Sennrich 2019 (root mean square), <https://arxiv.org/abs/1910.07467>;
//! Ba et al. 2016 (layer norm), <https://arxiv.org/abs/1607.06450>.

use crate::{
    AttentionShape, Simd,
    isa::{Isa, Kernel},
    team,
    vector::{dot, map_pairs},
};

/// Values below which one thread does all tokens.
const SERIAL_VALUES: usize = 1 << 15;

/// How tokens are normalised.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Whether the mean is subtracted first: layer norm.
    pub is_centred: bool,
    /// Factor of each channel, `[d_model]`.
    pub gain: &'a [f32],
    /// Added to each channel, `[d_model]`.
    pub bias: Option<&'a [f32]>,
    /// Added to the mean square or variance.
    pub epsilon: f32,
}

/// Normalises token by token, in place.
///
/// # Shapes
///
/// - `x`: `[n_tokens, d_model]`
///
/// # Panics
///
/// If the tokens do not fit gain and bias.
pub fn normalize(simd: Simd, norm: Norm<'_>, x: &mut [f32]) {
    let d_model = norm.gain.len();
    assert!(
        d_model > 0 && x.len().is_multiple_of(d_model),
        "tokens of {d_model} channels"
    );
    assert!(
        norm.bias.is_none_or(|bias| bias.len() == d_model),
        "bias of {d_model} channels"
    );
    if x.len() < SERIAL_VALUES {
        return simd.run(Normalize { norm, x });
    }
    let n_tokens = (x.len() / d_model).div_ceil(4 * rayon::current_num_threads());
    team::for_each_chunk(x, n_tokens * d_model, |_, x| {
        simd.run(Normalize { norm, x });
    });
}

struct Normalize<'a> {
    norm: Norm<'a>,
    x: &'a mut [f32],
}

impl Kernel for Normalize<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Norm {
            is_centred,
            gain,
            bias,
            epsilon,
        } = self.norm;
        for x in self.x.chunks_exact_mut(gain.len()) {
            let n = x.len() as f32;
            if is_centred {
                let mean = x.iter().sum::<f32>() / n;
                for x in x.iter_mut() {
                    *x -= mean;
                }
            }
            let inverse = 1.0 / (dot(isa, x, x) / n + epsilon).sqrt();
            let factor = isa.splat(inverse);
            map_pairs(
                isa,
                x,
                gain,
                #[inline(always)]
                |x, gain| isa.mul(isa.mul(x, factor), gain),
            );
            if let Some(bias) = bias {
                map_pairs(
                    isa,
                    x,
                    bias,
                    #[inline(always)]
                    |x, bias| isa.add(x, bias),
                );
            }
        }
    }
}

/// Root-mean-square norm of every query and key head, in place.
///
/// # Shapes
///
/// - `qkv`: `[n_tokens, d_qkv]`; `gains`: of queries and of keys, `[d_key]` each
///
/// # Panics
///
/// If the sizes contradict each other.
pub fn norm_heads(
    simd: Simd,
    shape: AttentionShape,
    (query_gain, key_gain): (&[f32], &[f32]),
    epsilon: f32,
    qkv: &mut [f32],
) {
    assert!(
        qkv.len().is_multiple_of(shape.d_qkv()),
        "queries and keys of {shape:?}"
    );
    let fits = query_gain.len() == shape.d_key && key_gain.len() == shape.d_key;
    assert!(fits, "gains of {shape:?}");
    let norm = |gain| Norm {
        is_centred: false,
        gain,
        bias: None,
        epsilon,
    };
    let d_keys = shape.n_kv_heads * shape.d_key;
    for token in qkv.chunks_exact_mut(shape.d_qkv()) {
        let (queries, rest) = token.split_at_mut(shape.n_heads * shape.d_key);
        simd.run(Normalize {
            norm: norm(query_gain),
            x: queries,
        });
        simd.run(Normalize {
            norm: norm(key_gain),
            x: &mut rest[..d_keys],
        });
    }
}

/// The plain form of [`normalize`], in f64.
pub fn normalize_reference(norm: Norm<'_>, x: &[f32]) -> Vec<f32> {
    let d_model = norm.gain.len();
    x.chunks_exact(d_model)
        .flat_map(|token| {
            let token: Vec<f64> = token.iter().map(|v| f64::from(*v)).collect();
            let n = d_model as f64;
            let mean = match norm.is_centred {
                true => token.iter().sum::<f64>() / n,
                false => 0.0,
            };
            let square = token.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            let deviation = (square + f64::from(norm.epsilon)).sqrt();
            (0..d_model)
                .map(|i| {
                    let scaled = (token[i] - mean) / deviation * f64::from(norm.gain[i]);
                    (scaled + norm.bias.map_or(0.0, |bias| f64::from(bias[i]))) as f32
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounding of sums of a thousand numbers in f32.
    const MAX_DIFFERENCE: f32 = 2e-5;

    fn wave(n: usize, speed: f32) -> Vec<f32> {
        (0..n)
            .map(|i| (i as f32 * speed).cos() * 5.0 + 0.5)
            .collect()
    }

    #[track_caller]
    fn check(want: &[f32], got: &[f32]) {
        assert_eq!(want.len(), got.len());
        for (want, got) in want.iter().zip(got) {
            assert!(
                (want - got).abs() <= MAX_DIFFERENCE * want.abs().max(1.0),
                "{want} {got}"
            );
        }
    }

    #[test]
    fn norms_agree_with_the_reference_over_awkward_widths() {
        for simd in Simd::available() {
            for (d_model, n_tokens) in [(1, 2), (7, 3), (33, 2), (576, 5), (900, 80)] {
                let (gain, bias) = (wave(d_model, 0.3), wave(d_model, 0.9));
                for (is_centred, bias) in [(false, None), (true, None), (true, Some(&bias[..]))] {
                    let norm = Norm {
                        is_centred,
                        gain: &gain,
                        bias,
                        epsilon: 1e-3,
                    };
                    let mut x = wave(n_tokens * d_model, 0.7);
                    let want = normalize_reference(norm, &x);
                    normalize(simd, norm, &mut x);
                    check(&want, &x);
                }
            }
        }
    }

    #[test]
    fn heads_are_normalised_one_by_one_and_values_left_alone() {
        let shape = AttentionShape::grouped(4, 2, 10);
        let gains = (wave(10, 0.2), wave(10, 0.4));
        for simd in Simd::available() {
            let plain = wave(3 * shape.d_qkv(), 0.7);
            let mut got = plain.clone();
            norm_heads(simd, shape, (&gains.0, &gains.1), 1e-6, &mut got);
            for (plain, got) in plain.chunks(shape.d_qkv()).zip(got.chunks(shape.d_qkv())) {
                for (head, gain) in [(0, &gains.0), (3, &gains.0), (4, &gains.1), (5, &gains.1)] {
                    let norm = Norm {
                        is_centred: false,
                        gain,
                        bias: None,
                        epsilon: 1e-6,
                    };
                    let range = head * 10..(head + 1) * 10;
                    check(
                        &normalize_reference(norm, &plain[range.clone()]),
                        &got[range],
                    );
                }
                assert_eq!(plain[60..], got[60..]);
            }
        }
    }
}
