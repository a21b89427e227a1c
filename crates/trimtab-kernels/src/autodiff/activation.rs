//! The backward pass of the non-linear part of an MLP.

use crate::{
    Activation, Simd,
    activation::{CUBE, HiddenShape, SQRT_2_OVER_PI, activate_gated, normal_tails},
    isa::{Isa, Kernel},
    vector::map_pairs,
};
use rayon::prelude::*;

/// The gradient at the first product, from the gradient at the hidden channels.
///
/// # Shapes
///
/// - `up`, `d_up`: `[n_tokens, d_up]`; `d_hidden`: `[n_tokens, d_ff]`
///
/// # Panics
///
/// If the slices do not fit the shape.
pub fn activate_backward(
    simd: Simd,
    shape: HiddenShape,
    (up, d_hidden): (&[f32], &[f32]),
    d_up: &mut [f32],
) {
    assert_eq!(up.len(), d_up.len(), "{shape:?}");
    assert_eq!(
        up.len(),
        d_hidden.len() / shape.d_ff * shape.d_up(),
        "{shape:?}"
    );
    d_up.par_chunks_exact_mut(shape.d_up())
        .zip(up.par_chunks_exact(shape.d_up()))
        .zip(d_hidden.par_chunks_exact(shape.d_ff))
        .for_each_init(
            || vec![0.0; shape.d_ff],
            |factor, ((d_up, up), d_hidden)| {
                let (gate, up) = up.split_at(shape.d_ff);
                let (d_gate, d_up) = d_up.split_at_mut(shape.d_ff);
                factor.copy_from_slice(d_hidden);
                if shape.is_gated {
                    for (factor, up) in factor.iter_mut().zip(up) {
                        *factor *= up;
                    }
                    d_up.copy_from_slice(gate);
                    activate_gated(simd, shape.activation, d_up, d_hidden);
                }
                d_gate.copy_from_slice(gate);
                simd.run(Derive {
                    activation: shape.activation,
                    values: d_gate,
                    factor,
                });
            },
        );
}

/// `values ← activation'(values) · factor`
struct Derive<'a> {
    activation: Activation,
    values: &'a mut [f32],
    factor: &'a [f32],
}

impl Kernel for Derive<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self { values, factor, .. } = self;
        match self.activation {
            Activation::Silu => map_pairs(
                isa,
                values,
                factor,
                #[inline(always)]
                |x, factor| isa.mul(factor, silu_slope(isa, x)),
            ),
            Activation::Gelu => map_pairs(
                isa,
                values,
                factor,
                #[inline(always)]
                |x, factor| isa.mul(factor, gelu_slope(isa, x)),
            ),
            Activation::GeluTanh => map_pairs(
                isa,
                values,
                factor,
                #[inline(always)]
                |x, factor| isa.mul(factor, gelu_tanh_slope(isa, x)),
            ),
            Activation::Relu => map_pairs(
                isa,
                values,
                factor,
                #[inline(always)]
                |x, factor| {
                    let above = (isa.splat(f32::MIN_POSITIVE), isa.splat(f32::MAX));
                    isa.keep_between(factor, isa.splat(0.0), x, above)
                },
            ),
        }
    }
}

/// 1 / (1 + e⁻ᵘ)
#[inline(always)]
fn sigmoid<S: Isa>(isa: S, u: S::F) -> S::F {
    let one = isa.splat(1.0);
    isa.div(one, isa.add(one, isa.exp(isa.sub(isa.splat(0.0), u))))
}

/// (x · σ(x))' = σ · (1 + x · (1 − σ))
#[inline(always)]
fn silu_slope<S: Isa>(isa: S, x: S::F) -> S::F {
    let (one, s) = (isa.splat(1.0), sigmoid(isa, x));
    isa.mul(s, isa.fma(x, isa.sub(one, s), one))
}

/// (x · Φ(x))' = Φ(x) + x · φ(x)
#[inline(always)]
fn gelu_slope<S: Isa>(isa: S, x: S::F) -> S::F {
    const INVERSE_SQRT_2_PI: f32 = 0.398_942_3;
    let below = isa.mul(isa.splat(0.5), normal_tails(isa, x));
    let above = isa.sub(isa.splat(1.0), below);
    let (zero, most) = (isa.splat(0.0), isa.splat(f32::MAX));
    let share = isa.keep_between(above, below, x, (zero, most));
    let density = isa.exp(isa.mul(isa.mul(x, x), isa.splat(-0.5)));
    isa.fma(isa.mul(x, isa.splat(INVERSE_SQRT_2_PI)), density, share)
}

/// x · σ(2u) with u = √(2/π) · (x + c·x³): σ + x · σ · (1 − σ) · 2u'.
#[inline(always)]
fn gelu_tanh_slope<S: Isa>(isa: S, x: S::F) -> S::F {
    let (one, square) = (isa.splat(1.0), isa.mul(x, x));
    let twice = isa.splat(2.0 * SQRT_2_OVER_PI);
    let inner = isa.fma(isa.mul(square, isa.splat(CUBE)), x, x);
    let s = sigmoid(isa, isa.mul(inner, twice));
    let slope = isa.mul(twice, isa.fma(square, isa.splat(3.0 * CUBE), one));
    let rise = isa.mul(isa.mul(x, s), isa.mul(isa.sub(one, s), slope));
    isa.add(s, rise)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::{activate_reference, activate_tokens};

    const ALL: [Activation; 4] = [
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
    ];

    /// Rounding of the reference to f32, divided by the step of the difference.
    const MAX_DIFFERENCE: f32 = 1e-3;

    #[test]
    fn slopes_agree_with_finite_differences_of_the_reference() {
        // No point lies on the edge of the rectifier.
        let values: Vec<f32> = (-60..60).map(|i| i as f32 * 0.11 + 0.05).collect();
        for simd in Simd::available() {
            for activation in ALL {
                let mut got = values.clone();
                simd.run(Derive {
                    activation,
                    values: &mut got,
                    factor: &vec![2.0; values.len()],
                });
                for (x, got) in values.iter().zip(&got) {
                    let step = 1e-2;
                    let rise = activate_reference(activation, x + step)
                        - activate_reference(activation, x - step);
                    let want = rise / step;
                    assert!(
                        (want - got).abs() <= MAX_DIFFERENCE,
                        "{simd:?} {activation:?} {x}: {want} {got}"
                    );
                }
            }
        }
    }

    #[test]
    fn gate_and_channels_get_their_own_gradients() {
        let shape = HiddenShape {
            activation: Activation::Silu,
            is_gated: true,
            d_ff: 5,
        };
        let up: Vec<f32> = (0..20).map(|i| (i as f32 * 0.7).sin()).collect();
        let d_hidden: Vec<f32> = (0..10).map(|i| (i as f32 * 0.4).cos()).collect();
        let weighed = |up: &[f32]| -> f64 {
            let hidden = activate_tokens(Simd::Portable, shape, up);
            let terms = hidden.iter().zip(&d_hidden);
            terms.map(|(h, d)| f64::from(*h) * f64::from(*d)).sum()
        };
        let mut got = vec![0.0; 20];
        activate_backward(Simd::detect(), shape, (&up, &d_hidden), &mut got);
        for (idx, got) in got.iter().enumerate() {
            let moved = |by: f32| {
                let mut moved = up.clone();
                moved[idx] += by;
                weighed(&moved)
            };
            let want = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((want - f64::from(*got)).abs() < 1e-3, "{idx}: {want} {got}");
        }
    }
}
