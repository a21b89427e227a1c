//! Where keys and values of past tokens lie, and in which number format.
//!
//! One layer's cache is a block of bytes: slots, in each its key heads, in each of them four parts:
//! keys `[capacity, d_key]`, values `[capacity, d_value]`, then, 8-bit only, one f32 scale a key and
//! one a value, `[capacity]` each. Parts start at multiples of [`PART_ALIGN`] bytes. Fresh blocks are
//! zeroed by the system page by page, so a slot takes memory only as far as it is written.

use crate::{isa::Isa, vector::halves_to_floats};
use std::ops::Range;

/// Parts start at multiples of this, so that vectors do not straddle cache lines needlessly.
const PART_ALIGN: usize = 64;

/// Number format of cached keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// 32-bit floats.
    F32,
    /// 16-bit floats (IEEE half).
    F16,
    /// Signed 8-bit codes, symmetric, one f32 scale for each key and each value of a head.
    Int8,
}

impl KvFormat {
    /// Bytes of one number, without scales.
    pub fn value_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }
}

/// Shape and format of one layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Sequences that have room side by side.
    pub n_slots: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Tokens of a slot.
    pub capacity: usize,
    /// Channels of a key.
    pub d_key: usize,
    /// Channels of a stored value; 0 where values are a prefix of the keys.
    pub d_value: usize,
    /// Number format.
    pub format: KvFormat,
}

/// Keys or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Keys,
    Values,
}

impl KvShape {
    /// Bytes of the whole block.
    pub fn n_bytes(&self) -> usize {
        self.n_slots * self.slot_bytes()
    }

    /// Bytes of one slot.
    pub fn slot_bytes(&self) -> usize {
        self.n_kv_heads * self.head_bytes()
    }

    /// Bytes of one head of a slot.
    pub fn head_bytes(&self) -> usize {
        self.scales(Part::Values).end.next_multiple_of(PART_ALIGN)
    }

    /// Bytes that one more token takes in a slot, all heads together.
    pub fn token_bytes(&self) -> usize {
        let codes = (self.d_key + self.d_value) * self.format.value_bytes();
        let has_values = usize::from(self.d_value > 0);
        let scales = match self.format {
            KvFormat::F32 | KvFormat::F16 => 0,
            KvFormat::Int8 => 4 * (1 + has_values),
        };
        self.n_kv_heads * (codes + scales)
    }

    /// The head's bytes in the block.
    pub(crate) fn head(&self, slot: usize, head_idx: usize) -> Range<usize> {
        let start = slot * self.slot_bytes() + head_idx * self.head_bytes();
        start..start + self.head_bytes()
    }

    /// Channels of one row of a part.
    pub(super) fn width(&self, part: Part) -> usize {
        match part {
            Part::Keys => self.d_key,
            Part::Values => self.d_value,
        }
    }

    /// Numbers of a part, inside the head.
    pub(crate) fn codes(&self, part: Part) -> Range<usize> {
        let start = match part {
            Part::Keys => 0,
            Part::Values => self.codes(Part::Keys).end.next_multiple_of(PART_ALIGN),
        };
        start..start + self.capacity * self.width(part) * self.format.value_bytes()
    }

    /// Scales of a part, inside the head; empty for floats.
    pub(crate) fn scales(&self, part: Part) -> Range<usize> {
        let start = match part {
            Part::Keys => self.codes(Part::Values).end,
            Part::Values => self.scales(Part::Keys).end,
        };
        let start = start.next_multiple_of(PART_ALIGN);
        let has_rows = self.width(part) > 0;
        match self.format {
            KvFormat::Int8 if has_rows => start..start + 4 * self.capacity,
            KvFormat::F32 | KvFormat::F16 | KvFormat::Int8 => start..start,
        }
    }

    /// Bytes of the numbers of `rows`, inside the head.
    pub(crate) fn row_codes(&self, part: Part, rows: &Range<usize>) -> Range<usize> {
        let (start, bytes) = (
            self.codes(part).start,
            self.width(part) * self.format.value_bytes(),
        );
        start + rows.start * bytes..start + rows.end * bytes
    }

    /// Bytes of the scales of `rows`, inside the head; empty for floats.
    pub(crate) fn row_scales(&self, part: Part, rows: &Range<usize>) -> Range<usize> {
        let scales = self.scales(part);
        if scales.is_empty() {
            return scales;
        }
        scales.start + 4 * rows.start..scales.start + 4 * rows.end
    }
}

/// Writes one key or value of a head.
///
/// # Shapes
///
/// - `head`: `[head_bytes]`; `values`: the part's width
#[inline(always)]
pub(super) fn write_row<S: Isa>(
    isa: S,
    shape: &KvShape,
    head: &mut [u8],
    (part, position): (Part, usize),
    values: &[f32],
) {
    assert_eq!(values.len(), shape.width(part), "a row of {shape:?}");
    let row = position..position + 1;
    let codes = shape.row_codes(part, &row);
    match shape.format {
        KvFormat::F32 => head[codes].copy_from_slice(bytemuck::cast_slice(values)),
        KvFormat::F16 => write_halves(isa, values, &mut head[codes]),
        KvFormat::Int8 => {
            let scale = write_int8(values, &mut head[codes]);
            head[shape.row_scales(part, &row)].copy_from_slice(&scale.to_le_bytes());
        }
    }
}

