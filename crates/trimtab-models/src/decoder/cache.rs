//! Keys and values of the tokens seen so far, for several sequences side by side.

use burn::tensor::Device;
use std::sync::Arc;
use trimtab_kernels::{KvShape, PrefixCopy, Segment, ops::LayerCache};

/// New tokens of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceStep<'a> {
    /// The sequence's place in the cache.
    pub slot: usize,
    /// Its new tokens.
    pub ids: &'a [u32],
}

/// Keys and values of the tokens seen so far, of `n_slots` sequences.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<Option<LayerCache>>,
    shapes: Vec<KvShape>,
    lens: Vec<usize>,
}

impl KvCache {
    pub(super) fn new(shapes: Vec<KvShape>, device: &Device) -> Self {
        let n_slots = shapes.first().map_or(0, |shape| shape.n_slots);
        Self {
            layers: shapes
                .iter()
                .map(|shape| Some(LayerCache::new(shape, device)))
                .collect(),
            shapes,
            lens: vec![0; n_slots],
        }
    }

    /// Sequences that have room side by side.
    pub fn n_slots(&self) -> usize {
        self.lens.len()
    }

    /// Tokens of a sequence in the cache.
    pub fn len(&self, slot: usize) -> usize {
        self.lens[slot]
    }

    /// Whether no token of the sequence is in the cache.
    pub fn is_empty(&self, slot: usize) -> bool {
        self.lens[slot] == 0
    }

    /// Tokens of a sequence that fit.
    pub fn capacity(&self) -> usize {
        self.shapes.first().map_or(0, |shape| shape.capacity)
    }

    /// Bytes that the tokens in the cache take.
    pub fn used_bytes(&self) -> u64 {
        let token_bytes: usize = self.shapes.iter().map(KvShape::token_bytes).sum();
        (token_bytes * self.lens.iter().sum::<usize>()) as u64
    }

    /// Forgets all but the first `len` tokens of a sequence.
    pub fn truncate(&mut self, slot: usize, len: usize) {
        self.lens[slot] = self.lens[slot].min(len);
    }

    /// Makes the first `len` tokens of `from` the whole of `to`.
    ///
    /// # Panics
    ///
    /// If `from` has fewer tokens, or a layer is in use.
    pub fn copy_prefix(&mut self, from: usize, to: usize, len: usize) {
        assert!(
            len <= self.lens[from],
            "the prefix is longer than its sequence"
        );
        let copy = PrefixCopy {
            from_slot: from,
            to_slot: to,
            n_tokens: len,
        };
        for (layer, shape) in self.layers.iter_mut().zip(&self.shapes) {
            let cache = layer.take().expect("every layer puts its cache back");
            *layer = Some(cache.copy_prefix(shape, copy));
        }
        self.lens[to] = len;
    }

    /// Where the new tokens of a step go.
    pub(super) fn segments(&self, steps: &[SequenceStep<'_>]) -> Arc<[Segment]> {
        let mut is_used = vec![false; self.n_slots()];
        steps
            .iter()
            .map(|step| {
                let (position, n_tokens) = (self.lens[step.slot], step.ids.len());
                assert!(position + n_tokens <= self.capacity(), "the cache is full");
                assert!(!is_used[step.slot], "a slot is named twice in a step");
                is_used[step.slot] = true;
                Segment {
                    slot: step.slot,
                    position,
                    n_tokens,
                }
            })
            .collect()
    }

    pub(super) fn layers_mut(
        &mut self,
    ) -> impl Iterator<Item = (&mut Option<LayerCache>, KvShape)> {
        self.layers.iter_mut().zip(self.shapes.iter().copied())
    }

    pub(super) fn grow(&mut self, steps: &[SequenceStep<'_>]) {
        for step in steps {
            self.lens[step.slot] += step.ids.len();
        }
    }
}
