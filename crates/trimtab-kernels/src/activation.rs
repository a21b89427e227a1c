//! The non-linear functions between the two products of an MLP.

use crate::{
    Simd,
    isa::{Isa, Kernel},
    team,
    vector::map_pairs,
};

/// A function of each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x / (1 + e⁻ˣ)
    Silu,
    /// x · Φ(x), with the normal distribution Φ.
    Gelu,
    /// `Gelu` with Φ approximated by a hyperbolic tangent, as GPT-2 has it.
    GeluTanh,
    /// max(x, 0)
    Relu,
}

/// √(2 / π)
pub(crate) const SQRT_2_OVER_PI: f32 = 0.797_884_6;

/// Coefficients of [`Activation::GeluTanh`]'s cube.
pub(crate) const CUBE: f32 = 0.044_715;

/// `values ← activation(values)`
pub fn activate(simd: Simd, activation: Activation, values: &mut [f32]) {
    let factors = vec![1.0; values.len()];
    activate_gated(simd, activation, values, &factors);
}

/// `gate ← activation(gate) · up`
///
/// # Shapes
///
/// - `gate`, `up`: the same length
pub fn activate_gated(simd: Simd, activation: Activation, gate: &mut [f32], up: &[f32]) {
    simd.run(Activate {
        activation,
        gate,
        up,
    });
}

/// `activation(gate) · up` of every token.
///
/// # Shapes
///
/// - `gate_up`: `[n_tokens, 2 · d_ff]`; result: `[n_tokens, d_ff]`
pub(crate) fn gate_tokens(
    simd: Simd,
    activation: Activation,
    gate_up: &[f32],
    d_ff: usize,
) -> Vec<f32> {
    let n_tokens = gate_up.len() / (2 * d_ff);
    let mut hidden = vec![0.0; n_tokens * d_ff];
    let gate = |token_idx: usize, hidden: &mut [f32]| {
        let (gate, up) = gate_up[token_idx * 2 * d_ff..][..2 * d_ff].split_at(d_ff);
        hidden.copy_from_slice(gate);
        activate_gated(simd, activation, hidden, up);
    };
    if n_tokens == 1 {
        gate(0, &mut hidden);
    } else {
        team::for_each_chunk(&mut hidden, d_ff, gate);
    }
    hidden
}

/// What lies between the products of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenShape {
    /// The function of the hidden channels, or of the gate.
    pub activation: Activation,
    /// Whether each token has a gate, then as many channels that it is multiplied with.
    pub is_gated: bool,
    /// Hidden channels.
    pub d_ff: usize,
}

impl HiddenShape {
    /// Channels of the first product.
    pub fn d_up(&self) -> usize {
        if self.is_gated {
            2 * self.d_ff
        } else {
            self.d_ff
        }
    }
}

/// `activation(gate) ⊙ up` of every token, or `activation(up)`.
///
/// # Shapes
///
/// - `up`: `[n_tokens, d_up]`; result: `[n_tokens, d_ff]`
///
/// # Panics
///
/// If the slice does not fit the shape.
pub(crate) fn activate_tokens(simd: Simd, shape: HiddenShape, up: &[f32]) -> Vec<f32> {
    assert!(up.len().is_multiple_of(shape.d_up()), "{shape:?}");
    if shape.is_gated {
        return gate_tokens(simd, shape.activation, up, shape.d_ff);
    }
    let mut hidden = up.to_vec();
    team::for_each_chunk(&mut hidden, shape.d_ff, |_, hidden| {
        activate(simd, shape.activation, hidden);
    });
    hidden
}

struct Activate<'a> {
    activation: Activation,
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Kernel for Activate<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        // Named alone, a function would be called through a pointer without the instructions of `isa`.
        match self.activation {
            Activation::Silu => self.apply(
                isa,
                #[inline(always)]
                |isa, x| silu(isa, x),
            ),
            Activation::Gelu => self.apply(
                isa,
                #[inline(always)]
                |isa, x| gelu(isa, x),
            ),
            Activation::GeluTanh => self.apply(
                isa,
                #[inline(always)]
                |isa, x| gelu_tanh(isa, x),
            ),
            Activation::Relu => self.apply(
                isa,
                #[inline(always)]
                |isa, x| relu(isa, x),
            ),
        }
    }
}

impl Activate<'_> {
    /// `gate ← function(gate) · up`; the function is a type, so that it becomes part of the loop.
    #[inline(always)]
    fn apply<S: Isa>(self, isa: S, function: impl Fn(S, S::F) -> S::F) {
        map_pairs(
            isa,
            self.gate,
            self.up,
            #[inline(always)]
            |x, up| isa.mul(up, function(isa, x)),
        );
    }
}

