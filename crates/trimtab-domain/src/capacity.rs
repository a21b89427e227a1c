//! What a model needs in memory, computed from its sizes before it is loaded, and whether that fits.
//!
//! Plain arithmetic. The size of the weights comes in, since it depends on the recipe; keys and
//! values, working space and the program are computed here.

use crate::{Bytes, KvCacheFormat};
use serde::{Deserialize, Serialize};

/// Tokens that go through the model at once while it reads a text.
const PREFILL_CHUNK: u64 = 512;

/// Positions whose scores over the vocabulary are in memory at once while a text is scored.
const HEAD_CHUNK: u64 = 64;

/// The program with its threads and buffers, without a model; measured as peak memory less weights,
/// cache and tokenizer.
const PROGRAM_BYTES: u64 = 32_000_000;

/// Memory of the tokenizer for each entry of the vocabulary, its merges included; measured with
/// 49,152 and 151,936 entries.
const TOKENIZER_BYTES_PER_ENTRY: u64 = 530;

/// The sizes that decide what a model needs beside its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryShape {
    /// Decoder blocks.
    pub n_layers: u32,
    /// Rows that a token leaves behind in each block: a key and a value for every key-value head,
    /// or a single latent row.
    pub n_kv_rows: u32,
    /// Values of such a row.
    pub d_kv_row: u32,
    /// Floats that a token takes at the widest moment of a block.
    pub n_block_floats: u32,
    /// Entries of the vocabulary.
    pub vocab_size: u32,
}

impl MemoryShape {
    /// Keys and values of a text.
    pub fn kv_cache(&self, n_tokens: u32, format: KvCacheFormat) -> Bytes {
        let rows = u64::from(self.n_layers) * u64::from(self.n_kv_rows) * u64::from(n_tokens);
        let n_values = u64::from(self.d_kv_row);
        let row_bytes = match format {
            KvCacheFormat::F32 => 4 * n_values,
            KvCacheFormat::F16 => 2 * n_values,
            KvCacheFormat::Int8 => n_values + 4,
        };
        Bytes(rows.saturating_mul(row_bytes))
    }

    /// Activations of the tokens that are computed at once, and scores over the vocabulary.
    pub fn work(&self, n_tokens: u32) -> Bytes {
        let n_tokens = u64::from(n_tokens);
        let block = n_tokens.min(PREFILL_CHUNK) * u64::from(self.n_block_floats);
        let scores = n_tokens.min(HEAD_CHUNK) * u64::from(self.vocab_size);
        Bytes(4 * (block + scores))
    }

    /// The program and the tokenizer.
    pub fn program(&self) -> Bytes {
        Bytes(PROGRAM_BYTES + TOKENIZER_BYTES_PER_ENTRY * u64::from(self.vocab_size))
    }

    /// All of it, for weights of a known size.
    pub fn need(&self, weights: Bytes, n_tokens: u32, format: KvCacheFormat) -> MemoryNeed {
        MemoryNeed {
            weights,
            kv_cache: self.kv_cache(n_tokens, format),
            work: self.work(n_tokens),
            program: self.program(),
        }
    }
}

/// What a variant needs in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryNeed {
    /// Packed weights.
    pub weights: Bytes,
    /// Keys and values of the text.
    pub kv_cache: Bytes,
    /// Activations and scores.
    pub work: Bytes,
    /// The program and the tokenizer.
    pub program: Bytes,
}

impl MemoryNeed {
    /// The sum.
    pub fn total(&self) -> Bytes {
        let parts = [self.weights, self.kv_cache, self.work, self.program];
        Bytes(parts.iter().fold(0, |sum, part| part.0.saturating_add(sum)))
    }
}

/// A memory that models can be held in: the machine's own, or that of a graphics card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlace {
    /// Name for people.
    pub name: String,
    /// What there is.
    pub total: Bytes,
    /// What is free now.
    pub free: Bytes,
}

impl MemoryPlace {
    /// Whether `needed` fits, with an eighth to spare: the allocator keeps some of what was freed.
    pub fn fit(&self, needed: Bytes) -> Fit {
        let with_reserve = needed.0.saturating_add(needed.0 / 8);
        if with_reserve <= self.free.0 {
            Fit::Fits
        } else if with_reserve <= self.total.0 {
            Fit::FitsWhenFreed
        } else {
            Fit::TooLarge
        }
    }
}

