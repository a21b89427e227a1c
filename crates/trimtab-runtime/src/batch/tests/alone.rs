//! A sequence answers the same whatever shares its steps.

use super::*;

/// Largest difference of two logits over the largest logit when sequences share a step; measured
/// 2e-6 with floats in the cache.
const MAX_DIFFERENCE: f32 = 2e-5;

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
