//! Vectors in plain Rust, eight lanes in an array: the fallback on every machine.

use super::Isa;
use half::f16;
use std::array::from_fn;

/// Plain Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

const LANES: usize = 8;
type Lanes = [f32; LANES];

#[inline(always)]
fn each(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    from_fn(|i| f(a[i], b[i]))
}

impl Isa for Portable {
    type F = Lanes;
    type I = [i32; LANES];
    type B = [u8; 4 * LANES];
    const LANES: usize = LANES;
    const HAS_MANY_REGISTERS: bool = false;
    const WEIGHT_OFFSET: i32 = 0;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Lanes {
        // SAFETY: the caller vouches for the floats.
        unsafe { from.cast::<Lanes>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Lanes) {
        // SAFETY: the caller vouches for the floats.
        unsafe { to.cast::<Lanes>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u8) -> Lanes {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { from.cast::<[[u8; 2]; LANES]>().read_unaligned() };
        bytes.map(|bytes| f16::from_le_bytes(bytes).to_f32())
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u8) -> Lanes {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { from.cast::<[[u8; 2]; LANES]>().read_unaligned() };
        bytes.map(|bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
    }

    #[inline(always)]
    unsafe fn store_f16(self, to: *mut u8, v: Lanes) {
        let bytes = v.map(|value| f16::from_f32(value).to_le_bytes());
        // SAFETY: the caller vouches for the bytes.
        unsafe { to.cast::<[[u8; 2]; LANES]>().write_unaligned(bytes) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const u8) -> Lanes {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { from.cast::<[i8; LANES]>().read_unaligned() };
        bytes.map(f32::from)
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        [value; LANES]
    }

    #[inline(always)]
    fn to_float(self, v: Self::I) -> Lanes {
        v.map(|v| v as f32)
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> Self::B {
        // SAFETY: the caller vouches for the bytes.
        unsafe { from.cast::<Self::B>().read_unaligned() }
    }

    #[inline(always)]
    fn halves(self, v: Self::B, is_high: bool) -> Self::B {
        v.map(|byte| if is_high { byte >> 4 } else { byte & 15 })
    }

    #[inline(always)]
    fn dot_nibbles(self, sums: Self::I, codes: Self::B, x: Self::B) -> Self::I {
        self.dot_codes(sums, codes, x)
    }

    #[inline(always)]
    fn dot_codes(self, sums: Self::I, weights: Self::B, x: Self::B) -> Self::I {
        let product =
            |at: usize| i32::from(weights[at].cast_signed()) * i32::from(x[at].cast_signed());
        from_fn(|i| sums[i] + (4 * i..4 * i + 4).map(product).sum::<i32>())
    }

    #[inline(always)]
    fn splat_bytes(self, word: i32) -> Self::B {
        let bytes = word.to_le_bytes();
        from_fn(|i| bytes[i % 4])
    }

    #[inline(always)]
    fn nibble_pairs(self, v: Self::B, idx: usize) -> Self::I {
        let code = |at: usize| i32::from(v[at] >> (4 * (idx % 2)) & 15);
        from_fn(|i| code(4 * i + idx / 2) | code(4 * i + idx / 2 + 2) << 16)
    }

    #[inline(always)]
    fn byte_pairs(self, v: Self::B, idx: usize) -> Self::I {
        let byte = |at: usize| i32::from(v[at].cast_signed());
        from_fn(|i| byte(4 * i + idx) & 0xffff | byte(4 * i + idx + 2) << 16)
    }

    #[inline(always)]
    fn dot_pairs(self, sums: Self::I, weights: Self::I, x: Self::I) -> Self::I {
        let low = |word: i32| i32::from(word as i16);
        from_fn(|i| sums[i] + low(weights[i]) * low(x[i]) + (weights[i] >> 16) * (x[i] >> 16))
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, f32::max)
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, f32::min)
    }

    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn round(self, v: Lanes) -> Lanes {
        v.map(f32::round_ties_even)
    }

    #[inline(always)]
    fn power_of_two(self, n: Lanes) -> Lanes {
        n.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn keep_between(self, v: Lanes, other: Lanes, at: Lanes, (low, high): (Lanes, Lanes)) -> Lanes {
        from_fn(|i| {
            if low[i] <= at[i] && at[i] <= high[i] {
                v[i]
            } else {
                other[i]
            }
        })
    }

    #[inline(always)]
    fn sum(self, v: Lanes) -> f32 {
        v.iter().sum()
    }
}
