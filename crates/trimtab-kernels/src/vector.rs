//! Loops over slices with the vectors of an instruction set.

use crate::isa::Isa;

/// Product of two slices of the same length.
#[inline(always)]
pub(crate) fn dot<S: Isa>(isa: S, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let mut sums = [isa.splat(0.0); 4];
    let n_whole = a.len() / (4 * S::LANES) * (4 * S::LANES);
    for at in (0..n_whole).step_by(4 * S::LANES) {
        for (part, sum) in sums.iter_mut().enumerate() {
            let at = at + part * S::LANES;
            // SAFETY: `at + LANES ≤ n_whole ≤` both lengths.
            *sum = unsafe {
                isa.fma(
                    isa.load(a.as_ptr().add(at)),
                    isa.load(b.as_ptr().add(at)),
                    *sum,
                )
            };
        }
    }
    let n_vectors = a.len() / S::LANES * S::LANES;
    for at in (n_whole..n_vectors).step_by(S::LANES) {
        // SAFETY: `at + LANES ≤ n_vectors ≤` both lengths.
        sums[0] = unsafe {
            isa.fma(
                isa.load(a.as_ptr().add(at)),
                isa.load(b.as_ptr().add(at)),
                sums[0],
            )
        };
    }
    let tail: f32 = a[n_vectors..]
        .iter()
        .zip(&b[n_vectors..])
        .map(|(a, b)| a * b)
        .sum();
    let sum = isa.add(isa.add(sums[0], sums[1]), isa.add(sums[2], sums[3]));
    isa.sum(sum) + tail
}

/// Replaces every value by e^(value − `largest`) and returns their sum.
#[inline(always)]
pub(crate) fn exp_sum<S: Isa>(isa: S, values: &mut [f32], largest: f32) -> f32 {
    let n_whole = values.len() / S::LANES * S::LANES;
    let mut sum = isa.splat(0.0);
    for at in (0..n_whole).step_by(S::LANES) {
        // SAFETY: `at + LANES ≤ n_whole ≤` the length.
        unsafe {
            let to = values.as_mut_ptr().add(at);
            let weight = isa.exp(isa.sub(isa.load(to), isa.splat(largest)));
            isa.store(to, weight);
            sum = isa.add(sum, weight);
        }
    }
    let mut sum = isa.sum(sum);
    for value in &mut values[n_whole..] {
        *value = (*value - largest).exp();
        sum += *value;
    }
    sum
}

/// Replaces `a` by `f(a, b)`, vector by vector; the last vectors are padded with zeros.
#[inline(always)]
pub(crate) fn map_pairs<S: Isa>(isa: S, a: &mut [f32], b: &[f32], f: impl Fn(S::F, S::F) -> S::F) {
    assert_eq!(a.len(), b.len());
    let n_whole = a.len() / S::LANES * S::LANES;
    for at in (0..n_whole).step_by(S::LANES) {
        // SAFETY: `at + LANES ≤ n_whole ≤` both lengths.
        unsafe {
            let to = a.as_mut_ptr().add(at);
            isa.store(to, f(isa.load(to), isa.load(b.as_ptr().add(at))));
        }
    }
    let (a, b) = (&mut a[n_whole..], &b[n_whole..]);
    let mut padded = [[0.0; MAX_LANES]; 2];
    padded[0][..a.len()].copy_from_slice(a);
    padded[1][..b.len()].copy_from_slice(b);
    // SAFETY: both arrays hold as many floats as the longest vector.
    unsafe {
        let value = f(isa.load(padded[0].as_ptr()), isa.load(padded[1].as_ptr()));
        isa.store(padded[0].as_mut_ptr(), value);
    }
    a.copy_from_slice(&padded[0][..a.len()]);
}

/// Halves in bytes as floats.
#[inline(always)]
pub(crate) fn halves_to_floats<S: Isa>(isa: S, bytes: &[u8], floats: &mut [f32]) {
    assert_eq!(bytes.len(), 2 * floats.len());
    let n_whole = floats.len() / S::LANES * S::LANES;
    for at in (0..n_whole).step_by(S::LANES) {
        // SAFETY: `at + LANES ≤ n_whole ≤` the number of values, of which each takes two bytes.
        unsafe {
            isa.store(
                floats.as_mut_ptr().add(at),
                isa.load_f16(bytes.as_ptr().add(2 * at)),
            );
        }
    }
    let (mut tail_bytes, mut tail) = ([0; 2 * MAX_LANES], [0.0; MAX_LANES]);
    let (rest, rest_bytes) = (&mut floats[n_whole..], &bytes[2 * n_whole..]);
    tail_bytes[..rest_bytes.len()].copy_from_slice(rest_bytes);
    // SAFETY: both arrays are as long as the longest vector.
    unsafe { isa.store(tail.as_mut_ptr(), isa.load_f16(tail_bytes.as_ptr())) }
    rest.copy_from_slice(&tail[..rest.len()]);
}

/// Lanes of the longest vector.
pub(crate) const MAX_LANES: usize = 16;
