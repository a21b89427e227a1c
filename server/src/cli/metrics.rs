//! `trimtab metrics`: metrics of texts in files and of counts, without a model.

use super::output::Output;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;
use trimtab_domain::Failure;
use trimtab_service::text_metrics::{
    self, BleuOptions, CodeBleuMode, CodeBleuOptions, CodeBleuReply, Language, MetricId, Smoothing,
    TextPairs, Tokenization, pass_at_k,
};

/// Which metric.
#[derive(Debug, Subcommand)]
pub(super) enum MetricsCommand {
    /// Shared n-grams, 0 to 100, as sacreBLEU counts them.
    Bleu(BleuArgs),
    /// Likeness of code in words, keywords, syntax and data flow, 0 to 1.
    Codebleu(CodeBleuArgs),
    /// Share of texts that equal a reference, but for white space around them.
    ExactMatch(Files),
    /// Mean of 1 − Levenshtein distance / length of the longer text.
    EditSimilarity(Files),
    /// Share of programs that the compiler of their language takes.
    CompileRate(CompileRateArgs),
    /// Chance that at least one of K answers to a problem passes (unbiased estimate).
    PassAtK(PassAtKArgs),
}

/// The files that are compared, line by line; each line is `{"text": "…"}`.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// What was written.
    #[arg(long, value_name = "FILE.jsonl")]
    hypotheses: PathBuf,
    /// What it should be; given again, each hypothesis has several references.
    #[arg(long, required = true, value_name = "FILE.jsonl")]
    references: Vec<PathBuf>,
}

impl Files {
    fn read(&self) -> Result<TextPairs, Failure> {
        TextPairs::read(&self.hypotheses, &self.references)
    }
}

#[derive(Debug, Args)]
pub(super) struct BleuArgs {
    #[command(flatten)]
    files: Files,
    /// How texts are cut into words.
    #[arg(long, value_name = "T", default_value = "13a")]
    tokenize: TokenizeName,
    /// What is done about n-gram orders without a match.
    #[arg(long, value_name = "S", default_value = "exp")]
    smooth: SmoothName,
    /// The value of `floor` [default: 0.1] or `add-k` [default: 1].
    #[arg(long, value_name = "X")]
    smooth_value: Option<f64>,
    /// Leave out orders longer than the hypothesis: for single sentences.
    #[arg(long)]
    effective_order: bool,
}

#[derive(Debug, Args)]
pub(super) struct CodeBleuArgs {
    #[command(flatten)]
    files: Files,
    /// python, java, `c_sharp`, c, cpp, javascript, go, rust, php or ruby.
    #[arg(long, value_name = "L")]
    language: Language,
    /// `compatible` with the Python package, which counts a data-flow match that is zero or undefined as 1;
    /// or `strict`.
    #[arg(long, value_name = "M", default_value = "compatible")]
    mode: ModeName,
    /// Weights of n-gram, weighted n-gram, syntax and data-flow match.
    #[arg(
        long,
        value_name = "A,B,C,D",
        value_delimiter = ',',
        default_value = "0.25,0.25,0.25,0.25"
    )]
    weights: Vec<f64>,
}

#[derive(Debug, Args)]
pub(super) struct CompileRateArgs {
    /// The programs, one a line; each line is `{"text": "…"}`.
    #[arg(long, value_name = "FILE.jsonl")]
    hypotheses: PathBuf,
    /// java, csharp or rust.
    #[arg(long, value_name = "L")]
    language: String,
}

