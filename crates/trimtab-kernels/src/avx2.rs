//! Row products with AVX2, FMA and F16C.
//!
//! Loops run over arrays of fixed size cut from slices, so that no load can pass an end;
//! the only unsafe parts are the unaligned loads and stores themselves.

#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "intrinsics carry their own prefix")
)]
#![expect(
    clippy::inline_always,
    reason = "a load that is not inlined loses the vector registers of its caller"
)]

use crate::{PackedFormat, PackedView, portable, quantized_activations::Activations, shape::BLOCK};
use std::arch::x86_64::*;

/// Groups a row can have; longer rows take the portable path.
const MAX_GROUPS: usize = 512;

/// Whether [`rows_product`] can read this weight.
pub(crate) fn can_read(weight: &PackedView<'_>) -> bool {
    weight.shape().n_groups() <= MAX_GROUPS
}

/// Products of consecutive rows, starting at `first_row`, with the activations.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn rows_product(
    weight: &PackedView<'_>,
    first_row: usize,
    x: &Activations,
    out: &mut [f32],
) {
    let d_in = weight.shape().d_in;
    match weight.shape().format {
        PackedFormat::F32 => {
            for (row_idx, out) in (first_row..).zip(out) {
                *out = dot_f32(weight.row(row_idx), &x.values[..d_in]);
            }
        }
        PackedFormat::F16 => {
            for (row_idx, out) in (first_row..).zip(out) {
                *out = dot_f16(weight.row(row_idx), &x.values[..d_in]);
            }
        }
        PackedFormat::Int8 {
            group_size,
            int8_activations,
        } => {
            let product = if int8_activations {
                int8_int8_row
            } else {
                int8_float_row
            };
            quantized_rows(weight, first_row, out, group_size, |row, scales, _| {
                product(row, scales, x)
            });
        }
        PackedFormat::Int4 {
            group_size,
            int8_activations,
        } => {
            let product = if int8_activations {
                int4_int8_row
            } else {
                int4_float_row
            };
            quantized_rows(
                weight,
                first_row,
                out,
                group_size,
                |row, scales, zero_points| product(row, scales, zero_points, x),
            );
        }
    }
}

/// Expands scales and zero points of each row to one a block and calls the row product.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn quantized_rows(
    weight: &PackedView<'_>,
    first_row: usize,
    out: &mut [f32],
    group_size: usize,
    product: impl Fn(&[u8], &[f32], &[f32]) -> f32,
) {
    let (n_groups, blocks_per_group) = (weight.shape().n_groups(), group_size / BLOCK);
    let n_blocks = weight.shape().d_in_padded() / BLOCK;
    let mut scales = [0.0; MAX_GROUPS];
    let mut zero_points = [0.0; MAX_GROUPS];
    let mut expanded = (Vec::new(), Vec::new());
    for (row_idx, out) in (first_row..).zip(out) {
        floats_from_f16(weight.row_scales(row_idx), &mut scales[..n_groups]);
        for (zero_point, byte) in zero_points.iter_mut().zip(weight.row_zero_points(row_idx)) {
            *zero_point = f32::from(*byte);
        }
        let row = weight.row(row_idx);
        *out = if blocks_per_group == 1 {
            product(row, &scales[..n_blocks], &zero_points[..n_blocks])
        } else {
            let of_block = |values: &[f32; MAX_GROUPS], expanded: &mut Vec<f32>| {
                expanded.clear();
                expanded.extend((0..n_blocks).map(|block| values[block / blocks_per_group]));
            };
            of_block(&scales, &mut expanded.0);
            of_block(&zero_points, &mut expanded.1);
            product(row, &expanded.0, &expanded.1)
        };
    }
}

#[target_feature(enable = "avx2,fma")]
fn int8_float_row(row: &[u8], scales: &[f32], x: &Activations) -> f32 {
    let mut total = _mm256_setzero_ps();
    let blocks = row
        .as_chunks::<BLOCK>()
        .0
        .iter()
        .zip(x.values.as_chunks::<BLOCK>().0);
    for ((codes, x), scale) in blocks.zip(scales) {
        let mut sums = [_mm256_setzero_ps(); 4];
        for part in 0..8 {
            let codes = _mm256_cvtepi8_epi32(load_8_bytes(codes, 8 * part));
            let w = _mm256_cvtepi32_ps(codes);
            sums[part % 4] = _mm256_fmadd_ps(w, load_floats(x, 8 * part), sums[part % 4]);
        }
        total = _mm256_fmadd_ps(add_four(sums), _mm256_set1_ps(*scale), total);
    }
    horizontal_sum(total)
}