/// Whether something fits into a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It fits into what is free.
    Fits,
    /// It would fit if other programs held less.
    FitsWhenFreed,
    /// It does not fit.
    TooLarge,
}

impl Fit {
    /// How people say it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::FitsWhenFreed => "fits once other programs end",
            Self::TooLarge => "too large",
        }
    }
}

/// What a model needs, preset by preset, and where it fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityView {
    /// The model, as it was named.
    pub model: String,
    /// Weights in all.
    pub n_parameters: u64,
    /// Longest text that can be worked with.
    pub max_len: u32,
    /// Length of the text that `presets` is about, in tokens.
    pub n_tokens: u32,
    /// How its keys and values are kept.
    pub kv_format: KvCacheFormat,
    /// Memories of this machine.
    pub places: Vec<MemoryPlace>,
    /// What each preset needs.
    pub presets: Vec<PresetNeed>,
    /// Keys and values of longer and shorter texts.
    pub texts: Vec<TextNeed>,
}

/// What one preset needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresetNeed {
    /// The preset.
    pub preset: String,
    /// What it needs.
    pub need: MemoryNeed,
    /// The sum.
    pub total: Bytes,
    /// Whether it fits, for each of the places.
    pub fits: Vec<Fit>,
}

/// What the keys and values of a text need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextNeed {
    /// Length of the text.
    pub n_tokens: u32,
    /// Size in every format.
    pub kv_cache: Vec<(KvCacheFormat, Bytes)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Qwen2.5-Coder 0.5B: 24 blocks, 2 key-value heads of 64 channels, 4,864 channels in the MLP.
    const QWEN: MemoryShape = MemoryShape {
        n_layers: 24,
        n_kv_rows: 4,
        d_kv_row: 64,
        n_block_floats: 17_280,
        vocab_size: 151_936,
    };

    #[test]
    fn keys_and_values_grow_with_the_text_and_shrink_with_the_format() {
        assert_eq!(QWEN.kv_cache(0, KvCacheFormat::F32), Bytes(0));
        assert_eq!(QWEN.kv_cache(1, KvCacheFormat::F32), Bytes(24_576));
        assert_eq!(QWEN.kv_cache(4_096, KvCacheFormat::F32), Bytes(100_663_296));
        assert_eq!(QWEN.kv_cache(4_096, KvCacheFormat::F16), Bytes(50_331_648));
        assert_eq!(QWEN.kv_cache(4_096, KvCacheFormat::Int8), Bytes(26_738_688));
    }

    #[test]
    fn work_stops_growing_when_the_text_is_cut_into_pieces() {
        assert!(QWEN.work(10).0 < QWEN.work(512).0);
        assert_eq!(QWEN.work(512), QWEN.work(100_000));
        assert_eq!(QWEN.work(512).0, 4 * (512 * 17_280 + 64 * 151_936));
    }

    #[test]
    fn the_sum_has_every_part_once_and_never_wraps() {
        let need = QWEN.need(Bytes(1_000_000_000), 4_096, KvCacheFormat::F16);
        let parts = [need.weights, need.kv_cache, need.work, need.program];
        assert_eq!(need.total().0, parts.iter().map(|part| part.0).sum::<u64>());
        let huge = QWEN.need(Bytes(u64::MAX), u32::MAX, KvCacheFormat::F32);
        assert_eq!(huge.total(), Bytes(u64::MAX));
    }

    #[test]
    fn an_eighth_has_to_be_left_free() {
        let place = MemoryPlace {
            name: "memory".into(),
            total: Bytes(2_250),
            free: Bytes(1_125),
        };
        assert_eq!(place.fit(Bytes(1_000)), Fit::Fits);
        assert_eq!(place.fit(Bytes(1_008)), Fit::FitsWhenFreed);
        assert_eq!(place.fit(Bytes(2_000)), Fit::FitsWhenFreed);
        assert_eq!(place.fit(Bytes(2_008)), Fit::TooLarge);
        assert_eq!(place.fit(Bytes(u64::MAX)), Fit::TooLarge);
    }
}
