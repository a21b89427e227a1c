//! Vectors of AVX2, FMA and F16C: eight lanes.

#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "intrinsics carry their own prefix")
)]

use super::{Isa, Kernel};
use std::arch::x86_64::*;

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// Runs a kernel with these instructions.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx2(()))
}

/// Wraps intrinsics whose only demand is the feature.
macro_rules! has_feature {
    ($($body:tt)*) => {
        // SAFETY: a value of `Avx2` is only made in a function with these features.
        unsafe { $($body)* }
    };
}

impl Isa for Avx2 {
    type F = __m256;
    type I = __m256i;
    type B = __m256i;
    const LANES: usize = 8;
    const HAS_MANY_REGISTERS: bool = false;
    const WEIGHT_OFFSET: i32 = 0;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        has_feature!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the floats; the load needs no alignment.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for the floats; the store needs no alignment.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u8) -> __m256 {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u8) -> __m256 {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn store_f16(self, to: *mut u8, v: __m256) {
        // SAFETY: the caller vouches for the bytes; the store needs no alignment.
        unsafe { _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const u8) -> __m256 {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> __m256i {
        has_feature!(_mm256_set1_epi32(value))
    }

    #[inline(always)]
    fn to_float(self, v: __m256i) -> __m256 {
        has_feature!(_mm256_cvtepi32_ps(v))
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m256i {
        // SAFETY: the caller vouches for the bytes; the load needs no alignment.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    fn halves(self, v: __m256i, is_high: bool) -> __m256i {
        has_feature! {
            let moved = if is_high { _mm256_srli_epi16::<4>(v) } else { v };
            _mm256_and_si256(moved, _mm256_set1_epi8(15))
        }
    }

    /// At most 2 · 15 · 127 = 3,810 a pair: far from the 16-bit limit.
    #[inline(always)]
    fn dot_nibbles(self, sums: __m256i, codes: __m256i, x: __m256i) -> __m256i {
        has_feature! {
            let pairs = _mm256_maddubs_epi16(codes, x);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    /// The product of an unsigned and a signed byte is what AVX2 has: |w| · (x with w's sign).
    #[inline(always)]
    fn dot_codes(self, sums: __m256i, weights: __m256i, x: __m256i) -> __m256i {
        has_feature! {
            let signed = _mm256_sign_epi8(x, weights);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), signed);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn splat_bytes(self, word: i32) -> __m256i {
        self.splat_int(word)
    }

    #[inline(always)]
    fn nibble_pairs(self, v: __m256i, idx: usize) -> __m256i {
        has_feature! {
            let moved = _mm256_srl_epi32(v, _mm_cvtsi32_si128(4 * idx as i32));
            _mm256_and_si256(moved, _mm256_set1_epi16(15))
        }
    }

    #[inline(always)]
    fn byte_pairs(self, v: __m256i, idx: usize) -> __m256i {
        has_feature! {
            let moved = if idx == 0 { _mm256_slli_epi16::<8>(v) } else { v };
            _mm256_srai_epi16::<8>(moved)
        }
    }

    #[inline(always)]
    fn dot_pairs(self, sums: __m256i, weights: __m256i, x: __m256i) -> __m256i {
        has_feature!(_mm256_add_epi32(sums, _mm256_madd_epi16(weights, x)))
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        has_feature!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        has_feature!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        has_feature!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        has_feature!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        has_feature!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        has_feature!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        has_feature!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn round(self, v: __m256) -> __m256 {
        has_feature!(_mm256_round_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(v))
    }

    #[inline(always)]
    fn power_of_two(self, n: __m256) -> __m256 {
        has_feature! {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn keep_between(
        self,
        v: __m256,
        other: __m256,
        at: __m256,
        (low, high): (__m256, __m256),
    ) -> __m256 {
        has_feature! {
            let above = _mm256_cmp_ps::<_CMP_LE_OQ>(low, at);
            let below = _mm256_cmp_ps::<_CMP_LE_OQ>(at, high);
            _mm256_blendv_ps(other, v, _mm256_and_ps(above, below))
        }
    }

    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        has_feature! {
            let halves = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
            _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)))
        }
    }
}
