//! Sequences have their own rules, wait, leave, fail and are refused.

use super::*;
use crate::testing::{POISON, poisoned_engine};
use std::sync::mpsc;

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
    assert_eq!(whole.token_ends.len(), whole.token_ids.len());
    assert!(whole.token_ends.is_sorted());
    assert_eq!(whole.token_ends.last(), Some(&whole.text.len()));
    assert_eq!(answer(stopped).token_ends.last(), Some(&at));
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
