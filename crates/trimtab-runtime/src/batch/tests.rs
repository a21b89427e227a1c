//! A batch against its sequences one by one.

use super::*;
use crate::{
    Generation, Sampling,
    testing::{POISON, engine, poisoned_engine},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use std::sync::mpsc;
use trimtab_domain::{FinishReason, KvCacheFormat};

/// Largest difference of two logits over the largest logit when sequences share a step; measured
/// 2e-6 with floats in the cache.
const MAX_DIFFERENCE: f32 = 2e-5;

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

#[test]
fn a_single_answer_is_that_of_whole_passes() {
    let engine = engine();
    let ask = Ask::greedy(prompt(1, 20), 12);
    let got = alone(&engine, KvCacheFormat::F32, &ask);
    let mut ids = ask.prompt.clone();
    for _ in 0..ask.max_tokens {
        let logits = engine.next_token_logits(&ids).unwrap();
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        ids.push(best.unwrap() as u32);
    }
    assert_eq!(got.token_ids, ids[20..]);
    let through_engine = engine.generate(&ask.request(), &mut |_| true).unwrap();
    assert_eq!(through_engine.token_ids, got.token_ids);
    assert_eq!((got.timing.n_prompt, got.timing.n_output), (20, 12));
    assert_eq!(got.finish_reason, FinishReason::Length);
}

#[test]
fn answers_do_not_depend_on_the_rest_of_the_batch_or_its_order() {
    let engine = engine();
    for kv_cache in KvCacheFormat::ALL {
        let mut asks = mixed_asks();
        let want: Vec<_> = asks
            .iter()
            .map(|ask| alone(&engine, kv_cache, ask).token_ids)
            .collect();
        for n_slots in [1, 3, 7] {
            let options = BatchOptions {
                kv_cache,
                ..options(n_slots)
            };
            let got = answers(&engine, options, &asks);
            for (got, want) in got.iter().zip(&want) {
                assert_eq!(&got.token_ids, want, "{kv_cache}, {n_slots} slots");
            }
        }
        asks.reverse();
        let got = answers(&engine, options(4), &asks);
        if kv_cache == KvCacheFormat::F32 {
            for (got, want) in got.iter().rev().zip(&want) {
                assert_eq!(&got.token_ids, want, "reversed");
            }
        }
    }
}

#[test]
fn answers_do_not_depend_on_how_prompts_are_cut_into_steps() {
    let engine = engine();
    let asks = mixed_asks();
    let want = answers(&engine, options(3), &asks);
    for step_tokens in [3, 4, 7, 32, 1000] {
        let options = BatchOptions {
            step_tokens,
            ..options(3)
        };
        let got = answers(&engine, options, &asks);
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got.token_ids, want.token_ids, "{step_tokens} tokens a step");
        }
    }
}

#[test]
fn scores_of_sequences_that_share_a_step_agree_with_those_alone() {
    let engine = engine();
    let prompts = [prompt(1, 40), prompt(2, 1), prompt(3, 17)];
    for format in [KvCacheFormat::F32, KvCacheFormat::F16] {
        let mut cache = engine.new_cache(4, CAPACITY, format);
        let steps: Vec<_> = prompts
            .iter()
            .enumerate()
            .map(|(idx, ids)| SequenceStep { slot: 3 - idx, ids })
            .collect();
        // The second is not asked for.
        let got = engine.forward(&steps, &|step| step.slot != 2, &mut cache);
        let vocab_size = engine.config().vocab_size;
        assert_eq!(got.len(), 2 * vocab_size);
        for (got, ids) in got.chunks(vocab_size).zip([&prompts[0], &prompts[2]]) {
            let want = engine.prefill(ids, &mut engine.new_cache(1, ids.len(), format));
            let largest = want.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0, f32::max);
            assert!(worst <= MAX_DIFFERENCE * largest, "{worst} of {largest}");
        }
    }
}

