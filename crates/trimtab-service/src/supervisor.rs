//! One job from claim to end: starts its worker, lands what it says, and explains how it ended.

use crate::clock::{self, Stopwatch};
use crate::landing::{Landing, LandingError};
use crate::plan;
use crate::process::{Worker, WorkerEnd, WorkerReport};
use crate::queue::until_true;
use crate::service::Inner;
use crate::worker::WorkerInput;
use trimtab_domain::{
    Digest, Failure, FailureKind, JobEvent, JobSpec, LogLevel, ModelName, RunEvent, VariantName,
    format_duration_ms,
};
use trimtab_store::{ClaimedJob, HeldJob, JobEnd, LogLine, StoredVariant};

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobOutcome {
    /// Well.
    Done,
    /// With a failure.
    Failed(Failure),
    /// A user cancelled it.
    Cancelled,
    /// This service is shutting down; the job is queued again.
    Stopped,
}

/// What has to happen for a job.
enum Preparation {
    /// A worker has to be started.
    Work(Box<WorkerInput>),
    /// Somebody else has done it already.
    AlreadyDone,
}

impl Inner {
    /// Does a claimed job and records its end. `listener` hears what the worker says.
    ///
    /// # Errors
    ///
    /// Only if the end cannot be recorded; a job that fails is an outcome.
    pub(crate) async fn supervise<L: FnMut(&JobEvent)>(
        &self,
        job: &ClaimedJob,
        listener: &mut L,
    ) -> Result<(JobOutcome, Vec<RunEvent>), Failure> {
        let title = job.spec.title();
        let outcome = match self.prepare(job).await {
            Ok(Preparation::Work(input)) => {
                let attempt = match job.n_attempts {
                    0 | 1 => String::new(),
                    n => format!(" (attempt {n})"),
                };
                self.log(
                    job,
                    LogLevel::Info,
                    format!("{title}: started{attempt}"),
                    listener,
                )
                .await;
                self.watch(job, &input, listener).await
            }
            Ok(Preparation::AlreadyDone) => JobOutcome::Done,
            Err(failure) => JobOutcome::Failed(failure),
        };
        self.paths.sweep_job(job.job_id);
        let (level, message) = match &outcome {
            JobOutcome::Done => (LogLevel::Info, format!("{title}: done")),
            JobOutcome::Failed(failure) => (LogLevel::Error, format!("{title}: {failure}")),
            JobOutcome::Cancelled => (LogLevel::Warning, format!("{title}: cancelled")),
            JobOutcome::Stopped => (
                LogLevel::Warning,
                format!("{title}: put back, shutting down"),
            ),
        };
        self.log(job, level, message, listener).await;
        let events = self.record_end(job, &outcome).await?;
        self.live_jobs.forget(job.job_id);
        Ok((outcome, events))
    }

    /// Adds a line to the job's log and tells everyone.
    async fn log<L: FnMut(&JobEvent)>(
        &self,
        job: &ClaimedJob,
        level: LogLevel,
        message: String,
        listener: &mut L,
    ) {
        let line = LogLine {
            at: clock::now(),
            level,
            message: message.clone(),
        };
        if let Err(error) = self.store.put_log(job.job_id, &line).await {
            tracing::error!("cannot keep a log line: {error}");
        }
        self.tell(job, &JobEvent::Log { level, message }, listener);
    }

    fn tell<L: FnMut(&JobEvent)>(&self, job: &ClaimedJob, event: &JobEvent, listener: &mut L) {
        listener(event);
        if let Some(run_id) = job.run_id {
            self.live_jobs.hear(job.job_id, event);
            let (job_id, at) = (job.job_id, clock::now());
            self.announce(RunEvent::Job {
                run_id,
                job_id,
                at,
                event: event.clone(),
            });
        }
    }

    async fn prepare(&self, job: &ClaimedJob) -> Result<Preparation, Failure> {
        let mut input = WorkerInput {
            device: self.config.device,
            job_id: job.job_id,
            spec: job.spec.clone(),
            paths: self.paths.clone(),
            model: None,
            artifact: None,
            done: Vec::new(),
            references: Vec::new(),
            has_perplexity: false,
            has_performance: false,
        };
        match &job.spec {
            JobSpec::Fetch { model } => {
                if self.model_digest(model).await?.is_some() {
                    return Ok(Preparation::AlreadyDone);
                }
            }
            JobSpec::Compress {
                model,
                recipe,
                variant,
            } => {
                let made = self.store.variant(variant).await?;
                if made.is_some_and(|made| self.is_in_place(&made) && made.view.recipe == *recipe) {
                    return Ok(Preparation::AlreadyDone);
                }
                input.model = Some(self.require_model(model).await?);
            }
            JobSpec::TrainLora { base, .. } => {
                let variant = self.require_variant(base).await?;
                input.model = Some(self.require_model(&variant.view.model).await?);
                input.artifact = Some(variant.view.digest);
            }
            JobSpec::Evaluate(spec) => {
                let variant = self.require_variant(&spec.variant).await?;
                input.model = Some(self.require_model(&variant.view.model).await?);
                input.artifact = Some(variant.view.digest);
                if let Some(run_id) = job.run_id {
                    let landed = self.store.landed_results(run_id, &spec.variant).await?;
                    input.has_perplexity = landed.perplexity.is_some();
                    input.has_performance = landed.performance.is_some();
                    input.done = landed.done_keys().into_iter().collect();
                    input.references = self.store.references(run_id).await?;
                }
            }
        }
        Ok(Preparation::Work(Box::new(input)))
    }

