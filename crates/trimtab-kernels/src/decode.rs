//! Matrix–vector products: one token at a time. Bound by the memory that the weights are read from,
//! so rows are split over all threads.

#[cfg(target_arch = "x86_64")]
use crate::avx2;
use crate::{PackedView, Simd, portable, quantized_activations::Activations};
use rayon::prelude::*;

/// Weights below this size are cheaper to read on one thread than to share out.
const SERIAL_BYTES: usize = 48 * 1024;

/// `out = weight · x` for one token.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `x`: `[d_in]`; `out`: `[d_out]`
pub(crate) fn matvec(simd: Simd, weight: &PackedView<'_>, x: &[f32], out: &mut [f32]) {
    let shape = weight.shape();
    assert_eq!(x.len(), shape.d_in, "activations of a weight {shape:?}");
    assert_eq!(out.len(), shape.d_out, "output of a weight {shape:?}");
    let x = Activations::new(x, shape.format.has_int8_activations());
    if shape.n_bytes() < SERIAL_BYTES {
        return rows(simd, weight, 0, &x, out);
    }
    let chunk = shape
        .d_out
        .div_ceil(2 * rayon::current_num_threads())
        .max(16);
    out.par_chunks_mut(chunk)
        .enumerate()
        .for_each(|(chunk_idx, out)| {
            rows(simd, weight, chunk_idx * chunk, &x, out);
        });
}

fn rows(simd: Simd, weight: &PackedView<'_>, first_row: usize, x: &Activations, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx2 && avx2::can_read(weight) {
        // SAFETY: `Simd::Avx2` is only handed out where the processor has these features.
        return unsafe { avx2::rows_product(weight, first_row, x, out) };
    }
    let _ = simd;
    for (row_idx, out) in (first_row..).zip(out) {
        *out = portable::row_product(weight, row_idx, x);
    }
}
