//! Vectors of NEON: four lanes.
//!
//! Halves are converted one by one, and products of bytes take three steps: the instructions that do
//! more are not offered by the stable compiler.

#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "intrinsics carry their own prefix")
)]

use super::{Isa, Kernel};
use half::f16;
use std::arch::aarch64::*;

/// Proof that the processor has NEON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

/// Runs a kernel with these instructions.
#[target_feature(enable = "neon")]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Neon(()))
}

/// Wraps intrinsics whose only demand is the feature.
macro_rules! has_feature {
    ($($body:tt)*) => {
        // SAFETY: a value of `Neon` is only made in a function with these features.
        unsafe { $($body)* }
    };
}

impl Isa for Neon {
    type F = float32x4_t;
    type I = int32x4_t;
    type B = uint8x16_t;
    const LANES: usize = 4;
    const HAS_MANY_REGISTERS: bool = true;
    const WEIGHT_OFFSET: i32 = 0;

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        has_feature!(vdupq_n_f32(value))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for the floats; the load needs no alignment.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        // SAFETY: the caller vouches for the floats; the store needs no alignment.
        unsafe { vst1q_f32(to, v) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u8) -> float32x4_t {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { from.cast::<[[u8; 2]; 4]>().read_unaligned() };
        let floats = bytes.map(|bytes| f16::from_le_bytes(bytes).to_f32());
        // SAFETY: the array holds four floats.
        unsafe { vld1q_f32(floats.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u8) -> float32x4_t {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe {
            let halves = vreinterpret_u16_u8(vld1_u8(from));
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(halves)))
        }
    }

    #[inline(always)]
    unsafe fn store_f16(self, to: *mut u8, v: float32x4_t) {
        let mut floats = [0.0; 4];
        // SAFETY: the array holds four floats, and the caller vouches for the bytes.
        unsafe {
            vst1q_f32(floats.as_mut_ptr(), v);
            let bytes = floats.map(|value| f16::from_f32(value).to_le_bytes());
            to.cast::<[[u8; 2]; 4]>().write_unaligned(bytes);
        }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const u8) -> float32x4_t {
        // SAFETY: the caller vouches for the four bytes.
        unsafe {
            let word = from.cast::<u32>().read_unaligned();
            let wide = vmovl_s8(vcreate_s8(u64::from(word)));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)))
        }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> int32x4_t {
        has_feature!(vdupq_n_s32(value))
    }

    #[inline(always)]
    fn to_float(self, v: int32x4_t) -> float32x4_t {
        has_feature!(vcvtq_f32_s32(v))
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> uint8x16_t {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe { vld1q_u8(from) }
    }

    #[inline(always)]
    fn halves(self, v: uint8x16_t, is_high: bool) -> uint8x16_t {
        has_feature! {
            match is_high {
                true => vshrq_n_u8::<4>(v),
                false => vandq_u8(v, vdupq_n_u8(15)),
            }
        }
    }

    #[inline(always)]
    fn dot_nibbles(self, sums: int32x4_t, codes: uint8x16_t, x: uint8x16_t) -> int32x4_t {
        self.dot_codes(sums, codes, x)
    }

    #[inline(always)]
    fn dot_codes(self, sums: int32x4_t, weights: uint8x16_t, x: uint8x16_t) -> int32x4_t {
        has_feature! {
            let (weights, x) = (vreinterpretq_s8_u8(weights), vreinterpretq_s8_u8(x));
            // At most 127² a product, which fits 16 bits; pairs are added in 32.
            let low = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(x)));
            let high = vpaddlq_s16(vmull_high_s8(weights, x));
            vaddq_s32(sums, vpaddq_s32(low, high))
        }
    }

    #[inline(always)]
    fn splat_bytes(self, word: i32) -> uint8x16_t {
        has_feature!(vreinterpretq_u8_s32(vdupq_n_s32(word)))
    }

    #[inline(always)]
    fn nibble_pairs(self, v: uint8x16_t, idx: usize) -> int32x4_t {
        has_feature! {
            let moved = vshlq_u32(vreinterpretq_u32_u8(v), vdupq_n_s32(-4 * idx as i32));
            vreinterpretq_s32_u32(vandq_u32(moved, vdupq_n_u32(0x000f_000f)))
        }
    }

    #[inline(always)]
    fn byte_pairs(self, v: uint8x16_t, idx: usize) -> int32x4_t {
        has_feature! {
            let pairs = vreinterpretq_s16_u8(v);
            let moved = if idx == 0 { vshlq_n_s16::<8>(pairs) } else { pairs };
            vreinterpretq_s32_s16(vshrq_n_s16::<8>(moved))
        }
    }

    #[inline(always)]
    fn dot_pairs(self, sums: int32x4_t, weights: int32x4_t, x: int32x4_t) -> int32x4_t {
        has_feature! {
            let (weights, x) = (vreinterpretq_s16_s32(weights), vreinterpretq_s16_s32(x));
            let low = vmull_s16(vget_low_s16(weights), vget_low_s16(x));
            vaddq_s32(sums, vpaddq_s32(low, vmull_high_s16(weights, x)))
        }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        has_feature!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        has_feature!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        has_feature!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        has_feature!(vdivq_f32(a, b))
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        has_feature!(vmaxq_f32(a, b))
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        has_feature!(vminq_f32(a, b))
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        has_feature!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn round(self, v: float32x4_t) -> float32x4_t {
        has_feature!(vrndnq_f32(v))
    }

    #[inline(always)]
    fn power_of_two(self, n: float32x4_t) -> float32x4_t {
        has_feature! {
            let exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn keep_between(
        self,
        v: float32x4_t,
        other: float32x4_t,
        at: float32x4_t,
        (low, high): (float32x4_t, float32x4_t),
    ) -> float32x4_t {
        has_feature! {
            let inside = vandq_u32(vcleq_f32(low, at), vcleq_f32(at, high));
            vbslq_f32(inside, v, other)
        }
    }

    #[inline(always)]
    fn sum(self, v: float32x4_t) -> f32 {
        has_feature!(vaddvq_f32(v))
    }
}