#[test]
fn a_shared_prefix_is_run_once_and_changes_no_answer() {
    let engine = engine();
    let header = prompt(9, 60);
    let mut asks: Vec<Ask> = (0..5)
        .map(|idx| Ask::greedy([header.clone(), prompt(idx, 10)].concat(), 8))
        .collect();
    // Samples of one prompt: all but its last token are shared.
    asks.extend((0..3).map(|seed| Ask {
        prompt: prompt(50, 40),
        seed: Some(seed),
        max_tokens: 6,
    }));
    let without = BatchOptions {
        min_shared_prefix: None,
        ..options(4)
    };
    let want = answers(&engine, without, &asks);
    let got = answers(&engine, options(4), &asks);
    for (got, want) in got.iter().zip(&want) {
        assert_eq!(got.token_ids, want.token_ids);
        assert_eq!(want.timing.n_reused, 0);
    }
    let n_reused: Vec<usize> = got.iter().map(|it| it.timing.n_reused).collect();
    assert_eq!(n_reused, [0, 60, 60, 60, 60, 0, 39, 39]);
}

#[test]
fn a_finished_sequence_leaves_its_prefix_to_later_ones() {
    let engine = engine();
    let mut batch = Batch::new(&engine, options(2)).unwrap();
    let first = Ask::greedy(prompt(1, 30), 5);
    batch.submit(&first.request(), silent()).unwrap();
    let answer = batch.run().remove(0).outcome.unwrap();
    // The next turn of a talk begins with the prompt and the answer, whose last token was not run.
    let turn = Ask::greedy(
        [&first.prompt[..], &answer.token_ids, &[10, 11]].concat(),
        5,
    );
    batch.submit(&turn.request(), silent()).unwrap();
    let got = batch.run().remove(0).outcome.unwrap();
    assert_eq!(got.timing.n_reused, 34);
    let want = alone(&engine, KvCacheFormat::F32, &turn);
    assert_eq!(got.token_ids, want.token_ids);
    // Too short a likeness is not worth a copy.
    let short = Ask::greedy([&first.prompt[..15], &[1, 2, 3]].concat(), 5);
    batch.submit(&short.request(), silent()).unwrap();
    assert_eq!(batch.run()[0].outcome.as_ref().unwrap().timing.n_reused, 0);
}

#[test]
fn a_prompt_that_was_answered_before_runs_its_last_token_only() {
    let engine = engine();
    for kv_cache in KvCacheFormat::ALL {
        let options = BatchOptions {
            kv_cache,
            ..options(1)
        };
        let asks = [Ask::greedy(prompt(4, 25), 6), Ask::greedy(prompt(4, 25), 6)];
        let got = answers(&engine, options, &asks);
        assert_eq!(got[0].token_ids, got[1].token_ids, "{kv_cache}");
        assert_eq!((got[0].timing.n_reused, got[1].timing.n_reused), (0, 24));
    }
}

#[test]
fn each_sequence_has_its_own_rules() {
    let engine = engine();
    let ask = Ask::greedy(prompt(1, 12), 24);
    let whole = alone(&engine, KvCacheFormat::F32, &ask);
    // Two tokens, the first of which is held back until the second comes.
    let stop = "\u{11}o";
    let at = whole.text.find(stop).unwrap();
    let mut batch = Batch::new(&engine, options(5)).unwrap();
    let stopped = GenerationRequest {
        stop: vec![stop.to_owned()],
        ..ask.request()
    };
    let short = GenerationRequest {
        max_tokens: 3,
        ..ask.request()
    };
    let (sender, pieces) = mpsc::channel();
    let stopped = batch.submit(&stopped, silent()).unwrap();
    let short = batch.submit(&short, silent()).unwrap();
    let left = batch
        .submit(
            &ask.request(),
            Box::new(move |piece| {
                sender.send(piece.to_owned()).unwrap();
                false
            }),
        )
        .unwrap();
    // This prompt is answered with the end-of-text token.
    let over = Ask::greedy(prompt(2, 12), 24);
    let over = GenerationRequest {
        stops_at_end_of_text: true,
        ..over.request()
    };
    let over = batch.submit(&over, silent()).unwrap();
    let full = batch.submit(&ask.request(), silent()).unwrap();
    let ended = batch.run();
    let answer = |id| {
        let ended = ended.iter().find(|ended| ended.sequence == id).unwrap();
        ended.outcome.as_ref().unwrap()
    };
    assert_eq!(answer(stopped).text, whole.text[..at]);
    assert_eq!(answer(stopped).finish_reason, FinishReason::Stop);
    assert_eq!(answer(short).token_ids, whole.token_ids[..3]);
    assert_eq!(answer(short).finish_reason, FinishReason::Length);
    assert_eq!(answer(left).finish_reason, FinishReason::Stop);
    assert_eq!(pieces.iter().collect::<String>(), answer(left).text);
    assert!(answer(over).token_ids.is_empty());
    assert_eq!(answer(over).timing.n_output, 1);
    assert_eq!(answer(over).finish_reason, FinishReason::Stop);
    assert_eq!(answer(full).token_ids, whole.token_ids);
    assert_eq!(
        ended.last().unwrap().sequence,
        full,
        "the longest ends last"
    );
}

