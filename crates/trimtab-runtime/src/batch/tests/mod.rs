//! A batch against its sequences one by one.

mod alone;
mod prefixes;
mod rules;
mod schedules;

use super::*;
use crate::{Generation, Sampling, testing::engine};
use trimtab_domain::{FinishReason, KvCacheFormat};

/// Context of most tests.
const CAPACITY: usize = 160;

/// What a test asks for.
#[derive(Clone, Debug)]
struct Ask {
    prompt: Vec<u32>,
    seed: Option<u64>,
    max_tokens: usize,
}

impl Ask {
    fn greedy(prompt: Vec<u32>, max_tokens: usize) -> Self {
        Self {
            prompt,
            seed: None,
            max_tokens,
        }
    }

    fn request(&self) -> GenerationRequest<'_> {
        let sampling = match self.seed {
            None => Sampling::greedy(),
            Some(seed) => Sampling {
                temperature: 0.8,
                top_p: 0.9,
                seed,
            },
        };
        GenerationRequest {
            prompt_ids: &self.prompt,
            sampling,
            max_tokens: self.max_tokens,
            stop: Vec::new(),
            stops_at_end_of_text: false,
        }
    }
}

/// Byte tokens that look arbitrary; different for each seed.
fn prompt(seed: u32, len: u32) -> Vec<u32> {
    (0..len)
        .map(|idx| (idx * 31 + seed * 97 + 7) % 199)
        .collect()
}

fn silent<'a>() -> OnText<'a> {
    Box::new(|_| true)
}

fn options(n_slots: usize) -> BatchOptions {
    BatchOptions {
        kv_cache: KvCacheFormat::F32,
        ..BatchOptions::new(n_slots, CAPACITY)
    }
}

/// Answers in the order of the questions.
#[track_caller]
fn answers(engine: &Engine, options: BatchOptions, asks: &[Ask]) -> Vec<Generation> {
    let mut batch = Batch::new(engine, options).unwrap();
    for ask in asks {
        batch.submit(&ask.request(), silent()).unwrap();
    }
    let mut ended = batch.run();
    ended.sort_by_key(|ended| ended.sequence);
    ended.into_iter().map(|it| it.outcome.unwrap()).collect()
}

fn alone(engine: &Engine, kv_cache: KvCacheFormat, ask: &Ask) -> Generation {
    let options = BatchOptions {
        kv_cache,
        ..options(1)
    };
    answers(engine, options, std::slice::from_ref(ask)).remove(0)
}

fn mixed_asks() -> Vec<Ask> {
    (0..7)
        .map(|idx| Ask {
            prompt: prompt(idx, 3 + 11 * (idx % 4)),
            seed: (idx % 2 == 1).then_some(u64::from(idx)),
            max_tokens: 4 + 5 * (idx as usize % 3),
        })
        .collect()
}