#[inline(always)]
fn write_halves<S: Isa>(isa: S, values: &[f32], bytes: &mut [u8]) {
    assert_eq!(bytes.len(), 2 * values.len());
    let n_whole = values.len() / S::LANES * S::LANES;
    for at in (0..n_whole).step_by(S::LANES) {
        // SAFETY: `at + LANES ≤ n_whole ≤` the number of values, of which each takes two bytes.
        unsafe {
            let value = isa.load(values.as_ptr().add(at));
            isa.store_f16(bytes.as_mut_ptr().add(2 * at), value);
        }
    }
    for (value, bytes) in values[n_whole..]
        .iter()
        .zip(bytes[2 * n_whole..].as_chunks_mut::<2>().0)
    {
        *bytes = half::f16::from_f32(*value).to_le_bytes();
    }
}

/// Writes codes −127…127 and returns their scale: largest magnitude / 127.
#[inline(always)]
fn write_int8(values: &[f32], codes: &mut [u8]) -> f32 {
    let largest = values.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
    if largest == 0.0 {
        codes.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / largest;
    for (code, value) in codes.iter_mut().zip(values) {
        // Adding and subtracting 1.5·2²³ rounds to the nearest integer, ties to even,
        // without a library call that would keep the loop from being vectorised.
        const ROUNDER: f32 = 12_582_912.0;
        *code = ((value * inverse + ROUNDER - ROUNDER) as i8).cast_unsigned();
    }
    largest / 127.0
}

/// Keys or values of `rows` as floats: in place where they are, else in `scratch`.
///
/// # Shapes
///
/// - `head`: `[head_bytes]`; result: `[rows, width]`
#[inline(always)]
pub(super) fn read_rows<'a, S: Isa>(
    isa: S,
    shape: &KvShape,
    head: &'a [u8],
    (part, rows): (Part, Range<usize>),
    scratch: &'a mut Vec<f32>,
) -> &'a [f32] {
    assert!(rows.end <= shape.capacity, "rows of {shape:?}");
    let codes = &head[shape.row_codes(part, &rows)];
    let n_values = rows.len() * shape.width(part);
    scratch.resize(n_values.max(scratch.len()), 0.0);
    let floats = &mut scratch[..n_values];
    match shape.format {
        KvFormat::F32 => match bytemuck::try_cast_slice(codes) {
            Ok(in_place) => return in_place,
            // Only a copied block can begin at an odd address.
            Err(_) => bytemuck::cast_slice_mut(floats).copy_from_slice(codes),
        },
        KvFormat::F16 => halves_to_floats(isa, codes, floats),
        KvFormat::Int8 => {
            let scales = head[shape.row_scales(part, &rows)].as_chunks::<4>().0;
            let width = shape.width(part);
            let rows = codes
                .chunks_exact(width)
                .zip(floats.chunks_exact_mut(width));
            for ((codes, floats), scale) in rows.zip(scales) {
                read_int8(isa, codes, f32::from_le_bytes(*scale), floats);
            }
        }
    }
    &scratch[..n_values]
}

#[inline(always)]
fn read_int8<S: Isa>(isa: S, codes: &[u8], scale: f32, floats: &mut [f32]) {
    assert_eq!(codes.len(), floats.len());
    let n_whole = floats.len() / S::LANES * S::LANES;
    let scales = isa.splat(scale);
    for at in (0..n_whole).step_by(S::LANES) {
        // SAFETY: `at + LANES ≤ n_whole ≤` the number of codes and floats.
        unsafe {
            let values = isa.mul(isa.load_i8(codes.as_ptr().add(at)), scales);
            isa.store(floats.as_mut_ptr().add(at), values);
        }
    }
    for (float, code) in floats[n_whole..].iter_mut().zip(&codes[n_whole..]) {
        *float = scale * f32::from(code.cast_signed());
    }
}

/// A prefix that several sequences share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixCopy {
    /// Slot that holds it.
    pub from_slot: usize,
    /// Slot that gets it.
    pub to_slot: usize,
    /// Tokens of the prefix.
    pub n_tokens: usize,
}

impl PrefixCopy {
    /// # Panics
    ///
    /// If a slot or the tokens lie outside the cache.
    pub(crate) fn check(&self, shape: &KvShape) {
        assert!(
            self.from_slot < shape.n_slots && self.to_slot < shape.n_slots,
            "a slot outside {shape:?}"
        );
        assert!(
            self.n_tokens <= shape.capacity,
            "a prefix longer than {shape:?}"
        );
    }
}

