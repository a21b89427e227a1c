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
    const LANES: usize = LANES;
    const TILE_ROWS: usize = 6;

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
