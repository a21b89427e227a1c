//! Scores of a run beyond pass@1, as text: likeness to references, repairs, several answers to a
//! problem, and the problems that are left out.

use super::table::table;
use trimtab_domain::{Estimate, ExcludedProblem, VariantResult};

/// Problems left out that are listed.
const N_LISTED: usize = 10;

/// The tables that a run has something for, each with an empty line before it.
pub(super) fn suite_scores(results: &[VariantResult]) -> String {
    let tables = [
        likeness_table(results),
        repair_table(results),
        pass_at_k_table(results),
    ];
    let tables = tables
        .into_iter()
        .flatten()
        .map(|table| format!("\n{table}"));
    tables.collect::<String>() + &left_out(results)
}

fn likeness_table(results: &[VariantResult]) -> Option<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for result in results {
        for score in &result.likeness {
            rows.push(vec![
                result.variant.to_string(),
                format!("{}, {}", score.suite, score.track),
                number(score.codebleu, 3),
                number(score.bleu, 1),
                percent(Some(score.exact_match)),
                percent(score.same_tree),
                number(score.edit_similarity, 3),
                percent(score.compile_rate),
            ]);
            let told = score.notes.iter();
            notes.extend(told.map(|note| {
                format!(
                    "note: {}, {}: {note}
",
                    result.variant, score.track
                )
            }));
        }
    }
    let headers = [
        "VARIANT",
        "SUITE, TRACK",
        "CODEBLEU",
        "BLEU",
        "EXACT MATCH",
        "SAME BUT FOR LAYOUT",
        "EDIT SIMILARITY",
        "COMPILE RATE",
    ];
    (!rows.is_empty()).then(|| table(&headers, &rows) + &notes.concat())
}

fn repair_table(results: &[VariantResult]) -> Option<String> {
    let rows: Vec<Vec<String>> = results
        .iter()
        .filter_map(|result| {
            let repair = result.repair.as_ref()?;
            let bound = match repair.n_with_extended < repair.correct.n {
                true => ", a lower bound",
                false => "",
            };
            Some(vec![
                result.variant.to_string(),
                percent(Some(repair.plausible)),
                percent(Some(repair.correct)) + bound,
                percent(repair.regression),
            ])
        })
        .collect();
    let headers = ["VARIANT", "PLAUSIBLE", "CORRECT", "REGRESSION"];
    (!rows.is_empty()).then(|| table(&headers, &rows))
}

fn pass_at_k_table(results: &[VariantResult]) -> Option<String> {
    let rows: Vec<Vec<String>> = results
        .iter()
        .flat_map(|result| {
            result.pass_at_k.iter().map(|at| {
                vec![
                    result.variant.to_string(),
                    at.k.to_string(),
                    percent(Some(at.estimate)),
                ]
            })
        })
        .collect();
    (!rows.is_empty()).then(|| table(&["VARIANT", "K", "PASS@K"], &rows))
}

fn left_out(results: &[VariantResult]) -> String {
    let mut problems: Vec<&ExcludedProblem> = Vec::new();
    for problem in results.iter().flat_map(|result| &result.excluded) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    let n = problems.len();
    if n == 0 {
        return String::new();
    }
    let lines = problems.iter().take(N_LISTED).map(|problem| {
        let ExcludedProblem {
            suite,
            problem_id,
            reason,
        } = problem;
        format!("  {problem_id} of {suite}: {reason}\n")
    });
    let lines: String = lines.collect();
    let more = match n.saturating_sub(N_LISTED) {
        0 => String::new(),
        more => format!("  and {more} more\n"),
    };
    format!("\nleft out, and counted for nobody: {n}\n{lines}{more}")
}

fn percent(estimate: Option<Estimate>) -> String {
    estimate.map_or_else(missing, |e| {
        let [value, low, high] = [e.value, e.low, e.high].map(|share| 100.0 * share);
        format!("{value:.1} % ({low:.1}–{high:.1}, n = {})", e.n)
    })
}

fn number(estimate: Option<Estimate>, n_digits: usize) -> String {
    estimate.map_or_else(missing, |e| {
        format!(
            "{:.n_digits$} ({:.n_digits$}–{:.n_digits$}, n = {})",
            e.value, e.low, e.high, e.n
        )
    })
}

fn missing() -> String {
    "–".to_owned()
}
