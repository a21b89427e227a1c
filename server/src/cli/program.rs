//! From the typed line to the exit status.

use super::{
    analyze,
    arguments::{Arguments, Command, GlobalOptions},
    bench, compress,
    context::Context,
    datasets, doctor,
    error::{print_error_json, tell_error},
    evaluate, generate, metrics, models, perplexity, runs, serve, tokenize, train, worker,
};
use crate::telemetry;
use clap::Parser;
use std::{
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use trimtab_domain::{ErrorBody, Failure, FailureKind};

/// How long stopping may take before the program ends anyway.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Runs the command that was typed.
pub fn run() -> ExitCode {
    telemetry::tell_panics_in_one_line();
    let typed = match Arguments::try_parse() {
        Ok(typed) => typed,
        Err(error) => return tell_usage(&error),
    };
    let is_json = typed.global.json;
    telemetry::start_logging(match typed.command {
        Command::Serve(_) => "info,sqlx=warn",
        _ => "warn",
    });
    match panic::catch_unwind(AssertUnwindSafe(|| carry_out(typed))) {
        Ok(Ok(status)) => ExitCode::from(status),
        Ok(Err(failure)) => {
            tell_error(&failure.message, failure.hint.as_deref());
            if is_json {
                print_error_json(&failure.to_body());
            }
            ExitCode::from(failure.exit_code())
        }
        // The panic hook has told the rest.
        Err(_) => {
            let failure = Failure::new(FailureKind::Bug, "the program panicked");
            if is_json {
                print_error_json(&failure.to_body());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The exit status of a command that did not fail.
fn carry_out(typed: Arguments) -> Result<u8, Failure> {
    // A worker computes on this thread and needs nothing that waits.
    if matches!(typed.command, Command::Worker) {
        return Ok(worker::run());
    }
    let runtime = Runtime::new()
        .map_err(|error| Failure::failed(format!("cannot start threads: {error}")))?;
    let outcome = runtime.block_on(carry_out_until_interrupted(typed.command, &typed.global));
    // Work on other threads that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    outcome.map(|()| 0)
}

async fn carry_out_until_interrupted(
    command: Command,
    options: &GlobalOptions,
) -> Result<(), Failure> {
    let context = Context::new(options)?;
    if let Command::Serve(arguments) = command {
        return serve::run(arguments, &context).await;
    }
    let mut work = std::pin::pin!(dispatch(command, &context));
    tokio::select! {
        outcome = &mut work => return outcome,
        () = interruption() => {}
    }
    // The work goes on while its workers are stopped, so that it can put back what they did.
    let stopped = timeout(STOP_WITHIN, async {
        let mut stop = std::pin::pin!(context.shut_down());
        tokio::select! {
            biased;
            outcome = &mut work => {
                stop.await;
                Some(outcome)
            }
            () = &mut stop => None,
        }
    });
    match stopped.await {
        Ok(Some(outcome)) => outcome,
        Ok(None) | Err(_) => Err(Failure::failed("interrupted")),
    }
}

async fn dispatch(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Models(command) => models::run(command, context).await,
        Command::Datasets(command) => datasets::run(command, context).await,
        Command::Compress(arguments) => compress::run(arguments, context).await,
        Command::Train(command) => train::run(command, context).await,
        Command::Evaluate(arguments) => evaluate::run(arguments, context).await,
        Command::Analyze(arguments) => analyze::run(arguments, context).await,
        Command::Generate(arguments) => generate::run(arguments, context).await,
        Command::Perplexity(arguments) => perplexity::run(arguments, context).await,
        Command::Tokenize(arguments) => tokenize::run(arguments, context).await,
        Command::Bench(arguments) => bench::run(arguments, context).await,
        Command::Metrics(command) => metrics::run(&command, context.output),
        Command::Runs(command) => runs::run(command, context).await,
        Command::Doctor(arguments) => doctor::run(arguments, context).await,
        Command::Serve(_) | Command::Worker => Err(Failure::new(
            FailureKind::Bug,
            "the command was taken up elsewhere",
        )),
    }
}

/// Listens from now on, and ends with Ctrl-C or a polite request to terminate.
pub(super) fn interruption() -> impl Future<Output = ()> {
    let interrupts = signal(SignalKind::interrupt());
    let terminations = signal(SignalKind::terminate());
    async move {
        tokio::select! {
            () = arrival(interrupts) => {}
            () = arrival(terminations) => {}
        }
    }
}

/// Ends when a signal arrives; a signal that cannot be listened for never does.
async fn arrival(signals: std::io::Result<Signal>) {
    match signals {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

/// Help and version go to standard output; wrong usage is clap's own text and exit status 2.
fn tell_usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told when the stream is closed.
    let _ = error.print();
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        print_error_json(&ErrorBody {
            error: first.strip_prefix("error: ").unwrap_or(first).to_owned(),
            hint: Some("`trimtab help` shows how the commands are used".to_owned()),
        });
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
