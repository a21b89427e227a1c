//! One step of attention: which tokens, where they stand, and how the work is shared out.

use super::{
    AttentionShape, KvShape,
    cache::{Part, write_row},
    rope::rotate,
    tile::{Partial, Scratch, Tile, attend_tile},
};
use crate::{
    Simd,
    isa::{Isa, Kernel},
    team,
};
use std::{cell::RefCell, ops::Range, sync::Arc};

thread_local! {
    /// Buffers of this thread, kept from step to step.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Query rows (tokens × heads of a group) that share a pass over the keys.
const TILE_ROWS: usize = 64;

/// Keys of one part, at least, when the keys of a tile are shared out.
const MIN_PART_KEYS: usize = 256;

/// Multiplications below which attention stays on one thread.
const SERIAL_PRODUCTS: usize = 1 << 18;

/// Consecutive new tokens of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Slot of the sequence.
    pub slot: usize,
    /// Position of its first new token: the tokens that the slot holds.
    pub position: usize,
    /// New tokens.
    pub n_tokens: usize,
}

/// What one call attends to.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionStep {
    /// Heads.
    pub shape: AttentionShape,
    /// Channels of a query or key head that are rotated.
    pub rotary: Range<usize>,
    /// A token sees itself and `window − 1` before it; everything before it if absent.
    pub window: Option<usize>,
    /// Factor of the scores, usually `1 / √d_key`.
    pub scale: f32,
    /// The sequences whose new tokens follow each other in the step; no slot twice.
    pub segments: Arc<[Segment]>,
    /// The layer's cache.
    pub kv: KvShape,
}

impl AttentionStep {
    /// New tokens of all segments.
    pub fn n_tokens(&self) -> usize {
        self.segments.iter().map(|segment| segment.n_tokens).sum()
    }

    /// # Panics
    ///
    /// If the numbers contradict each other, or the cache is too short.
    pub(crate) fn check(&self) {
        self.shape.check();
        let kv = &self.kv;
        let fitting = self.shape.kv_shape(kv.n_slots, kv.capacity, kv.format);
        assert_eq!(*kv, fitting, "a cache for {:?}", self.shape);
        assert!(
            self.rotary.end <= self.shape.d_key && self.rotary.len().is_multiple_of(2),
            "rotated channels {:?} of {:?}",
            self.rotary,
            self.shape
        );
        assert!(self.window != Some(0), "an empty window");
        for (idx, segment) in self.segments.iter().enumerate() {
            let is_again = self.segments[..idx].iter().any(|s| s.slot == segment.slot);
            assert!(!is_again, "slot {} twice in a step", segment.slot);
            assert!(segment.slot < kv.n_slots, "{segment:?} outside {kv:?}");
            let has_room = segment.n_tokens <= kv.capacity
                && segment.position <= kv.capacity - segment.n_tokens;
            assert!(has_room, "{segment:?} does not fit {kv:?}");
        }
    }
}

/// One call's inputs.
#[derive(Debug)]
pub struct AttentionCall<'a> {
    /// What is attended to.
    pub step: &'a AttentionStep,
    /// `[n_tokens, d_qkv]`: queries, keys and values; queries and keys are rotated in place.
    pub qkv: &'a mut [f32],
    /// Cosines and sines, `[max_len, rotary / 2]` each; they may carry an amplitude.
    pub rope: Option<(&'a [f32], &'a [f32])>,
    /// `[kv.n_bytes()]`, written at the new positions.
    pub cache: &'a mut [u8],
}