    /// Digest of the model's file, if the file is there.
    pub(crate) async fn model_digest(&self, name: &ModelName) -> Result<Option<Digest>, Failure> {
        let model = self.store.model(name).await?;
        let model = model.filter(|model| self.models.contains(&model.digest, model.size));
        Ok(model.map(|model| model.digest))
    }

    async fn require_variant(&self, name: &VariantName) -> Result<StoredVariant, Failure> {
        let made = self.store.variant(name).await?;
        made.filter(|made| self.is_in_place(made)).ok_or_else(|| {
            Failure::failed(format!("variant `{name}` has no file"))
                .with_hint("start the work anew: it makes the variant first")
        })
    }

    async fn require_model(&self, name: &ModelName) -> Result<Digest, Failure> {
        self.model_digest(name).await?.ok_or_else(|| {
            Failure::failed(format!("the file of model `{name}` is not on this machine"))
                .with_hint(format!("fetch it with `trimtab models pull {name}`"))
        })
    }

    /// Whether the variant's artifact is there.
    pub(crate) fn is_in_place(&self, variant: &StoredVariant) -> bool {
        !variant.is_removed
            && self
                .artifacts
                .contains(&variant.view.digest, variant.view.size)
    }

    /// Runs the worker to its end.
    async fn watch<L: FnMut(&JobEvent)>(
        &self,
        job: &ClaimedJob,
        input: &WorkerInput,
        listener: &mut L,
    ) -> JobOutcome {
        let exe = &self.config.worker_exe;
        let mut worker = Worker::start(exe, self.paths.data_dir(), input);
        let mut landing = Landing::new(self, job);
        let mut poll = tokio::time::interval(self.limits.poll);
        let mut stop = self.queue.stop.subscribe();
        let mut quiet = Stopwatch::start();
        // Set once the worker is to be killed; its end is then no news.
        let mut verdict = None;
        loop {
            let found = tokio::select! {
                report = worker.next() => {
                    quiet = Stopwatch::start();
                    match report {
                        Some(WorkerReport::Ended(end)) => {
                            landing.save_layers_at_the_end().await;
                            return verdict
                                .unwrap_or_else(|| outcome_of(job, landing.last_word, &end));
                        }
                        Some(WorkerReport::NotStarted(error)) => {
                            let exe = exe.display();
                            let message = format!("cannot start worker `{exe}`: {error}");
                            return JobOutcome::Failed(Failure::failed(message));
                        }
                        Some(_) if verdict.is_some() => None,
                        Some(report) => self.hear(job, report, &mut landing, listener).await,
                        None => Some(JobOutcome::Failed(Failure::new(
                            FailureKind::Bug,
                            "the worker's watcher ended without a word",
                        ))),
                    }
                }
                _ = poll.tick(), if verdict.is_none() => self.why_stop(job, quiet).await,
                () = self.queue.wake.notified(), if verdict.is_none() => {
                    self.why_stop(job, quiet).await
                }
                () = until_true(&mut stop), if verdict.is_none() => Some(JobOutcome::Stopped),
            };
            if let Some(found) = found {
                verdict = Some(found);
                worker.kill();
            }
        }
    }

    /// Takes in one report; an outcome means that the worker has to go.
    async fn hear<L: FnMut(&JobEvent)>(
        &self,
        job: &ClaimedJob,
        report: WorkerReport,
        landing: &mut Landing<'_>,
        listener: &mut L,
    ) -> Option<JobOutcome> {
        let broke_protocol = |what: &str| {
            let message = format!("the worker of `{}` said {what}", job.spec.title());
            Some(JobOutcome::Failed(Failure::new(FailureKind::Bug, message)))
        };
        match report {
            WorkerReport::Started(pid) => {
                let stored = self.store.set_worker(job.job_id, pid).await;
                stored.err().map(|error| JobOutcome::Failed(error.into()))
            }
            WorkerReport::NotAnEvent(line) => {
                broke_protocol(&format!("something that is not an event: {line}"))
            }
            WorkerReport::Event(event) => match landing.land(&event).await {
                Ok(()) => {
                    self.tell(job, &event, listener);
                    None
                }
                Err(LandingError::Protocol(what)) => broke_protocol(&what),
                Err(LandingError::Store(error)) => Some(JobOutcome::Failed(error.into())),
            },
            WorkerReport::NotStarted(_) | WorkerReport::Ended(_) => None,
        }
    }

