//! Prompts that begin alike are run once.

use super::*;

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