#[target_feature(enable = "avx2,fma")]
fn int8_int8_row(row: &[u8], scales: &[f32], x: &Activations) -> f32 {
    let ones = _mm256_set1_epi16(1);
    let mut total = _mm256_setzero_ps();
    let blocks = row
        .as_chunks::<BLOCK>()
        .0
        .iter()
        .zip(x.codes.as_chunks::<BLOCK>().0);
    for (((w, x_codes), scale), x_scale) in blocks.zip(scales).zip(&x.scales) {
        let mut sum = _mm256_setzero_si256();
        for part in 0..2 {
            let w = load_32_bytes(w, 32 * part);
            let x = load_32_codes(x_codes, 32 * part);
            // The product of an unsigned and a signed byte is what AVX2 has: |w| · (x with w's sign).
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
        }
        let scale = _mm256_set1_ps(scale * x_scale);
        total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, total);
    }
    horizontal_sum(total)
}

#[target_feature(enable = "avx2,fma")]
fn int4_float_row(row: &[u8], scales: &[f32], zero_points: &[f32], x: &Activations) -> f32 {
    let mask = _mm_set1_epi8(15);
    let mut total = _mm256_setzero_ps();
    let blocks = row
        .as_chunks::<32>()
        .0
        .iter()
        .zip(x.values.as_chunks::<BLOCK>().0);
    for ((bytes, x), scale) in blocks.zip(scales) {
        let mut sums = [_mm256_setzero_ps(); 4];
        for half in 0..2 {
            let bytes = load_16_bytes(bytes, 16 * half);
            let low = _mm_and_si128(bytes, mask);
            let high = _mm_and_si128(_mm_srli_epi16::<4>(bytes), mask);
            let parts = [
                low,
                _mm_srli_si128::<8>(low),
                high,
                _mm_srli_si128::<8>(high),
            ];
            for (part, codes) in parts.into_iter().enumerate() {
                let w = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes));
                let at = 16 * half + 32 * (part / 2) + 8 * (part % 2);
                sums[part] = _mm256_fmadd_ps(w, load_floats(x, at), sums[part]);
            }
        }
        total = _mm256_fmadd_ps(add_four(sums), _mm256_set1_ps(*scale), total);
    }
    horizontal_sum(total) - offset(scales, zero_points, &x.sums)
}

#[target_feature(enable = "avx2,fma")]
fn int4_int8_row(row: &[u8], scales: &[f32], zero_points: &[f32], x: &Activations) -> f32 {
    let (mask, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    let mut total = _mm256_setzero_ps();
    let blocks = row
        .as_chunks::<32>()
        .0
        .iter()
        .zip(x.codes.as_chunks::<BLOCK>().0);
    for (((bytes, x_codes), scale), x_scale) in blocks.zip(scales).zip(&x.scales) {
        let bytes = load_32_bytes(bytes, 0);
        let low = _mm256_and_si256(bytes, mask);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask);
        // At most 2 · 2 · 15 · 127 = 7,620: far from the 16-bit limit.
        let low = _mm256_maddubs_epi16(low, load_32_codes(x_codes, 0));
        let high = _mm256_maddubs_epi16(high, load_32_codes(x_codes, 32));
        let sum = _mm256_madd_epi16(_mm256_add_epi16(low, high), ones);
        let scale = _mm256_set1_ps(scale * x_scale);
        total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, total);
    }
    horizontal_sum(total) - offset(scales, zero_points, &x.sums)
}

/// Σ scale · zero point · sum of activations, over blocks.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn offset(scales: &[f32], zero_points: &[f32], sums: &[f32]) -> f32 {
    let (scale_parts, scale_tail) = scales.as_chunks::<8>();
    let (zero_parts, zero_tail) = zero_points.as_chunks::<8>();
    let (sum_parts, sum_tail) = sums.as_chunks::<8>();
    let mut total = _mm256_setzero_ps();
    for ((scale, zero), sum) in scale_parts.iter().zip(zero_parts).zip(sum_parts) {
        let scaled = _mm256_mul_ps(load_floats(scale, 0), load_floats(zero, 0));
        total = _mm256_fmadd_ps(scaled, load_floats(sum, 0), total);
    }
    let tail: f32 = scale_tail
        .iter()
        .zip(zero_tail)
        .zip(sum_tail)
        .map(|((s, z), sum)| s * z * sum)
        .sum();
    horizontal_sum(total) + tail
}