/// Copies the first tokens of a slot to another.
///
/// # Shapes
///
/// - `cache`: `[n_bytes]`
///
/// # Panics
///
/// If a slot or the tokens lie outside the cache.
pub fn copy_prefix(shape: &KvShape, cache: &mut [u8], copy: PrefixCopy) {
    assert_eq!(cache.len(), shape.n_bytes(), "a cache of {shape:?}");
    copy.check(shape);
    let rows = 0..copy.n_tokens;
    for head_idx in 0..shape.n_kv_heads {
        let from = shape.head(copy.from_slot, head_idx).start;
        let to = shape.head(copy.to_slot, head_idx).start;
        for part in [Part::Keys, Part::Values] {
            for range in [shape.row_codes(part, &rows), shape.row_scales(part, &rows)] {
                cache.copy_within(from + range.start..from + range.end, to + range.start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Simd, isa::Kernel};

    const SHAPE: KvShape = KvShape {
        n_slots: 3,
        n_kv_heads: 2,
        capacity: 5,
        d_key: 19,
        d_value: 6,
        format: KvFormat::F32,
    };

    struct Write<'a>(&'a KvShape, &'a mut [u8], (Part, usize), &'a [f32]);

    impl Kernel for Write<'_> {
        type Out = ();
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) {
            write_row(isa, self.0, self.1, self.2, self.3);
        }
    }

    struct Read<'a>(&'a KvShape, &'a [u8], (Part, Range<usize>));

    impl Kernel for Read<'_> {
        type Out = Vec<f32>;
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) -> Vec<f32> {
            read_rows(isa, self.0, self.1, self.2, &mut Vec::new()).to_vec()
        }
    }

    fn row(width: usize, seed: usize) -> Vec<f32> {
        (0..width)
            .map(|i| ((i + 31 * seed) as f32 * 0.7).sin())
            .collect()
    }

    /// Fills every head of a slot with rows that name their place.
    fn fill(simd: Simd, shape: &KvShape, cache: &mut [u8], slot: usize) {
        for head_idx in 0..shape.n_kv_heads {
            let head = &mut cache[shape.head(slot, head_idx)];
            for position in 0..shape.capacity {
                let seed = (slot * 7 + head_idx) * 7 + position;
                let (key, value) = (row(shape.d_key, seed), row(shape.d_value, seed + 1000));
                simd.run(Write(shape, head, (Part::Keys, position), &key));
                simd.run(Write(shape, head, (Part::Values, position), &value));
            }
        }
    }

    #[test]
    fn rows_read_back_within_the_step_of_their_format() {
        for simd in Simd::available() {
            for (format, step) in [
                (KvFormat::F32, 0.0),
                (KvFormat::F16, 5e-4),
                (KvFormat::Int8, 0.5001 / 127.0),
            ] {
                let shape = KvShape { format, ..SHAPE };
                let mut cache = vec![0; shape.n_bytes()];
                for slot in 0..shape.n_slots {
                    fill(simd, &shape, &mut cache, slot);
                }
                for (slot, head_idx) in [(0, 0), (1, 1), (2, 1)] {
                    let head = &cache[shape.head(slot, head_idx)];
                    for (part, offset) in [(Part::Keys, 0), (Part::Values, 1000)] {
                        let got = simd.run(Read(&shape, head, (part, 1..5)));
                        for (position, got) in (1..5).zip(got.chunks(shape.width(part))) {
                            let seed = (slot * 7 + head_idx) * 7 + position + offset;
                            for (want, got) in row(got.len(), seed).iter().zip(got) {
                                assert!((want - got).abs() <= step, "{simd:?} {format:?}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_copied_prefix_reads_as_the_original_and_leaves_the_rest() {
        for format in [KvFormat::F32, KvFormat::F16, KvFormat::Int8] {
            let shape = KvShape { format, ..SHAPE };
            let simd = Simd::detect();
            let mut cache = vec![0; shape.n_bytes()];
            for slot in 0..shape.n_slots {
                fill(simd, &shape, &mut cache, slot);
            }
            let before = cache.clone();
            let copy = PrefixCopy {
                from_slot: 2,
                to_slot: 0,
                n_tokens: 3,
            };
            copy_prefix(&shape, &mut cache, copy);
            let read = |cache: &[u8], slot, rows: &Range<usize>| {
                let head = &cache[shape.head(slot, 1)];
                [Part::Keys, Part::Values]
                    .map(|part| simd.run(Read(&shape, head, (part, rows.clone()))))
            };
            assert_eq!(read(&cache, 0, &(0..3)), read(&before, 2, &(0..3)));
            assert_eq!(read(&cache, 0, &(3..5)), read(&before, 0, &(3..5)));
            assert_eq!(read(&cache, 1, &(0..5)), read(&before, 1, &(0..5)));
        }
    }

    #[test]
    fn a_cache_of_keys_alone_has_no_values() {
        let both = KvShape {
            format: KvFormat::Int8,
            ..SHAPE
        };
        let keys = KvShape { d_value: 0, ..both };
        assert_eq!(keys.token_bytes(), 2 * (19 + 4));
        assert_eq!(both.token_bytes(), 2 * (19 + 6 + 8));
        assert!(keys.n_bytes() < both.n_bytes());
    }
}
