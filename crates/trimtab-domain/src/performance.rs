//! Speed and memory of a variant: the numbers, how often each was measured, and what disturbed it.

use crate::{Bytes, CardMemoryOf, CardUse, Quantiles, Spread, shared_card_words};
use serde::{Deserialize, Serialize};

/// Share of the machine's cores that others may use while speed is measured before the result warns:
/// as much as two measurements of the same may differ by.
pub const QUIET_LOAD: f64 = 0.05;

/// How much of the speed is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerformanceDepth {
    /// One sequence at one context.
    #[default]
    Quick,
    /// Also the matrix of batches and contexts, which takes minutes.
    Full,
}

impl PerformanceDepth {
    /// The word used on the command line and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Quick, Self::Full]
            .into_iter()
            .find(|depth| depth.as_str() == text)
    }
}

/// Speed and memory of a variant on the machine of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// Prompt tokens per second, batch 1.
    pub prefill_tokens_per_s: Spread,
    /// Output tokens per second, batch 1.
    pub decode_tokens_per_s: Spread,
    /// Tokens of the measured prompt.
    pub n_prompt: u32,
    /// Tokens generated per repeat.
    pub n_gen: u32,
    /// Worker threads.
    pub n_threads: u32,
    /// Time from file to first use.
    pub load_ms: f64,
    /// Largest resident set of the worker process. Weights and cache of a model that is computed on a
    /// card are not in it.
    pub peak_memory: Bytes,
    /// Packed weights in memory.
    pub weights: Bytes,
    /// Key and value cache at its full length.
    pub kv_cache: Bytes,
    /// Latencies, processor time and disturbance; absent in results of versions that did not measure
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<PerformanceDetail>>,
    /// What the counted repeats took of a graphics card, and the peak of its memory since before the
    /// model was loaded. Absent where the processor computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_use: Option<Box<CardUse>>,
    /// Speed by batch and context; absent unless it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Box<ThroughputMatrix>>,
}

impl Performance {
    /// Largest amount of the memory that the model is computed in: the card's, or this process's.
    /// Absent where the card's driver does not tell; that of others on the card is in it where the
    /// driver does not tell processes apart.
    pub fn model_memory(&self) -> Option<Bytes> {
        match &self.card_use {
            Some(card) => card.peak_memory.map(|peak| peak.bytes),
            None => Some(self.peak_memory),
        }
    }

    /// [`Self::model_memory`] without weights and cache: the numbers of one step, what loading needed
    /// on its way and, on a processor, tokenizer and program, on a card CUDA's context and what its
    /// allocator keeps for later. 0 where weights that were never read kept the peak below their size;
    /// absent where the peak is not of this process.
    pub fn rest(&self) -> Option<Bytes> {
        let card = self.card_use.as_ref().and_then(|card| card.peak_memory);
        if card.is_some_and(|peak| peak.of == CardMemoryOf::Card) {
            return None;
        }
        let known = self.weights.0.saturating_add(self.kv_cache.0);
        let peak = self.model_memory()?;
        Some(Bytes(peak.0.saturating_sub(known)))
    }

    /// Largest share of the cores that others used during one of its measurements.
    pub fn other_load(&self) -> Option<f64> {
        let of_detail = self.detail.as_ref().and_then(|detail| detail.other_load);
        let of_matrix = self.matrix.as_ref().and_then(|matrix| matrix.other_load);
        of_detail.into_iter().chain(of_matrix).reduce(f64::max)
    }

    /// What to say if other work disturbed the measurement.
    pub fn warnings(&self) -> Vec<String> {
        let of_card = self.card_use.as_ref().and_then(|card| card.n_disturbing());
        let of_load = load_warning(self.other_load());
        of_load
            .into_iter()
            .chain(of_card.map(shared_card_words))
            .collect()
    }
}

/// What to say about `other_load`, if it is above [`QUIET_LOAD`].
pub fn load_warning(other_load: Option<f64>) -> Option<String> {
    other_load
        .filter(|share| *share > QUIET_LOAD)
        .map(load_words)
}