#[derive(Debug, Args)]
pub(super) struct PassAtKArgs {
    /// Answers to each problem.
    #[arg(long, value_name = "N")]
    samples: u32,
    /// Answers that passed, one number for each problem, with commas between.
    #[arg(long, required = true, value_delimiter = ',', value_name = "C1,C2,…")]
    correct: Vec<u32>,
    /// Answers drawn.
    #[arg(long, value_name = "K")]
    k: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TokenizeName {
    #[value(name = "13a")]
    V13a,
    Intl,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SmoothName {
    Exp,
    Floor,
    AddK,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    Compatible,
    Strict,
}

/// Computes and tells.
pub(super) fn run(command: &MetricsCommand, output: Output) -> Result<(), Failure> {
    match command {
        MetricsCommand::Bleu(arguments) => bleu(arguments, output),
        MetricsCommand::Codebleu(arguments) => codebleu(arguments, output),
        MetricsCommand::ExactMatch(files) => {
            let reply = text_metrics::exact_match(&files.read()?)?;
            output.answer(&reply, || {
                format!(
                    "{:.6} (95 % interval {:.4} to {:.4}) of {} texts\n{}",
                    reply.exact_match, reply.low, reply.high, reply.n, reply.signature
                )
            })
        }
        MetricsCommand::EditSimilarity(files) => {
            let reply = text_metrics::edit_similarity(&files.read()?)?;
            output.answer(&reply, || {
                let (value, n) = (reply.edit_similarity, reply.n);
                format!("{value:.6} over {n} texts\n{}", reply.signature)
            })
        }
        MetricsCommand::CompileRate(CompileRateArgs {
            hypotheses,
            language,
        }) => {
            let reply = text_metrics::compile_rate(hypotheses, language)?;
            output.answer(&reply, || {
                format!(
                    "{:.6} (95 % interval {:.4} to {:.4}) of {} programs\n{}",
                    reply.compile_rate, reply.low, reply.high, reply.n, reply.signature
                )
            })
        }
        MetricsCommand::PassAtK(arguments) => pass(arguments, output),
    }
}

fn bleu(arguments: &BleuArgs, output: Output) -> Result<(), Failure> {
    let options = BleuOptions {
        tokenization: match arguments.tokenize {
            TokenizeName::V13a => Tokenization::V13a,
            TokenizeName::Intl => Tokenization::International,
            TokenizeName::None => Tokenization::None,
        },
        smoothing: match (arguments.smooth, arguments.smooth_value) {
            (SmoothName::Floor, value) => Smoothing::Floor(value.unwrap_or(0.1)),
            (SmoothName::AddK, value) => Smoothing::AddK(value.unwrap_or(1.0)),
            (SmoothName::Exp, None) => Smoothing::Exponential,
            (SmoothName::None, None) => Smoothing::None,
            (SmoothName::Exp | SmoothName::None, Some(_)) => {
                return Err(Failure::bad_input("`--smooth-value` changes nothing here")
                    .with_hint("it goes with `--smooth floor` and `--smooth add-k`"));
            }
        },
        has_effective_order: arguments.effective_order,
    };
    let reply = text_metrics::bleu(&arguments.files.read()?, options)?;
    output.answer(&reply, || {
        let precisions: Vec<String> = reply.precisions.iter().map(|p| format!("{p:.1}")).collect();
        format!(
            "{:.4}, precisions {}, brevity penalty {:.4}, over {} texts\n{}",
            reply.bleu,
            precisions.join("/"),
            reply.brevity_penalty,
            reply.n,
            reply.signature
        )
    })
}

fn codebleu(arguments: &CodeBleuArgs, output: Output) -> Result<(), Failure> {
    let weights: [f64; 4] = arguments
        .weights
        .clone()
        .try_into()
        .map_err(|given: Vec<f64>| {
            Failure::bad_input(format!(
                "`--weights` has {} numbers instead of 4",
                given.len()
            ))
        })?;
    let options = CodeBleuOptions {
        mode: match arguments.mode {
            ModeName::Compatible => CodeBleuMode::Compatible,
            ModeName::Strict => CodeBleuMode::Strict,
        },
        weights,
    };
    let pairs = arguments.files.read()?;
    let reply = text_metrics::codebleu(&pairs, arguments.language, options)?;
    output.answer(&reply, || describe(&reply))
}

fn describe(reply: &CodeBleuReply) -> String {
    let flow = match reply.dataflow_match_score {
        Some(flow) => format!("{flow:.6}"),
        None => "undefined".to_owned(),
    };
    let degenerate = reply.degenerate;
    let notes = [
        (degenerate.empty_hypotheses, "hypotheses are empty"),
        (
            degenerate.undefined_data_flows,
            "pairs have no data flow in the reference",
        ),
        (degenerate.references_with_errors, "references do not parse"),
        (degenerate.hypotheses_with_errors, "hypotheses do not parse"),
        (
            degenerate.too_deep,
            "pairs are nested too deeply for a data flow",
        ),
    ];
    let notes = notes.iter().filter(|(n, _)| *n > 0);
    let notes: Vec<String> = notes.map(|(n, what)| format!("{n} {what}\n")).collect();
    format!(
        "{:.6}: n-grams {:.6}, weighted {:.6}, syntax {:.6}, data flow {flow}, over {} texts\n{}{}",
        reply.codebleu,
        reply.ngram_match_score,
        reply.weighted_ngram_match_score,
        reply.syntax_match_score,
        reply.n,
        notes.concat(),
        reply.signature
    )
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct PassAtK {
    pass_at_k: Vec<f64>,
    mean: f64,
}

fn pass(arguments: &PassAtKArgs, output: Output) -> Result<(), Failure> {
    let PassAtKArgs {
        samples,
        correct,
        k,
    } = arguments;
    text_metrics::require_metric(MetricId::PassAtK)?;
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