#[test]
fn what_does_not_fit_waits_and_what_is_cancelled_goes() {
    let engine = engine();
    let asks: Vec<Ask> = (0..5).map(|idx| Ask::greedy(prompt(idx, 9), 10)).collect();
    let mut batch = Batch::new(&engine, options(2)).unwrap();
    let ids: Vec<_> = asks
        .iter()
        .map(|ask| batch.submit(&ask.request(), silent()).unwrap())
        .collect();
    assert_eq!((batch.n_running(), batch.n_queued()), (0, 5));
    assert!(batch.step().is_empty());
    assert_eq!((batch.n_running(), batch.n_queued()), (2, 3));
    assert!(batch.cancel(ids[0]) && batch.cancel(ids[3]));
    assert!(!batch.cancel(ids[0]), "it is gone");
    assert_eq!((batch.n_running(), batch.n_queued()), (1, 2));
    let ended = batch.run();
    assert!(batch.is_idle() && batch.step().is_empty());
    let left: Vec<_> = ended.iter().map(|ended| ended.sequence).collect();
    assert_eq!(left, [ids[1], ids[2], ids[4]]);
    for (ended, ask) in ended.iter().zip([&asks[1], &asks[2], &asks[4]]) {
        let want = alone(&engine, KvCacheFormat::F32, ask);
        assert_eq!(ended.outcome.as_ref().unwrap().token_ids, want.token_ids);
    }
}

#[test]
fn a_long_prompt_does_not_hold_up_those_that_decode() {
    let engine = engine();
    let options = BatchOptions {
        step_tokens: 8,
        ..options(2)
    };
    let mut batch = Batch::new(&engine, options).unwrap();
    let decoding = Ask::greedy(prompt(1, 4), 12);
    let decoding = batch.submit(&decoding.request(), silent()).unwrap();
    batch.step();
    let long = Ask::greedy(prompt(2, 140), 1);
    let long = batch.submit(&long.request(), silent()).unwrap();
    // One token a step, while the long prompt gets the other seven of each step.
    let ended: Vec<_> = (0..20).map(|_| batch.step()).collect();
    let ended_at = |id| {
        ended
            .iter()
            .position(|it| it.iter().any(|it| it.sequence == id))
    };
    assert_eq!(ended_at(decoding), Some(10));
    // 11 steps of seven and then of eight: 77 + 8 · 8 ≥ 140.
    assert_eq!(ended_at(long), Some(18));
}

#[test]
fn scores_that_are_not_numbers_end_their_sequence_alone() {
    let engine = poisoned_engine();
    let asks = [
        Ask::greedy(prompt(1, 30), 10),
        Ask::greedy([&prompt(1, 20)[..], &[POISON, 3, 4]].concat(), 10),
        Ask::greedy(prompt(3, 30), 10),
        // Takes the slot that the failed one leaves.
        Ask::greedy([&prompt(1, 20)[..], &[5, 3, 4]].concat(), 10),
    ];
    let mut batch = Batch::new(&engine, options(3)).unwrap();
    for ask in &asks {
        batch.submit(&ask.request(), silent()).unwrap();
    }
    let mut ended = batch.run();
    ended.sort_by_key(|ended| ended.sequence);
    for (idx, (ended, ask)) in ended.iter().zip(&asks).enumerate() {
        match &ended.outcome {
            Err(RuntimeError::NotANumber(0)) if idx == 1 => {}
            Ok(answer) if idx != 1 => {
                let want = alone(&engine, KvCacheFormat::F32, ask);
                assert_eq!(answer.token_ids, want.token_ids, "{idx}");
            }
            other => panic!("{idx}: {other:?}"),
        }
    }
    assert_eq!(ended.len(), 4);
}