/// What the share `other_load` of the cores, used by others, means for speeds.
pub fn load_words(other_load: f64) -> String {
    format!(
        "other processes used {:.0} % of the cores while speed was measured (more than {:.0} %): \
         these numbers are slower, and differ more, than on a quiet machine",
        100.0 * other_load,
        100.0 * QUIET_LOAD
    )
}

/// What is known beyond speeds, of the same repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerformanceDetail {
    /// Repeats before the first that counts.
    pub n_warmups: u32,
    /// How often the variant was loaded for the time of loading.
    pub n_loads: u32,
    /// Milliseconds to read the prompt, until the first token can be chosen.
    pub ttft_ms: Spread,
    /// Milliseconds per output token: the time of a repeat's tokens by their number.
    pub tpot_ms: Spread,
    /// Milliseconds of each single token, over all counted repeats.
    pub gaps_ms: Quantiles,
    /// Processor time of reading the prompt in milliseconds, user and system, over all threads.
    pub prefill_cpu_ms: Spread,
    /// Processor time in seconds for 1,000 output tokens, user and system, over all threads.
    pub decode_cpu_s_per_1000: Spread,
    /// [`Performance::rest`], for readers of the stored result; absent where it is not known.
    pub rest: Option<Bytes>,
    /// Share of the machine's cores that other processes used meanwhile, 0 to 1; absent where the
    /// system does not tell, or for measurements too short to tell.
    pub other_load: Option<f64>,
}

/// Speed by context and by sequences side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThroughputMatrix {
    /// Tokens that each sequence decodes, the last of its context.
    pub n_gen: u32,
    /// Repeats before the first that counts.
    pub n_warmups: u32,
    /// One row a context, shortest first.
    pub contexts: Vec<ContextSpeed>,
    /// What was not measured, and why.
    pub left_out: Vec<LeftOut>,
    /// As [`PerformanceDetail::other_load`].
    pub other_load: Option<f64>,
}

impl ThroughputMatrix {
    /// What to say if other work disturbed the measurement.
    pub fn warning(&self) -> Option<String> {
        load_warning(self.other_load)
    }

    /// The numbers of sequences that were measured with any context, fewest first.
    pub fn batches(&self) -> Vec<u32> {
        let rows = self.contexts.iter().flat_map(|row| &row.batches);
        let mut batches: Vec<u32> = rows.map(|speed| speed.batch).collect();
        batches.sort_unstable();
        batches.dedup();
        batches
    }
}

/// Speed at one context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextSpeed {
    /// Tokens in the cache when the last one is decoded.
    pub context: u32,
    /// Milliseconds to read a prompt that fills the context, as one sequence.
    pub ttft_ms: Spread,
    /// One entry a batch, fewest sequences first.
    pub batches: Vec<BatchSpeed>,
}

impl ContextSpeed {
    /// Output tokens per second of all sequences of a batch together, if it was measured.
    pub fn speed_of(&self, batch: u32) -> Option<Spread> {
        let found = self.batches.iter().find(|speed| speed.batch == batch);
        found.map(|speed| speed.output_tokens_per_s)
    }
}

/// Speed of a number of sequences side by side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchSpeed {
    /// Sequences.
    pub batch: u32,
    /// Output tokens per second of all of them together.
    pub output_tokens_per_s: Spread,
}

/// A part of the matrix that was not measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The context.
    pub context: u32,
    /// The number of sequences; absent for the whole context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why a part of the matrix was not measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LeftOutReason {
    /// The model, or what is served of it, is shorter.
    TooLong {
        /// Its longest context.
        max_len: u32,
    },
    /// Its cache does not fit the memory that is free.
    TooLarge {
        /// What the cache needs.
        needed: Bytes,
        /// What is free, an eighth kept to spare.
        free: Bytes,
    },
}

