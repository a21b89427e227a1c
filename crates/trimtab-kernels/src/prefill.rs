//! Matrix products of many tokens: panels of the weight are dequantised into the cache,
//! then multiplied by the `gemm` crate. Bound by arithmetic.

#[cfg(target_arch = "x86_64")]
use crate::avx2;
use crate::{PackedView, Simd, portable, quantized_activations::Activations};
use gemm::Parallelism;
use rayon::prelude::*;

/// Floats of one dequantised panel: 512 KiB, so that it stays in the second-level cache.
const PANEL_FLOATS: usize = 128 * 1024;

/// `out = x · weightᵀ` for several tokens.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `x`: `[n_tokens, d_in]`; `out`: `[n_tokens, d_out]`
pub(crate) fn matmul(simd: Simd, weight: &PackedView<'_>, x: &[f32], out: &mut [f32]) {
    let shape = weight.shape();
    let n_tokens = x.len() / shape.d_in;
    assert_eq!(
        x.len(),
        n_tokens * shape.d_in,
        "activations of a weight {shape:?}"
    );
    assert_eq!(
        out.len(),
        n_tokens * shape.d_out,
        "output of a weight {shape:?}"
    );
    let rounded = shape.format.has_int8_activations().then(|| {
        let mut x = x.to_vec();
        x.par_chunks_mut(shape.d_in)
            .for_each(Activations::round_trip);
        x
    });
    let x = rounded.as_deref().unwrap_or(x);
    let even_share = shape.d_out.div_ceil(rayon::current_num_threads());
    let n_rows = (PANEL_FLOATS / shape.d_in).clamp(16, even_share.max(16));
    let out = SharedOut {
        start: out.as_mut_ptr(),
        len: out.len(),
    };
    (0..shape.d_out.div_ceil(n_rows))
        .into_par_iter()
        .for_each_init(Vec::new, |panel, idx| {
            let first_row = idx * n_rows;
            let n_rows = n_rows.min(shape.d_out - first_row);
            panel.resize(n_rows * shape.d_in, 0.0);
            for (row, floats) in panel.chunks_exact_mut(shape.d_in).enumerate() {
                dequantize_row(simd, weight, first_row + row, floats);
            }
            multiply_panel(x, panel, shape.d_in, &out, first_row, shape.d_out);
        });
}

/// Writes one row as floats.
pub(crate) fn dequantize_row(simd: Simd, weight: &PackedView<'_>, row: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx2 && avx2::can_read(weight) {
        // SAFETY: `Simd::Avx2` is only handed out where the processor has these features.
        return unsafe { avx2::dequantize_row(weight, row, out) };
    }
    let _ = simd;
    portable::dequantize_row(weight, row, out);
}

/// The output matrix, of which every panel writes its own columns.
struct SharedOut {
    start: *mut f32,
    len: usize,
}

// SAFETY: panels write disjoint columns, see `multiply_panel`.
unsafe impl Sync for SharedOut {}

/// Columns `first_row..` of `out` = `x` · `panel`ᵀ.
fn multiply_panel(
    x: &[f32],
    panel: &[f32],
    d_in: usize,
    out: &SharedOut,
    first_row: usize,
    d_out: usize,
) {
    let (n_tokens, n_rows) = (x.len() / d_in, panel.len() / d_in);
    assert!((n_tokens.saturating_sub(1)) * d_out + first_row + n_rows <= out.len);
    // SAFETY: the assertion keeps every write inside `out`; panels have disjoint `first_row`
    // ranges, so no two threads write one element; strides are those of dense row-major matrices.
    unsafe {
        gemm::gemm(
            n_tokens,
            n_rows,
            d_in,
            out.start.add(first_row),
            1,
            d_out.cast_signed(),
            false,
            x.as_ptr(),
            1,
            d_in.cast_signed(),
            panel.as_ptr(),
            d_in.cast_signed(),
            1,
            0.0_f32,
            1.0_f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