/// Rotates, stores and attends: every new token sees its slot's tokens up to itself.
///
/// # Shapes
///
/// - `out`: `[n_tokens, n_heads · d_value]`
///
/// # Panics
///
/// If sizes contradict each other, or cache or rotary table are too short.
pub fn cached_attention(simd: Simd, call: AttentionCall<'_>, out: &mut [f32]) {
    let step = call.step;
    step.check();
    let n_tokens = step.n_tokens();
    assert_eq!(
        call.qkv.len(),
        n_tokens * step.shape.d_qkv(),
        "{:?}",
        step.shape
    );
    assert_eq!(out.len(), n_tokens * step.shape.d_out(), "{:?}", step.shape);
    assert_eq!(call.cache.len(), step.kv.n_bytes(), "{:?}", step.kv);
    rotate_tokens(step, call.qkv, call.rope);
    simd.run(Store {
        step,
        qkv: call.qkv,
        cache: call.cache,
    });
    let (qkv, cache) = (&*call.qkv, &*call.cache);
    let tiles = tiles(step);
    let attend = |tile: &Tile| {
        SCRATCH.with_borrow_mut(|scratch| {
            simd.run(Attend {
                step,
                tile,
                inputs: (qkv, cache),
                scratch,
            })
        })
    };
    let products: usize = tiles.iter().map(Tile::n_products).sum();
    let partials: Vec<Partial> = if products * step.shape.d_key < SERIAL_PRODUCTS {
        tiles.iter().map(attend).collect()
    } else {
        team::map(tiles.len(), |idx| attend(&tiles[idx]))
    };
    write_out(step, &tiles, partials, out);
}

fn rotate_tokens(step: &AttentionStep, qkv: &mut [f32], rope: Option<(&[f32], &[f32])>) {
    let Some((cos, sin)) = rope else { return };
    let (shape, half) = (step.shape, step.rotary.len() / 2);
    let positions = step
        .segments
        .iter()
        .flat_map(|segment| segment.position..segment.position + segment.n_tokens);
    for (qkv, position) in qkv.chunks_exact_mut(shape.d_qkv()).zip(positions) {
        let angles = position * half..(position + 1) * half;
        assert!(
            angles.end <= cos.len() && angles.end <= sin.len(),
            "the rotary table ends before position {position}"
        );
        let rotated = &mut qkv[..(shape.n_heads + shape.n_kv_heads) * shape.d_key];
        for head in rotated.chunks_exact_mut(shape.d_key) {
            rotate(
                &mut head[step.rotary.clone()],
                &cos[angles.clone()],
                &sin[angles.clone()],
            );
        }
    }
}

/// Writes the new keys and values into the cache.
struct Store<'a> {
    step: &'a AttentionStep,
    qkv: &'a [f32],
    cache: &'a mut [u8],
}

impl Kernel for Store<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let (shape, kv) = (self.step.shape, self.step.kv);
        let positions = self.step.segments.iter().flat_map(|segment| {
            (segment.position..segment.position + segment.n_tokens).map(|at| (segment.slot, at))
        });
        for (qkv, (slot, position)) in self.qkv.chunks_exact(shape.d_qkv()).zip(positions) {
            let (keys, values) =
                qkv[shape.n_heads * shape.d_key..].split_at(shape.n_kv_heads * shape.d_key);
            for head_idx in 0..shape.n_kv_heads {
                let head = &mut self.cache[kv.head(slot, head_idx)];
                let key = &keys[head_idx * kv.d_key..][..kv.d_key];
                write_row(isa, &kv, head, (Part::Keys, position), key);
                if kv.d_value > 0 {
                    let value = &values[head_idx * kv.d_value..][..kv.d_value];
                    write_row(isa, &kv, head, (Part::Values, position), value);
                }
            }
        }
    }
}

struct Attend<'a> {
    step: &'a AttentionStep,
    tile: &'a Tile,
    inputs: (&'a [f32], &'a [u8]),
    scratch: &'a mut Scratch,
}

impl Kernel for Attend<'_> {
    type Out = Partial;

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Partial {
        attend_tile(isa, self.step, self.tile, self.inputs, self.scratch)
    }
}

/// Cuts the step into tiles of neighbouring tokens of one sequence and key head; where they are few
/// and their keys many, each is cut further along its keys.
fn tiles(step: &AttentionStep) -> Vec<Tile> {
    let shape = step.shape;
    let n_tile_tokens = (TILE_ROWS / shape.group_size()).max(1);
    let mut whole = Vec::new();
    let mut segment_token = 0;
    for segment in step.segments.iter() {
        for start in (0..segment.n_tokens).step_by(n_tile_tokens) {
            let n_tokens = n_tile_tokens.min(segment.n_tokens - start);
            let position = segment.position + start;
            let first_key = step
                .window
                .map_or(0, |window| (position + 1).saturating_sub(window));
            for kv_head in 0..shape.n_kv_heads {
                whole.push(Tile {
                    slot: segment.slot,
                    kv_head,
                    first_token: segment_token + start,
                    n_rows: n_tokens * shape.group_size(),
                    position,
                    keys: first_key..position + n_tokens,
                });
            }
        }
        segment_token += segment.n_tokens;
    }
    let wanted = 4 * rayon::current_num_threads();
    if whole.len() >= wanted {
        return whole;
    }
    let n_parts = wanted.div_ceil(whole.len().max(1));
    whole
        .iter()
        .flat_map(|tile| tile.split(n_parts, MIN_PART_KEYS))
        .collect()
}

