//! What a training tells while it goes on: a bar of its steps, and some twenty lines of the log with
//! the loss and the time that is left.

use crate::clock::Stopwatch;
use trimtab_compress::train::StepReport;
use trimtab_domain::{JobEvent, LogLevel, format_duration_ms};

/// Lines of the log, over a whole training.
const N_LINES: u64 = 20;

/// Tells of the steps of one training.
#[derive(Debug)]
pub(crate) struct TrainingLog {
    stage: String,
    n_steps: u64,
    clock: Stopwatch,
    n_done_here: u64,
}

impl TrainingLog {
    /// `stage` is what is trained, in words for people.
    pub(crate) fn new(stage: String, n_steps: u64) -> Self {
        Self {
            stage,
            n_steps,
            clock: Stopwatch::start(),
            n_done_here: 0,
        }
    }

    /// What is to be told of a step.
    pub(crate) fn on_step(&mut self, report: &StepReport) -> Vec<JobEvent> {
        self.n_done_here += 1;
        let (step, n_steps) = (report.step, self.n_steps);
        let mut events = vec![JobEvent::Progress {
            stage: self.stage.clone(),
            n_done: step,
            n_total: n_steps,
        }];
        let every = (n_steps / N_LINES).max(1);
        if self.n_done_here == 1 || step.is_multiple_of(every) || step == n_steps {
            let per_step = self.clock.elapsed().as_secs_f64() * 1e3 / self.n_done_here as f64;
            let left = per_step * n_steps.saturating_sub(step) as f64;
            let left = match step == n_steps {
                true => String::new(),
                false => format!(", about {} left", format_duration_ms(left)),
            };
            events.push(JobEvent::Log {
                level: LogLevel::Info,
                message: format!("step {step} of {n_steps}: loss {:.4}{left}", report.loss),
            });
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_moves_the_bar_and_some_twenty_are_logged() {
        let mut log = TrainingLog::new("Learning".to_owned(), 400);
        let (mut n_bars, mut lines) = (0, Vec::new());
        for step in 41..=400 {
            let report = StepReport {
                step,
                loss: 2.0,
                gradient_norm: 1.0,
                learning_rate: 1e-3,
                n_tokens: 8,
                n_learned: 8,
            };
            for event in log.on_step(&report) {
                match event {
                    JobEvent::Progress { n_done, .. } => {
                        assert_eq!(n_done, step);
                        n_bars += 1;
                    }
                    JobEvent::Log { message, .. } => lines.push(message),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((n_bars, lines.len()), (360, 19));
        assert!(
            lines[0].starts_with("step 41 of 400: loss 2.0000, about "),
            "{}",
            lines[0]
        );
        assert_eq!(lines[18], "step 400 of 400: loss 2.0000");
    }
}
