//! `trimtab metrics`: metrics from counts, without a model.

use super::output::Output;
use clap::Subcommand;
use serde::Serialize;
use trimtab_domain::Failure;
use trimtab_service::pass_at_k;

/// Which metric.
#[derive(Debug, Subcommand)]
pub(super) enum MetricsCommand {
    /// Chance that at least one of K answers to a problem passes (unbiased estimate).
    PassAtK {
        /// Answers to each problem.
        #[arg(long, value_name = "N")]
        samples: u32,
        /// Answers that passed, one number for each problem, with commas between.
        #[arg(long, required = true, value_delimiter = ',', value_name = "C1,C2,…")]
        correct: Vec<u32>,
        /// Answers drawn.
        #[arg(long, value_name = "K")]
        k: u32,
    },
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct PassAtK {
    pass_at_k: Vec<f64>,
    mean: f64,
}

/// Computes and tells.
pub(super) fn run(command: &MetricsCommand, output: Output) -> Result<(), Failure> {
    let MetricsCommand::PassAtK {
        samples,
        correct,
        k,
    } = command;
    let per_problem: Result<Vec<f64>, Failure> = correct
        .iter()
        .map(|&n_correct| {
            pass_at_k(*samples, n_correct, *k).ok_or_else(|| {
                Failure::bad_input(format!(
                    "pass@{k} is undefined for {n_correct} correct of {samples} answers"
                ))
                .with_hint("k lies between 1 and the number of answers, as do the correct ones")
            })
        })
        .collect();
    let per_problem = per_problem?;
    let mean = per_problem.iter().sum::<f64>() / per_problem.len() as f64;
    let answer = PassAtK {
        pass_at_k: per_problem,
        mean,
    };
    output.answer(&answer, || {
        let values: Vec<String> = answer.pass_at_k.iter().map(|p| format!("{p:.6}")).collect();
        format!("{}\nmean {mean:.6}", values.join(" "))
    })
}