/// Joins the parts of each tile and writes them where their tokens stand.
fn write_out(step: &AttentionStep, tiles: &[Tile], partials: Vec<Partial>, out: &mut [f32]) {
    let (d_out, d_value) = (step.shape.d_out(), step.shape.d_value);
    let group = step.shape.group_size();
    let mut parts = tiles.iter().zip(partials).peekable();
    while let Some((tile, mut joint)) = parts.next() {
        while let Some((_, more)) = parts.next_if(|(next, _)| next.is_part_of(tile)) {
            joint.join(&more, d_value);
        }
        for (row, mixed) in joint.mixed.chunks_exact(d_value).enumerate() {
            let (token, head) = (
                tile.first_token + row / group,
                tile.kv_head * group + row % group,
            );
            let inverse = 1.0 / joint.sums[row];
            let out = &mut out[token * d_out + head * d_value..][..d_value];
            for (out, mixed) in out.iter_mut().zip(mixed) {
                *out = mixed * inverse;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{HeadValues, KvFormat, RopeTable, attention_reference};

    /// Rounding in f32 of scores up to ten; measured 4e-6.
    const MAX_DIFFERENCE: f32 = 3e-5;

    /// A code may round the other way where f32 and f64 straddle the middle of a step.
    const MAX_INT8_DIFFERENCE: f32 = 5e-3;

    struct Case {
        shape: AttentionShape,
        rotary: Range<usize>,
        window: Option<usize>,
        format: KvFormat,
    }

    /// Queries, keys and values of a sequence; sequences differ.
    fn sequence(case: &Case, idx: usize, n_tokens: usize) -> Vec<f32> {
        (0..n_tokens * case.shape.d_qkv())
            .map(|i| ((i + 977 * idx) as f32 * 0.618).sin() * 1.5)
            .collect()
    }

    /// Runs sequences of `lens` tokens, each in its own slot, through steps of `chunks` tokens each.
    #[track_caller]
    fn check(simd: Simd, case: &Case, lens: &[usize], chunks: &[usize]) {
        let capacity = lens.iter().max().unwrap() + 3;
        let table = RopeTable::new(capacity, case.rotary.len(), 100.0);
        let rope = (!case.rotary.is_empty()).then_some((&table.cos[..], &table.sin[..]));
        let kv = case.shape.kv_shape(lens.len() + 1, capacity, case.format);
        let step = |segments: &[Segment]| AttentionStep {
            shape: case.shape,
            rotary: case.rotary.clone(),
            window: case.window,
            scale: 0.3,
            segments: segments.into(),
            kv,
        };
        let (d_qkv, d_out) = (case.shape.d_qkv(), case.shape.d_out());
        let mut cache = vec![0; kv.n_bytes()];
        let mut got: Vec<Vec<f32>> = vec![Vec::new(); lens.len()];
        let mut chunks = chunks.iter().copied().cycle();
        while got
            .iter()
            .zip(lens)
            .any(|(got, len)| got.len() < len * d_out)
        {
            let (mut segments, mut qkv) = (Vec::new(), Vec::new());
            for (idx, len) in lens.iter().enumerate().rev() {
                let position = got[idx].len() / d_out;
                let n_tokens = chunks.next().unwrap().min(len - position);
                segments.push(Segment {
                    slot: idx + 1,
                    position,
                    n_tokens,
                });
                let all = sequence(case, idx, *len);
                qkv.extend(&all[position * d_qkv..(position + n_tokens) * d_qkv]);
            }
            let step = step(&segments);
            let mut out = vec![f32::NAN; step.n_tokens() * d_out];
            let call = AttentionCall {
                step: &step,
                qkv: &mut qkv,
                rope,
                cache: &mut cache,
            };
            cached_attention(simd, call, &mut out);
            let mut out = &out[..];
            for segment in segments {
                let (these, rest) = out.split_at(segment.n_tokens * d_out);
                got[segment.slot - 1].extend(these);
                out = rest;
            }
        }
        let bound = match case.format {
            KvFormat::F32 | KvFormat::F16 => MAX_DIFFERENCE,
            KvFormat::Int8 => MAX_INT8_DIFFERENCE,
        };
        for (idx, got) in got.iter().enumerate() {
            let want = attention_reference(&step(&[]), &sequence(case, idx, lens[idx]), rope);
            for (at, (want, got)) in want.iter().zip(got).enumerate() {
                let name = format!("{simd:?} {:?} {:?} {lens:?}", case.shape, case.format);
                assert!((want - got).abs() < bound, "{name} {at}: {want} {got}");
            }
        }
    }

    const FORMATS: [KvFormat; 3] = [KvFormat::F32, KvFormat::F16, KvFormat::Int8];

    #[test]
    fn attention_agrees_with_the_reference_however_tokens_are_chunked() {
        for simd in Simd::available() {
            for (n_heads, n_kv_heads, d_head) in [(1, 1, 2), (4, 2, 6), (9, 3, 64), (48, 1, 20)] {
                for format in FORMATS {
                    let case = Case {
                        shape: AttentionShape::grouped(n_heads, n_kv_heads, d_head),
                        rotary: 0..d_head,
                        window: None,
                        format,
                    };
                    for chunks in [&[1][..], &[5], &[1, 1, 1, 2], &[3, 1, 17], &[40]] {
                        check(simd, &case, &[40], chunks);
                    }
                }
            }
        }
    }

    #[test]
    fn sequences_of_a_step_do_not_see_each_other() {
        for simd in Simd::available() {
            for format in FORMATS {
                let case = Case {
                    shape: AttentionShape::grouped(6, 2, 10),
                    rotary: 0..10,
                    window: None,
                    format,
                };
                check(simd, &case, &[9, 1, 30, 17], &[1, 4, 0, 9, 2]);
            }
        }
    }

    #[test]
    fn a_window_hides_what_lies_before_it() {
        for simd in Simd::available() {
            for window in [1, 7, 64, 100] {
                let case = Case {
                    shape: AttentionShape::grouped(6, 2, 10),
                    rotary: 0..10,
                    window: Some(window),
                    format: KvFormat::F32,
                };
                check(simd, &case, &[150], &[1]);
                check(simd, &case, &[150], &[33, 150]);
            }
        }
    }

    #[test]
    fn latent_attention_reads_values_from_its_keys_and_rotates_their_end() {
        for simd in Simd::available() {
            for format in FORMATS {
                let case = Case {
                    shape: AttentionShape {
                        n_heads: 16,
                        n_kv_heads: 1,
                        d_key: 40,
                        d_value: 32,
                        values: HeadValues::KeyPrefix,
                    },
                    rotary: 32..40,
                    window: None,
                    format,
                };
                check(simd, &case, &[70, 11], &[1, 30]);
            }
        }
    }

    #[test]
    fn models_without_rotary_positions_and_with_partial_ones_agree() {
        for simd in Simd::available() {
            for rotary in [0..0, 0..8] {
                let case = Case {
                    shape: AttentionShape::grouped(4, 4, 16),
                    rotary,
                    window: None,
                    format: KvFormat::F16,
                };
                check(simd, &case, &[20], &[6, 1]);
            }
        }
    }

    #[test]
    fn long_contexts_are_shared_out_along_their_keys() {
        for simd in Simd::available() {
            for n_heads in [2, 12] {
                let case = Case {
                    shape: AttentionShape::grouped(n_heads, 1, 8),
                    rotary: 0..8,
                    window: None,
                    format: KvFormat::F32,
                };
                check(simd, &case, &[1500], &[1497, 1]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "twice in a step")]
    fn a_slot_that_comes_twice_is_refused() {
        let shape = AttentionShape::grouped(1, 1, 2);
        let segment = Segment {
            slot: 0,
            position: 0,
            n_tokens: 1,
        };
        let step = AttentionStep {
            shape,
            rotary: 0..2,
            window: None,
            scale: 1.0,
            segments: [segment, segment].into(),
            kv: shape.kv_shape(1, 4, KvFormat::F32),
        };
        step.check();
    }
}