impl LeftOut {
    /// `context 4096 left out: …`.
    pub fn in_words(&self) -> String {
        let batch = self
            .batch
            .map_or_else(String::new, |batch| format!(" with batch {batch}"));
        let why = match self.reason {
            LeftOutReason::TooLong { max_len } => {
                format!("the model is served with at most {max_len} tokens")
            }
            LeftOutReason::TooLarge { needed, free } => {
                format!("its cache needs {needed}, and {free} can be given to it")
            }
        };
        format!("context {}{batch} left out: {why}", self.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CardMemory;

    fn spread(median: f64) -> Spread {
        Spread {
            median,
            min: median,
            max: median,
            n: 5,
        }
    }

    fn performance(peak: u64) -> Performance {
        Performance {
            prefill_tokens_per_s: spread(100.0),
            decode_tokens_per_s: spread(10.0),
            n_prompt: 256,
            n_gen: 64,
            n_threads: 2,
            load_ms: 1.0,
            peak_memory: Bytes(peak),
            weights: Bytes(70),
            kv_cache: Bytes(20),
            detail: None,
            card_use: None,
            matrix: None,
        }
    }

    fn matrix(other_load: Option<f64>) -> ThroughputMatrix {
        ThroughputMatrix {
            n_gen: 32,
            n_warmups: 1,
            contexts: vec![ContextSpeed {
                context: 128,
                ttft_ms: spread(3.0),
                batches: [16, 1].map(speed).to_vec(),
            }],
            left_out: Vec::new(),
            other_load,
        }
    }

    fn speed(batch: u32) -> BatchSpeed {
        BatchSpeed {
            batch,
            output_tokens_per_s: spread(f64::from(batch)),
        }
    }

    #[test]
    fn the_rest_of_the_memory_is_never_negative() {
        assert_eq!(performance(100).rest(), Some(Bytes(10)));
        assert_eq!(performance(80).rest(), Some(Bytes(0)));
    }

    #[test]
    fn what_a_card_computes_lies_in_the_cards_memory() {
        let mut result = performance(10);
        let peak_memory = Some(CardMemory {
            bytes: Bytes(120),
            of: CardMemoryOf::Process,
        });
        let mut card = CardUse {
            seconds: 1.0,
            energy_j: None,
            peak_memory,
            n_others: Some(1),
        };
        result.card_use = Some(Box::new(card));
        assert_eq!(result.rest(), Some(Bytes(30)));
        assert!(result.warnings()[0].contains("another process"));
        card.peak_memory = peak_memory.map(|peak| CardMemory {
            of: CardMemoryOf::Card,
            ..peak
        });
        result.card_use = Some(Box::new(card));
        assert_eq!(
            (result.model_memory(), result.rest()),
            (Some(Bytes(120)), None)
        );
        card.peak_memory = None;
        result.card_use = Some(Box::new(card));
        assert_eq!((result.model_memory(), result.rest()), (None, None));
    }

    #[test]
    fn results_of_older_versions_are_read() {
        let mut value = serde_json::to_value(performance(100)).unwrap();
        assert!(value.get("detail").is_none() && value.get("matrix").is_none());
        let read: Performance = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(read, performance(100));
        value["matrix"] = serde_json::to_value(matrix(None)).unwrap();
        let read: Performance = serde_json::from_value(value).unwrap();
        assert_eq!(read.matrix.unwrap().batches(), [1, 16]);
    }

    #[test]
    fn a_result_warns_of_the_larger_disturbance_only_above_the_limit() {
        let mut result = performance(100);
        assert!(result.warnings().is_empty());
        result.matrix = Some(Box::new(matrix(Some(QUIET_LOAD))));
        assert!(result.warnings().is_empty());
        result.matrix = Some(Box::new(matrix(Some(0.31))));
        let words = result.warnings().concat();
        assert!(words.contains("31 %") && words.contains("5 %"), "{words}");
    }

    #[test]
    fn what_was_left_out_is_named() {
        let left_out = LeftOut {
            context: 4096,
            batch: Some(16),
            reason: LeftOutReason::TooLarge {
                needed: Bytes(3_000_000_000),
                free: Bytes(1_000_000_000),
            },
        };
        assert_eq!(
            left_out.in_words(),
            "context 4096 with batch 16 left out: its cache needs 3.00 GB, and 1.00 GB can be given \
             to it"
        );
        assert_eq!(matrix(None).contexts[0].speed_of(4), None);
        let text = serde_json::to_string(&left_out).unwrap();
        assert_eq!(serde_json::from_str::<LeftOut>(&text).unwrap(), left_out);
        assert_eq!(
            PerformanceDepth::parse("full"),
            Some(PerformanceDepth::Full)
        );
        assert_eq!(PerformanceDepth::parse("deep"), None);
    }
}