#[inline(always)]
fn relu<S: Isa>(isa: S, x: S::F) -> S::F {
    isa.max(x, isa.splat(0.0))
}

#[inline(always)]
fn silu<S: Isa>(isa: S, x: S::F) -> S::F {
    let e = isa.exp(isa.sub(isa.splat(0.0), x));
    isa.div(x, isa.add(isa.splat(1.0), e))
}

/// tanh(u) = 1 − 2 / (1 + e²ᵘ), so that x · (1 + tanh u) / 2 = x / (1 + e⁻²ᵘ).
#[inline(always)]
fn gelu_tanh<S: Isa>(isa: S, x: S::F) -> S::F {
    let square = isa.mul(x, x);
    let inner = isa.fma(isa.mul(square, isa.splat(CUBE)), x, x);
    let e = isa.exp(isa.mul(inner, isa.splat(-2.0 * SQRT_2_OVER_PI)));
    isa.div(x, isa.add(isa.splat(1.0), e))
}

#[inline(always)]
fn gelu<S: Isa>(isa: S, x: S::F) -> S::F {
    let half = isa.mul(x, isa.splat(0.5));
    let negative = isa.mul(half, normal_tails(isa, x));
    let positive = isa.sub(x, negative);
    let (zero, most) = (isa.splat(0.0), isa.splat(f32::MAX));
    isa.keep_between(positive, negative, x, (zero, most))
}

/// 1 − erf(|x| / √2), the share of a normal distribution beyond ±x, within 1.5e-7: Abramowitz and
/// Stegun 1964, formula 7.1.26. It is 2Φ(x) for negative x and 2 − 2Φ(x) otherwise.
#[inline(always)]
pub(crate) fn normal_tails<S: Isa>(isa: S, x: S::F) -> S::F {
    const COEFFICIENTS: [f32; 4] = [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    let scaled = isa.mul(x, isa.splat(std::f32::consts::FRAC_1_SQRT_2));
    let magnitude = isa.max(scaled, isa.sub(isa.splat(0.0), scaled));
    let one = isa.splat(1.0);
    let t = isa.div(one, isa.fma(magnitude, isa.splat(0.327_591_1), one));
    let mut p = isa.splat(1.061_405_4);
    for coefficient in COEFFICIENTS {
        p = isa.fma(p, t, isa.splat(coefficient));
    }
    let e = isa.exp(isa.sub(isa.splat(0.0), isa.mul(magnitude, magnitude)));
    isa.mul(isa.mul(p, t), e)
}

/// The plain form of [`activate`], in f64.
pub fn activate_reference(activation: Activation, x: f32) -> f32 {
    let x = f64::from(x);
    let y = match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let inner = x + 0.044_715 * x * x * x;
            x * 0.5 * (1.0 + (inner * (2.0 / std::f64::consts::PI).sqrt()).tanh())
        }
        Activation::Relu => x.max(0.0),
    };
    y as f32
}

/// 2/√π · e^(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·…·(2n+1)), all terms of one sign.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounding of e^x in f32, and of the error function's formula.
    const MAX_DIFFERENCE: f32 = 2e-6;

    #[test]
    fn fast_and_plain_activations_agree_from_tiny_to_huge() {
        let values: Vec<f32> = (-400..=400).map(|i| i as f32 * 0.257).collect();
        let up: Vec<f32> = values.iter().map(|v| v * 0.5 + 1.0).collect();
        for simd in Simd::available() {
            for activation in [
                Activation::Silu,
                Activation::Gelu,
                Activation::GeluTanh,
                Activation::Relu,
            ] {
                let (mut plain, mut gated) = (values.clone(), values.clone());
                activate(simd, activation, &mut plain);
                activate_gated(simd, activation, &mut gated, &up);
                for (idx, x) in values.iter().enumerate() {
                    let want = activate_reference(activation, *x);
                    let bound = MAX_DIFFERENCE * x.abs().max(1.0);
                    let case = format!("{simd:?} {activation:?} {x}: {want} {}", plain[idx]);
                    assert!((want - plain[idx]).abs() <= bound, "{case}");
                    let difference = (want * up[idx] - gated[idx]).abs();
                    assert!(difference <= bound * up[idx].abs().max(1.0), "{case}");
                }
            }
        }
    }

    #[test]
    fn the_error_function_has_its_known_values() {
        assert!((erf(0.5) - 0.520_499_877_813_046_5).abs() < 1e-15);
        assert!((erf(-2.0) + 0.995_322_265_018_952_7).abs() < 1e-15);
    }
}
