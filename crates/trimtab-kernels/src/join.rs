//! Stacks packed weights along their output channels, in memory backed by huge pages where they help.

use crate::PackedShape;

/// Stacks weights along their output channels; `None` if there are none or they differ in format
/// or input channels.
///
/// The result is in `i8`, the element type in which packed weights travel as tensors.
///
/// # Panics
///
/// If a slice does not have the length its shape says.
pub fn join_packed(parts: &[(PackedShape, &[u8])]) -> Option<(PackedShape, Vec<i8>)> {
    let first = parts.first()?.0;
    let is_alike = |shape: &PackedShape| shape.format == first.format && shape.d_in == first.d_in;
    if !parts.iter().all(|(shape, _)| is_alike(shape)) {
        return None;
    }
    let d_out = parts.iter().map(|(shape, _)| shape.d_out).sum();
    let joint = PackedShape { d_out, ..first };
    let mut bytes = huge_page_vec(joint.n_bytes());
    for section in [
        PackedShape::codes,
        PackedShape::scales,
        PackedShape::zero_points,
    ] {
        for (shape, part) in parts {
            assert_eq!(part.len(), shape.n_bytes(), "a weight of shape {shape:?}");
            bytes.extend_from_slice(bytemuck::cast_slice(&part[section(shape)]));
        }
    }
    Some((joint, bytes))
}

/// An empty vector whose memory asks the kernel for huge pages: reading weights then misses the
/// address cache less, which is worth 10–25 % of decode speed.
pub(crate) fn huge_page_vec(capacity: usize) -> Vec<i8> {
    let bytes = Vec::with_capacity(capacity);
    #[cfg(target_os = "linux")]
    advise_huge_pages(bytes.as_ptr(), capacity);
    bytes
}

#[cfg(target_os = "linux")]
fn advise_huge_pages(start: *const i8, len: usize) {
    const HUGE_PAGE: usize = 2 << 20;
    let first = start.addr().next_multiple_of(HUGE_PAGE);
    let end = (start.addr() + len) / HUGE_PAGE * HUGE_PAGE;
    if first < end {
        let aligned = start.with_addr(first).cast_mut().cast();
        // SAFETY: the range lies inside the vector's own allocation; the advice changes how pages
        // are backed, never what they hold. A refusal costs speed only, so it is not looked at.
        unsafe { libc::madvise(aligned, end - first, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PackedFormat, PackedView, pack_int4};
    use half::f16;

    #[test]
    #[expect(clippy::float_cmp, reason = "both sides do the same arithmetic")]
    fn joined_rows_read_as_the_rows_of_their_parts() {
        let format = PackedFormat::Int4 {
            group_size: 64,
            int8_activations: false,
        };
        let part = |d_out: usize, seed: usize| {
            let shape = PackedShape {
                d_out,
                d_in: 70,
                format,
            };
            let codes: Vec<u8> = (0..d_out * 70).map(|i| ((i * seed) % 16) as u8).collect();
            let scales: Vec<f16> = (0..d_out * 2)
                .map(|i| f16::from_f32((i + seed) as f32))
                .collect();
            let zero_points: Vec<u8> = (0..d_out * 2).map(|i| ((i + seed) % 16) as u8).collect();
            (shape, pack_int4(shape, &codes, &scales, &zero_points))
        };
        let parts = [part(3, 5), part(1, 7), part(2, 11)];
        let borrowed: Vec<_> = parts
            .iter()
            .map(|(shape, bytes)| (*shape, &bytes[..]))
            .collect();
        let (joint, bytes) = join_packed(&borrowed).unwrap();
        let joint_view = PackedView::new(joint, bytemuck::cast_slice(&bytes)).unwrap();
        let (mut got, mut want) = ([0.0; 70], [0.0; 70]);
        let mut joint_row = 0;
        for (shape, bytes) in &parts {
            let view = PackedView::new(*shape, bytes).unwrap();
            for row in 0..shape.d_out {
                view.dequantize_row_reference(row, &mut want);
                joint_view.dequantize_row_reference(joint_row, &mut got);
                assert_eq!(got, want, "row {joint_row}");
                joint_row += 1;
            }
        }
    }

    #[test]
    fn weights_of_different_formats_do_not_join() {
        let shape = |format| PackedShape {
            d_out: 1,
            d_in: 1,
            format,
        };
        let (f16, f32) = (shape(PackedFormat::F16), shape(PackedFormat::F32));
        assert!(join_packed(&[(f16, &[0; 2][..]), (f32, &[0; 4][..])]).is_none());
        assert!(join_packed(&[]).is_none());
    }
}
