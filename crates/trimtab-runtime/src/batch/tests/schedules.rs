//! Arbitrary schedules change no answer.

use super::*;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

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