#[test]
fn what_cannot_be_answered_is_refused_by_name() {
    let engine = engine();
    let mut batch = Batch::new(&engine, options(1)).unwrap();
    let mut refused = |ask: Ask| {
        batch
            .submit(&ask.request(), silent())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(Ask::greedy(Vec::new(), 1)), "the prompt is empty");
    assert_eq!(
        refused(Ask::greedy(prompt(1, 100), 61)),
        "100 prompt tokens and up to 61 new ones exceed the context of 160"
    );
    assert!(refused(Ask::greedy(prompt(1, 5), usize::MAX)).contains("exceed the context"));
    assert!(refused(Ask::greedy(prompt(1, 5), 0)).contains("`max_tokens` is 0"));
    assert_eq!(
        refused(Ask::greedy(vec![1, 259], 1)),
        "token 259 lies outside the vocabulary of 259"
    );
    let with = |change: fn(&mut BatchOptions)| {
        let mut options = options(4);
        change(&mut options);
        Batch::new(&engine, options).unwrap_err().to_string()
    };
    assert!(with(|it| it.n_slots = 0).contains("`n_slots` 0"));
    assert!(with(|it| it.n_slots = 1 << 40).contains("`n_slots`"));
    assert!(with(|it| it.capacity = 5000).contains("`capacity` 5000 is not between 2 and 2048"));
    assert!(with(|it| it.step_tokens = 3).contains("`step_tokens` 3"));
    assert!(with(|it| it.min_shared_prefix = Some(0)).contains("`min_shared_prefix`"));
}

/// Something that happens to a batch.
#[derive(Clone, Debug)]
enum Act {
    Submit(Ask),
    Step(usize),
    Cancel(usize),
}

fn act() -> impl Strategy<Value = Act> {
    // Few beginnings, so that prompts share prefixes.
    let ask = (
        0..3_u32,
        1..40_u32,
        0..4_u32,
        1..9_u32,
        1..9_usize,
        0..6_u64,
    );
    let ask = ask.prop_map(|(head, n_head, tail, n_tail, max_tokens, seed)| Ask {
        prompt: [prompt(head, n_head), prompt(10 + tail, n_tail)].concat(),
        seed: (seed > 2).then_some(seed),
        max_tokens,
    });
    prop_oneof![
        4 => ask.prop_map(Act::Submit),
        3 => (1..6_usize).prop_map(Act::Step),
        1 => (0..8_usize).prop_map(Act::Cancel),
    ]
}

/// The schedules are the same each time: two scores that differ by less than rounding could go either
/// way, which says nothing about the batch.
#[test]
fn answers_do_not_depend_on_the_schedule() {
    let engine = engine();
    let config = Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let schedules = (1..5_usize, 0..20_usize, 0..3_usize, vec(act(), 1..14));
    let outcome = runner.run(&schedules, |(n_slots, room, reuse, acts)| {
        let options = BatchOptions {
            step_tokens: n_slots + room,
            min_shared_prefix: [None, Some(1), Some(16)][reuse],
            ..options(n_slots)
        };
        let mut batch = Batch::new(&engine, options).unwrap();
        let (mut asked, mut ended) = (Vec::new(), Vec::new());
        for act in acts {
            match act {
                Act::Submit(ask) => {
                    let id = batch.submit(&ask.request(), silent()).unwrap();
                    asked.push((id, ask));
                }
                Act::Step(n_steps) => {
                    for _ in 0..n_steps {
                        ended.extend(batch.step());
                    }
                }
                Act::Cancel(idx) if idx < asked.len() => {
                    if batch.cancel(asked[idx].0) {
                        asked.remove(idx);
                    }
                }
                Act::Cancel(_) => {}
            }
        }
        ended.extend(batch.run());
        ended.sort_by_key(|ended| ended.sequence);
        prop_assert_eq!(ended.len(), asked.len());
        for (ended, (id, ask)) in ended.iter().zip(&asked) {
            prop_assert_eq!(ended.sequence, *id);
            let got = ended.outcome.as_ref().unwrap();
            let want = alone(&engine, KvCacheFormat::F32, ask);
            prop_assert_eq!(&got.token_ids, &want.token_ids);
            prop_assert_eq!(&got.text, &want.text);
            prop_assert_eq!(got.finish_reason, want.finish_reason);
            prop_assert!(got.timing.n_reused < ask.prompt.len());
        }
        Ok(())
    });
    outcome.unwrap();
}
