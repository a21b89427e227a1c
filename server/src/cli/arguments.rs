//! What can be typed: all commands, and the options that each of them takes.

use super::{
    analyze::AnalyzeArgs, bench::BenchArgs, compress::CompressArgs, datasets::DatasetsCommand,
    doctor::DoctorArgs, evaluate::EvaluateArgs, generate::GenerateArgs, metrics::MetricsCommand,
    models::ModelsCommand, perplexity::PerplexityArgs, runs::RunsCommand, serve::ServeArgs,
    tokenize::TokenizeArgs, train::TrainCommand,
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use trimtab_domain::DeviceName;

const AFTER_HELP: &str = "\
Exit status: 0 done, 1 the work failed, 2 bad input, 70 a defect of the program.

Examples:
  trimtab serve --quickstart
  trimtab models pull qwen2.5-coder-0.5b-instruct
  trimtab evaluate --suite starter \\
      --variants qwen2.5-coder-0.5b-instruct:f16,qwen2.5-coder-0.5b-instruct:int8
  trimtab analyze";

/// Compress open code models, and measure what that costs and what it buys.
///
/// A variant is a model made smaller by a recipe. Name it as `MODEL:PRESET`, for example
/// `smollm2-135m-instruct:int8`; it is made first if it does not exist. The presets are
/// f32, f16, bf16, int8, int4, int4-fast, int4-gptq, int4-quality, prune-2of4, prune-half,
/// shrink-depth and shrink-and-recover.
#[derive(Debug, Parser)]
#[command(name = "trimtab", version, propagate_version = true, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: GlobalOptions,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct GlobalOptions {
    /// Folder of models, artifacts and results; made if it is not there.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "TRIMTAB_DATA_DIR",
        default_value = "data"
    )]
    pub(super) data_dir: PathBuf,
    /// Where models are computed: `cpu`, or `cuda:0` for the first NVIDIA card.
    #[arg(
        long,
        global = true,
        value_name = "DEVICE",
        env = "TRIMTAB_DEVICE",
        default_value = "cpu"
    )]
    pub(super) device: DeviceName,
    /// Print one JSON document on standard output; logs and progress go to standard error.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve the dashboard and the HTTP API, and work through the queue of runs.
    Serve(ServeArgs),
    /// List, fetch, import, check and remove models.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// List and show the suites of problems that variants are evaluated on.
    #[command(subcommand)]
    Datasets(DatasetsCommand),
    /// Make a smaller variant of a model.
    Compress(CompressArgs),
    /// Train a low-rank adapter.
    #[command(subcommand)]
    Train(TrainCommand),
    /// Let variants solve a suite of problems; grade the answers and measure speed.
    Evaluate(EvaluateArgs),
    /// Show what the variants of a run lose and gain against their base.
    Analyze(AnalyzeArgs),
    /// Let a variant continue or answer a text.
    Generate(GenerateArgs),
    /// Measure how surprised a variant is by a text; lower is better.
    Perplexity(PerplexityArgs),
    /// Show the token ids of a text.
    Tokenize(TokenizeArgs),
    /// Measure the speed and memory of a variant.
    Bench(BenchArgs),
    /// Compute a metric from counts.
    #[command(subcommand)]
    Metrics(MetricsCommand),
    /// List, show, cancel, resume and reproduce runs.
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Check what works on this machine, or tell what a model needs in memory before it is loaded.
    Doctor(DoctorArgs),
    /// Do one job that is described on standard input; started by the other commands.
    #[command(hide = true)]
    Worker,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn verify_cli() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_has_a_help_text() {
        fn check(command: &clap::Command) {
            assert!(
                command.get_about().is_some(),
                "`{}` has no help",
                command.get_name()
            );
            for argument in command.get_arguments() {
                let what = format!("`{}` of `{}`", argument.get_id(), command.get_name());
                assert!(argument.get_help().is_some(), "{what} has no help");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn global_options_may_follow_the_command() {
        let typed = ["trimtab", "models", "list", "--json", "--data-dir", "/d"];
        let parsed = Arguments::try_parse_from(typed).unwrap();
        assert!(parsed.global.json);
        assert_eq!(parsed.global.data_dir, PathBuf::from("/d"));
    }
}
