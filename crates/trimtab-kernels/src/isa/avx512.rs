//! Vectors of AVX-512 with byte instructions and integer products (VNNI): sixteen lanes.

#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "intrinsics carry their own prefix")
)]

use super::{Isa, Kernel};
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

/// Runs a kernel with these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx512(()))
}

/// Wraps intrinsics whose only demand is the feature.
macro_rules! has_feature {
    ($($body:tt)*) => {
        // SAFETY: a value of `Avx512` is only made in a function with these features.
        unsafe { $($body)* }
    };
}

impl Isa for Avx512 {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;
    const LANES: usize = 16;
    const HAS_MANY_REGISTERS: bool = true;
    const WEIGHT_OFFSET: i32 = 128;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        has_feature!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the floats; the load needs no alignment.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for the floats; the store needs no alignment.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u8) -> __m512 {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u8) -> __m512 {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn store_f16(self, to: *mut u8, v: __m512) {
        // SAFETY: the caller vouches for the bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const u8) -> __m512 {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> __m512i {
        has_feature!(_mm512_set1_epi32(value))
    }

    #[inline(always)]
    fn to_float(self, v: __m512i) -> __m512 {
        has_feature!(_mm512_cvtepi32_ps(v))
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m512i {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    fn halves(self, v: __m512i, is_high: bool) -> __m512i {
        has_feature! {
            let moved = if is_high { _mm512_srli_epi16::<4>(v) } else { v };
            _mm512_and_si512(moved, _mm512_set1_epi8(15))
        }
    }

    #[inline(always)]
    fn dot_nibbles(self, sums: __m512i, codes: __m512i, x: __m512i) -> __m512i {
        has_feature!(_mm512_dpbusd_epi32(sums, codes, x))
    }

    /// The first factor is unsigned: flipping the sign bit adds 128.
    #[inline(always)]
    fn dot_codes(self, sums: __m512i, weights: __m512i, x: __m512i) -> __m512i {
        has_feature! {
            let unsigned = _mm512_xor_si512(weights, _mm512_set1_epi8(i8::MIN));
            _mm512_dpbusd_epi32(sums, unsigned, x)
        }
    }

    #[inline(always)]
    fn splat_bytes(self, word: i32) -> __m512i {
        self.splat_int(word)
    }

    #[inline(always)]
    fn nibble_pairs(self, v: __m512i, idx: usize) -> __m512i {
        has_feature! {
            let moved = _mm512_srl_epi32(v, _mm_cvtsi32_si128(4 * idx as i32));
            _mm512_and_si512(moved, _mm512_set1_epi16(15))
        }
    }

    #[inline(always)]
    fn byte_pairs(self, v: __m512i, idx: usize) -> __m512i {
        has_feature! {
            let moved = if idx == 0 { _mm512_slli_epi16::<8>(v) } else { v };
            _mm512_srai_epi16::<8>(moved)
        }
    }

    #[inline(always)]
    fn dot_pairs(self, sums: __m512i, weights: __m512i, x: __m512i) -> __m512i {
        has_feature!(_mm512_dpwssd_epi32(sums, weights, x))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        has_feature!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        has_feature!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        has_feature!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        has_feature!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        has_feature!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        has_feature!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        has_feature!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn round(self, v: __m512) -> __m512 {
        has_feature!(_mm512_roundscale_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(v))
    }

    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        has_feature! {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn keep_between(
        self,
        v: __m512,
        other: __m512,
        at: __m512,
        (low, high): (__m512, __m512),
    ) -> __m512 {
        has_feature! {
            let above = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(low, at);
            let inside = _mm512_mask_cmp_ps_mask::<_CMP_LE_OQ>(above, at, high);
            _mm512_mask_blend_ps(inside, other, v)
        }
    }

    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        has_feature!(_mm512_reduce_add_ps(v))
    }
}
