//! The functions of hidden channels on the device; [`crate::activation`] has them for the CPU.

use crate::{Activation, activation::CUBE, activation::SQRT_2_OVER_PI};
use cubecl::prelude::*;
use std::f32::consts::FRAC_1_SQRT_2;

/// The function of one channel.
#[cube]
pub(super) fn activate(x: f32, #[comptime] activation: Activation) -> f32 {
    if comptime!(activation == Activation::Silu) {
        x / (1.0f32 + (-x).exp())
    } else if comptime!(activation == Activation::Gelu) {
        0.5f32 * x * (1.0f32 + Erf::erf(x * FRAC_1_SQRT_2))
    } else if comptime!(activation == Activation::GeluTanh) {
        let inner = SQRT_2_OVER_PI * (x + CUBE * x * x * x);
        0.5f32 * x * (1.0f32 + inner.tanh())
    } else {
        max(x, 0.0f32)
    }
}
