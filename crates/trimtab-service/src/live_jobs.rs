//! What running jobs have said and the store does not keep, or not yet: for pages that are opened
//! while work goes on.

use crate::clock;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use trimtab_domain::{JobEvent, JobId, LayerReport, Pace, StageReport, StageView};

/// Of every job that this process supervises for a run.
#[derive(Debug, Default)]
pub(crate) struct LiveJobs {
    jobs: Mutex<HashMap<JobId, LiveJob>>,
}

/// What one job has said.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveJob {
    /// What its worker is at.
    pub(crate) stage: Option<StageView>,
    /// What its steps that make another model have done.
    pub(crate) stages: Vec<StageReport>,
    /// Weights that are compressed.
    pub(crate) layers: Vec<LayerReport>,
}

impl LiveJobs {
    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, LiveJob>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a worker said.
    pub(crate) fn hear(&self, job_id: JobId, event: &JobEvent) {
        match event {
            JobEvent::Progress {
                stage,
                n_done,
                n_total,
            } => {
                let mut jobs = self.jobs();
                let job = jobs.entry(job_id).or_default();
                let at = clock::now();
                let known = job.stage.as_ref().filter(|known| known.words == *stage);
                job.stage = Some(StageView {
                    words: stage.clone(),
                    n_done: *n_done,
                    n_total: *n_total,
                    pace: known.map_or(Pace::starting(at, *n_done), |known| {
                        known.pace.seen(at, *n_done)
                    }),
                    weight: job.layers.last().map(|layer| layer.name.clone()),
                });
            }
            JobEvent::StageFinished { report } => {
                self.jobs()
                    .entry(job_id)
                    .or_default()
                    .stages
                    .push(report.clone());
            }
            JobEvent::LayerCompressed { report } => {
                self.jobs()
                    .entry(job_id)
                    .or_default()
                    .layers
                    .push(report.clone());
            }
            _ => {}
        }
    }

    /// What a job has said so far.
    pub(crate) fn get(&self, job_id: JobId) -> LiveJob {
        self.jobs().get(&job_id).cloned().unwrap_or_default()
    }

    /// Forgets a job that has ended: what it made is in the store.
    pub(crate) fn forget(&self, job_id: JobId) {
        self.jobs().remove(&job_id);
    }
}
