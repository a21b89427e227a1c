//! Progress on standard error: a bar on a terminal, sparse lines elsewhere, and only warnings where
//! the answer is JSON.

use super::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::Instant;
use trimtab_domain::{JobEvent, LogLevel, Pace, RunEvent, Timestamp, place_in_layers};

/// Where there is no terminal, a stage is told of whenever it gained so many percent.
const STEP_PERCENT: u64 = 25;

/// Listens to events and tells how far the work is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    is_quiet: bool,
    start: Instant,
    stage: String,
    pace: Option<Pace>,
    /// Layer and module of the weight that was finished last.
    place: String,
    told_percent: u64,
}

impl Progress {
    /// A listener that draws a bar only on a terminal, and only for people.
    pub(super) fn new(output: Output) -> Self {
        let is_drawn = io::stderr().is_terminal() && !output.is_json;
        let bar = is_drawn.then(|| {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent}% {msg}")
                .expect("the template is fixed");
            ProgressBar::new(0).with_style(style)
        });
        Self {
            bar,
            is_quiet: output.is_json,
            start: Instant::now(),
            stage: String::new(),
            pace: None,
            place: String::new(),
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
            JobEvent::Log { level, message } => match level {
                LogLevel::Info => self.tell(message),
                LogLevel::Warning => self.insist(&format!("warning: {message}")),
                LogLevel::Error => self.tell(&format!("failed: {message}")),
            },
            JobEvent::LayerCompressed { report } => self.place = place_in_words(&report.name),
            JobEvent::ModelFetched { model, size, .. } => {
                self.tell(&format!("fetched {model} ({size})"));
            }
            JobEvent::StageFinished { report } => {
                self.tell(&format!("{}: {}", report.method, report.summary));
            }
            JobEvent::VariantMade { variant, size, .. } => {
                // What comes next is no longer about a weight of it.
                self.place.clear();
                self.tell(&format!("made {variant} ({size})"));
            }
            // Too many to tell, or told at the end by whoever asked for the work.
            JobEvent::AdapterTrained { .. }
            | JobEvent::ReferencesChecked { .. }
            | JobEvent::ProblemScored { .. }
            | JobEvent::ProblemsExcluded { .. }
            | JobEvent::PerplexityMeasured { .. }
            | JobEvent::PerformanceMeasured { .. }
            | JobEvent::CardUsed { .. }
            | JobEvent::Failed { .. }
            | JobEvent::Finished => {}
        }
    }

    fn show(&mut self, stage: &str, n_done: u64, n_total: u64) {
        let is_new = stage != self.stage;
        let at = Timestamp(self.start.elapsed().as_millis() as i64);
        if is_new {
            stage.clone_into(&mut self.stage);
            self.told_percent = 0;
            self.pace = None;
        }
        let pace = match self.pace {
            Some(pace) => pace.seen(at, n_done),
            None => Pace::starting(at, n_done),
        };
        self.pace = Some(pace);
        let left = pace.remaining_text(n_total).unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_length(n_total);
            bar.set_position(n_done);
            bar.set_prefix(joined(&[stage, &self.place]));
            bar.set_message(left);
            return;
        }
        let percent = n_done.saturating_mul(100).checked_div(n_total).unwrap_or(0);
        if is_new || percent >= self.told_percent + STEP_PERCENT {
            self.told_percent = percent - percent % STEP_PERCENT;
            let percent = format!("{percent} %");
            let line = joined(&[&percent, &self.place, &left]);
            self.tell(&format!("{stage}: {line}"));
        }
    }

    /// Tells a line that nobody needs.
    fn tell(&self, line: &str) {
        if !self.is_quiet {
            self.insist(line);
        }
    }

    /// Tells a line that has to be read.
    fn insist(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => {
                // Progress that nobody can read is not worth an error.
                let _ = writeln!(io::stderr().lock(), "{line}");
            }
        }
    }
}

/// `layer 3, mlp.up_proj`.
fn place_in_words(name: &str) -> String {
    match place_in_layers(name) {
        Some((layer, module)) => format!("layer {layer}, {module}"),
        None => name.to_owned(),
    }
}

/// What there is to say, with commas between.
fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(", ")
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_percent_layer_and_module() {
        let place = place_in_words("model.layers.3.mlp.up_proj");
        assert_eq!(joined(&["25 %", &place, ""]), "25 %, layer 3, mlp.up_proj");
        assert_eq!(place_in_words("lm_head"), "lm_head");
    }

    #[test]
    fn progress_keeps_the_pace_of_its_stage_and_the_last_layer() {
        let mut progress = Progress::new(Output { is_json: true });
        assert!(progress.bar.is_none() && progress.is_quiet);
        progress.show("Making a", 3, 60);
        progress.show("Making a", 6, 60);
        let pace = progress.pace.expect("a stage has one");
        assert!(pace.seen(Timestamp(i64::MAX), 6).remaining_ms(60).is_some());
        progress.show("Making b", 1, 60);
        let pace = progress.pace.expect("a stage has one");
        assert!(pace.remaining_ms(60).is_none());
        assert_eq!(progress.stage, "Making b");
    }
}
