//! The vector instructions that kernels are written in, so that one source serves every processor.
//!
//! A [`Kernel`] is generic code; [`Simd::run`] compiles it once for each instruction set, with its
//! features enabled, and calls the one asked for.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use crate::Simd;

/// Vectors of an instruction set. A value of the type proves that the processor has it.
///
/// Loads and stores take pointers to [`Isa::LANES`] elements without alignment.
pub(crate) trait Isa: Copy + Send + Sync {
    /// [`Isa::LANES`] floats.
    type F: Copy;
    /// [`Isa::LANES`] 32-bit integers.
    type I: Copy;
    /// `4 · LANES` bytes.
    type B: Copy;
    /// Floats of a vector.
    const LANES: usize;
    /// Whether there are 32 vector registers instead of 16: larger tiles of sums fit them.
    const HAS_MANY_REGISTERS: bool;
    /// What [`Isa::dot_codes`] adds to weights: sums begin with minus this times the other factor.
    const WEIGHT_OFFSET: i32;

    /// All lanes the same.
    fn splat(self, value: f32) -> Self::F;
    /// # Safety
    ///
    /// `from` is valid for reads of `LANES` floats.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// # Safety
    ///
    /// `to` is valid for writes of `LANES` floats.
    unsafe fn store(self, to: *mut f32, v: Self::F);
    /// Halves as floats.
    ///
    /// # Safety
    ///
    /// `from` is valid for reads of `2 · LANES` bytes.
    unsafe fn load_f16(self, from: *const u8) -> Self::F;
    /// Bfloat16 numbers, the upper halves of floats, as floats.
    ///
    /// # Safety
    ///
    /// `from` is valid for reads of `2 · LANES` bytes.
    unsafe fn load_bf16(self, from: *const u8) -> Self::F;
    /// Floats as halves, rounded to nearest even.
    ///
    /// # Safety
    ///
    /// `to` is valid for writes of `2 · LANES` bytes.
    unsafe fn store_f16(self, to: *mut u8, v: Self::F);
    /// Signed bytes as floats.
    ///
    /// # Safety
    ///
    /// `from` is valid for reads of `LANES` bytes.
    unsafe fn load_i8(self, from: *const u8) -> Self::F;

    /// All lanes the same.
    fn splat_int(self, value: i32) -> Self::I;
    /// Integers as floats.
    fn to_float(self, v: Self::I) -> Self::F;

    /// # Safety
    ///
    /// `from` is valid for reads of `4 · LANES` bytes.
    unsafe fn load_bytes(self, from: *const u8) -> Self::B;
    /// The low or high half of every byte.
    fn halves(self, v: Self::B, is_high: bool) -> Self::B;
    /// Adds to every lane four products of codes 0…15 with signed bytes.
    fn dot_nibbles(self, sums: Self::I, codes: Self::B, x: Self::B) -> Self::I;
    /// Adds to every lane four products of signed bytes, the weights with [`Isa::WEIGHT_OFFSET`] added.
    fn dot_codes(self, sums: Self::I, weights: Self::B, x: Self::B) -> Self::I;
    /// `word` in every 32-bit word.
    fn splat_bytes(self, word: i32) -> Self::B;
    /// Of every 32-bit word the 4-bit codes `idx` and `idx + 4` (of eight), as a pair of 16-bit numbers.
    fn nibble_pairs(self, v: Self::B, idx: usize) -> Self::I;
    /// Of every 32-bit word the signed bytes `idx` and `idx + 2`, as a pair of 16-bit numbers.
    fn byte_pairs(self, v: Self::B, idx: usize) -> Self::I;
    /// Adds to every lane two products of 16-bit numbers.
    fn dot_pairs(self, sums: Self::I, weights: Self::I, x: Self::I) -> Self::I;

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a − b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger of each lane.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller of each lane.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The nearest integer.
    fn round(self, v: Self::F) -> Self::F;
    /// 2ⁿ for integral `n` in −126…127.
    fn power_of_two(self, n: Self::F) -> Self::F;
    /// `v` where `low ≤ at ≤ high`, and `other` elsewhere.
    fn keep_between(
        self,
        v: Self::F,
        other: Self::F,
        at: Self::F,
        bounds: (Self::F, Self::F),
    ) -> Self::F;
    /// Sum of all lanes.
    fn sum(self, v: Self::F) -> f32;

    /// eˣ with a relative error below 2⁻²², for x in −87…88; beyond that the bound's value.
    ///
    /// Source: the Cephes library's `expf`, <https://www.netlib.org/cephes/>.
    #[inline(always)]
    fn exp(self, x: Self::F) -> Self::F {
        const COEFFICIENTS: [f32; 5] = [1.398_2e-3, 8.333_452e-3, 4.166_58e-2, 1.666_666_6e-1, 0.5];
        let x = self.max(self.min(x, self.splat(88.0)), self.splat(-87.0));
        let n = self.round(self.mul(x, self.splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts, so that n · ln 2 is subtracted without rounding away the low bits.
        let r = self.fma(n, self.splat(-0.693_359_4), x);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for coefficient in COEFFICIENTS {
            p = self.fma(p, r, self.splat(coefficient));
        }
        let y = self.add(self.fma(p, self.mul(r, r), r), self.splat(1.0));
        self.mul(y, self.power_of_two(n))
    }
}

/// Generic code that [`Simd::run`] compiles for each instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Out;
    /// The code; marked `#[inline(always)]`, or it is compiled without the instructions.
    fn run<S: Isa>(self, isa: S) -> Self::Out;
}

impl Simd {
    /// Runs `kernel` with these instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Simd::Avx512` is only handed out where the processor has these features.
            Self::Avx512 => unsafe { avx512::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Simd::Avx2` is only handed out where the processor has these features.
            Self::Avx2 => unsafe { avx2::run(kernel) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: `Simd::Neon` is only handed out where the processor has these features.
            Self::Neon => unsafe { neon::run(kernel) },
            Self::Portable => kernel.run(portable::Portable),
        }
    }
}