    /// A reason to stop a worker that has not said its last word.
    async fn why_stop(&self, job: &ClaimedJob, quiet: Stopwatch) -> Option<JobOutcome> {
        match self.store.holds_job(job.job_id, self.owner).await {
            Ok(true) => {}
            Ok(false) => return Some(JobOutcome::Cancelled),
            Err(error) => return Some(JobOutcome::Failed(error.into())),
        }
        let limit = self.limits.silence;
        (limit < quiet.elapsed()).then(|| {
            let limit = format_duration_ms(limit.as_secs_f64() * 1e3);
            let title = job.spec.title();
            JobOutcome::Failed(
                Failure::failed(format!("the worker of `{title}` said nothing for {limit}"))
                    .with_hint(resume_hint(job)),
            )
        })
    }

    /// Moves the job to where its outcome puts it.
    async fn record_end(
        &self,
        job: &ClaimedJob,
        outcome: &JobOutcome,
    ) -> Result<Vec<RunEvent>, Failure> {
        let at = clock::now();
        let end = match outcome {
            JobOutcome::Cancelled => return Ok(Vec::new()),
            JobOutcome::Stopped if job.run_id.is_some() => {
                let held = self.store.held_jobs().await?;
                let held: Option<&HeldJob> = held.iter().find(|held| held.job_id == job.job_id);
                let Some(held) = held else {
                    return Ok(Vec::new());
                };
                let changes = self
                    .store
                    .release_job(held, held.n_interruptions, at)
                    .await?;
                return Ok(self.announce_changes(&changes));
            }
            JobOutcome::Done => JobEnd::Done,
            JobOutcome::Stopped => self.failed_end(job, &Failure::failed("stopped")).await?,
            JobOutcome::Failed(failure) => self.failed_end(job, failure).await?,
        };
        let changes = self.store.end_job(job.job_id, self.owner, &end, at).await?;
        Ok(self.announce_changes(&changes))
    }

    /// The end of a failed job and of those that cannot do without it.
    pub(crate) async fn failed_end(
        &self,
        job: &ClaimedJob,
        failure: &Failure,
    ) -> Result<JobEnd, Failure> {
        let dependents = match job.run_id {
            Some(run_id) => plan::dependents(&self.store.jobs(run_id).await?, job.job_id, failure),
            None => Vec::new(),
        };
        Ok(JobEnd::Failed {
            failure: failure.clone(),
            dependents,
        })
    }
}

/// What the end of an undisturbed worker means.
fn outcome_of(
    job: &ClaimedJob,
    last_word: Option<Result<(), Failure>>,
    end: &WorkerEnd,
) -> JobOutcome {
    match last_word {
        Some(Ok(())) => JobOutcome::Done,
        Some(Err(failure)) => JobOutcome::Failed(failure),
        None => JobOutcome::Failed(
            Failure::failed(format!(
                "the worker of `{}` {}",
                job.spec.title(),
                cause_of_death(end)
            ))
            .with_hint(resume_hint(job)),
        ),
    }
}

fn resume_hint(job: &ClaimedJob) -> String {
    match job.run_id {
        Some(run_id) => format!("`trimtab runs resume {run_id}` goes on where it stopped"),
        None => "run the command again".to_owned(),
    }
}

/// How a worker ended that did not say why.
fn cause_of_death(end: &WorkerEnd) -> String {
    let how = match (end.signal, end.code) {
        (Some(libc::SIGKILL), _) => {
            "was killed by signal 9 (SIGKILL), perhaps because memory ran out".to_owned()
        }
        (Some(signal), _) => format!("was killed by signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("ended with exit code {code} before it was done"),
        (None, None) => "vanished".to_owned(),
    };
    match end.stderr_tail.as_slice() {
        [] => how,
        [.., last] => format!("{how}; its last words: {last}"),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => " (SIGHUP)",
        libc::SIGINT => " (SIGINT)",
        libc::SIGILL => " (SIGILL)",
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGTERM => " (SIGTERM)",
        libc::SIGXCPU => " (SIGXCPU)",
        libc::SIGXFSZ => " (SIGXFSZ)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(signal: Option<i32>, code: Option<i32>, stderr: &[&str], expected: &str) {
        let stderr_tail = stderr.iter().map(ToString::to_string).collect();
        assert_eq!(
            cause_of_death(&WorkerEnd {
                signal,
                code,
                stderr_tail
            }),
            expected
        );
    }

    #[test]
    fn a_death_is_told_with_its_signal_or_code_and_last_words() {
        check(
            Some(9),
            None,
            &[],
            "was killed by signal 9 (SIGKILL), perhaps because memory ran out",
        );
        check(
            Some(11),
            None,
            &["a", "b"],
            "was killed by signal 11 (SIGSEGV); its last words: b",
        );
        check(
            None,
            Some(101),
            &[],
            "ended with exit code 101 before it was done",
        );
    }
}