#[target_feature(enable = "avx2,fma")]
fn dot_f32(row: &[u8], x: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    let (parts, tail) = row.as_chunks::<128>();
    let (x_parts, x_tail) = x.as_chunks::<32>();
    for (bytes, x) in parts.iter().zip(x_parts) {
        for (part, sum) in sums.iter_mut().enumerate() {
            let w = _mm256_castsi256_ps(load_32_bytes(bytes, 32 * part));
            *sum = _mm256_fmadd_ps(w, load_floats(x, 8 * part), *sum);
        }
    }
    horizontal_sum(add_four(sums)) + portable::dot_f32_bytes(tail, x_tail)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot_f16(row: &[u8], x: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    let (parts, tail) = row.as_chunks::<64>();
    let (x_parts, x_tail) = x.as_chunks::<32>();
    for (bytes, x) in parts.iter().zip(x_parts) {
        for (part, sum) in sums.iter_mut().enumerate() {
            let w = _mm256_cvtph_ps(load_16_bytes(bytes, 16 * part));
            *sum = _mm256_fmadd_ps(w, load_floats(x, 8 * part), *sum);
        }
    }
    horizontal_sum(add_four(sums)) + portable::dot_f16_bytes(tail, x_tail)
}

/// Writes row `row_idx` as floats.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn dequantize_row(weight: &PackedView<'_>, row_idx: usize, out: &mut [f32]) {
    let row = weight.row(row_idx);
    match weight.shape().format {
        PackedFormat::F32 => portable::dequantize_row(weight, row_idx, out),
        PackedFormat::F16 => floats_from_f16(row, out),
        PackedFormat::Int8 { group_size, .. } => {
            let mut scales = [0.0; MAX_GROUPS];
            floats_from_f16(
                weight.row_scales(row_idx),
                &mut scales[..weight.shape().n_groups()],
            );
            for (channel, (code, out)) in row.iter().zip(out).enumerate() {
                *out = f32::from(code.cast_signed()) * scales[channel / group_size];
            }
        }
        PackedFormat::Int4 { group_size, .. } => {
            let mut scales = [0.0; MAX_GROUPS];
            floats_from_f16(
                weight.row_scales(row_idx),
                &mut scales[..weight.shape().n_groups()],
            );
            let zero_points = weight.row_zero_points(row_idx);
            for (block_idx, (bytes, out)) in row
                .as_chunks::<32>()
                .0
                .iter()
                .zip(out.chunks_mut(BLOCK))
                .enumerate()
            {
                let group = block_idx * BLOCK / group_size;
                dequantize_int4_block(bytes, scales[group], f32::from(zero_points[group]), out);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dequantize_int4_block(bytes: &[u8; 32], scale: f32, zero_point: f32, out: &mut [f32]) {
    let n_low = out.len().min(32);
    let (low, high) = out.split_at_mut(n_low);
    for (out, byte) in low.iter_mut().zip(bytes) {
        *out = (f32::from(byte & 15) - zero_point) * scale;
    }
    for (out, byte) in high.iter_mut().zip(bytes) {
        *out = (f32::from(byte >> 4) - zero_point) * scale;
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn floats_from_f16(bytes: &[u8], out: &mut [f32]) {
    let (parts, tail) = bytes.as_chunks::<16>();
    let (out_parts, out_tail) = out.as_chunks_mut::<8>();
    for (bytes, out) in parts.iter().zip(out_parts) {
        store_floats(out, _mm256_cvtph_ps(load_16_bytes(bytes, 0)));
    }
    for (idx, out) in out_tail.iter_mut().enumerate() {
        *out = crate::shape::f16_at(tail, idx);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_four(v: [__m256; 4]) -> __m256 {
    _mm256_add_ps(_mm256_add_ps(v[0], v[1]), _mm256_add_ps(v[2], v[3]))
}

#[inline]
#[target_feature(enable = "avx2")]
fn horizontal_sum(v: __m256) -> f32 {
    let halves = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let pairs = _mm_hadd_ps(halves, halves);
    _mm_cvtss_f32(_mm_hadd_ps(pairs, pairs))
}

#[inline(always)]
fn load_floats<const N: usize>(values: &[f32; N], at: usize) -> __m256 {
    assert!(at + 8 <= N, "callers pass constants");
    // SAFETY: 8 floats from `at` lie inside the array, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(values.as_ptr().add(at)) }
}

#[inline(always)]
fn store_floats(values: &mut [f32; 8], v: __m256) {
    // SAFETY: the array holds the 8 floats that are written, and the store needs no alignment.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), v) }
}

#[inline(always)]
fn load_8_bytes<const N: usize>(bytes: &[u8; N], at: usize) -> __m128i {
    assert!(at + 8 <= N, "callers pass constants");
    // SAFETY: 8 bytes from `at` lie inside the array, and the load needs no alignment.
    unsafe { _mm_loadl_epi64(bytes.as_ptr().add(at).cast()) }
}

#[inline(always)]
fn load_16_bytes<const N: usize>(bytes: &[u8; N], at: usize) -> __m128i {
    assert!(at + 16 <= N, "callers pass constants");
    // SAFETY: 16 bytes from `at` lie inside the array, and the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().add(at).cast()) }
}

#[inline(always)]
fn load_32_bytes<const N: usize>(bytes: &[u8; N], at: usize) -> __m256i {
    assert!(at + 32 <= N, "callers pass constants");
    // SAFETY: 32 bytes from `at` lie inside the array, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().add(at).cast()) }
}

#[inline(always)]
fn load_32_codes<const N: usize>(codes: &[i8; N], at: usize) -> __m256i {
    assert!(at + 32 <= N, "callers pass constants");
    // SAFETY: 32 bytes from `at` lie inside the array, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(codes.as_ptr().add(at).cast()) }
}
