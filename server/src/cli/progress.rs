//! Progress on standard error: a bar on a terminal, sparse lines elsewhere.

use super::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use trimtab_domain::{JobEvent, LogLevel, RunEvent};

/// Where there is no terminal, a stage is told of whenever it gained so many percent.
const STEP_PERCENT: u64 = 25;

/// Listens to events and tells how far the work is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    stage: String,
    told_percent: u64,
}

impl Progress {
    /// A listener that draws a bar only on a terminal, and only for people.
    pub(super) fn new(output: Output) -> Self {
        let is_drawn = io::stderr().is_terminal() && !output.is_json;
        let bar = is_drawn.then(|| {
            let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}")
                .expect("the template is fixed");
            ProgressBar::new(0).with_style(style)
        });
        Self {
            bar,
            stage: String::new(),
            told_percent: 0,
        }
    }

    /// What happens in a run.
    pub(super) fn on_run_event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Job { event, .. } => self.on_job_event(event),
            // The log tells when a job starts and ends, with its title.
            RunEvent::JobState { .. } => {}
            RunEvent::RunState { run_id, state } => {
                self.tell(&format!("run {run_id}: {}", state.as_str()));
            }
        }
    }

    /// What happens in a job.
    pub(super) fn on_job_event(&mut self, event: &JobEvent) {
        match event {
            JobEvent::Progress {
                stage,
                n_done,
                n_total,
            } => self.show(stage, *n_done, *n_total),
            JobEvent::Log { level, message } => {
                let mark = match level {
                    LogLevel::Info => "",
                    LogLevel::Warning => "warning: ",
                    LogLevel::Error => "failed: ",
                };
                self.tell(&format!("{mark}{message}"));
            }
            JobEvent::ModelFetched { model, size, .. } => {
                self.tell(&format!("fetched {model} ({size})"));
            }
            JobEvent::StageFinished { report } => {
                self.tell(&format!("{}: {}", report.method, report.summary));
            }
            JobEvent::VariantMade { variant, size, .. } => {
                self.tell(&format!("made {variant} ({size})"));
            }
            // Too many to tell, or told at the end by whoever asked for the work.
            JobEvent::LayerCompressed { .. }
            | JobEvent::AdapterTrained { .. }
            | JobEvent::ProblemScored { .. }
            | JobEvent::PerplexityMeasured { .. }
            | JobEvent::PerformanceMeasured { .. }
            | JobEvent::Failed { .. }
            | JobEvent::Finished => {}
        }
    }

    fn show(&mut self, stage: &str, n_done: u64, n_total: u64) {
        let is_new = stage != self.stage;
        if is_new {
            stage.clone_into(&mut self.stage);
            self.told_percent = 0;
        }
        if let Some(bar) = &self.bar {
            if is_new {
                bar.reset();
                bar.set_message(stage.to_owned());
            }
            bar.set_length(n_total);
            bar.set_position(n_done);
            return;
        }
        let percent = n_done.saturating_mul(100).checked_div(n_total).unwrap_or(0);
        if is_new || percent >= self.told_percent + STEP_PERCENT {
            self.told_percent = percent - percent % STEP_PERCENT;
            self.tell(&format!("{stage}: {percent} %"));
        }
    }

    fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => {
                // Progress that nobody can read is not worth an error.
                let _ = writeln!(io::stderr().lock(), "{line}");
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
