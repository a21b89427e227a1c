//! The facade: what is shared, how it is opened, and how events leave it.

use crate::{DataPaths, Limits, ServiceConfig, live_jobs::LiveJobs, owner, queue::Queue};
use futures::{Stream, StreamExt};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use trimtab_domain::{Failure, RunEvent};
use trimtab_store::{Artifacts, Changes, Owner, Store};

/// Events kept for a listener that is slow; one that is slower misses some.
const N_BUFFERED_EVENTS: usize = 4_096;

/// The use cases of the product. Cheap to clone; all clones are the same service.
#[derive(Clone, Debug)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: ServiceConfig,
    pub(crate) limits: Limits,
    pub(crate) paths: DataPaths,
    pub(crate) store: Store,
    pub(crate) models: Artifacts,
    pub(crate) artifacts: Artifacts,
    pub(crate) owner: Owner,
    pub(crate) queue: Queue,
    pub(crate) live_jobs: LiveJobs,
    events: broadcast::Sender<RunEvent>,
}

impl Service {
    /// Opens the data folder and its database; both are made if they are not there.
    ///
    /// # Errors
    ///
    /// A folder that cannot be written to, a damaged database and one of a newer version.
    pub async fn open(config: ServiceConfig) -> Result<Self, Failure> {
        Self::open_with(config, Limits::default()).await
    }

    /// As [`Self::open`], with other times.
    pub async fn open_with(config: ServiceConfig, limits: Limits) -> Result<Self, Failure> {
        let data_dir = std::path::absolute(&config.data_dir).map_err(|error| {
            let folder = config.data_dir.display();
            Failure::bad_input(format!("`{folder}` is not a folder: {error}"))
        })?;
        let paths = DataPaths::new(&data_dir);
        paths.create()?;
        let store = Store::open(&paths.database()).await?;
        let (events, _) = broadcast::channel(N_BUFFERED_EVENTS);
        let inner = Inner {
            models: paths.models()?,
            artifacts: paths.artifacts()?,
            owner: owner::this_process(),
            queue: Queue::default(),
            live_jobs: LiveJobs::default(),
            config,
            limits,
            paths,
            store,
            events,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Everything that happens from now on, for any number of listeners.
    pub fn subscribe(&self) -> impl Stream<Item = RunEvent> + Send + 'static + use<> {
        let events = BroadcastStream::new(self.inner.events.subscribe());
        // A listener that was too slow goes on with the next event; what it missed is in the store.
        events.filter_map(|event| futures::future::ready(event.ok()))
    }
}

impl Inner {
    /// Tells everyone.
    pub(crate) fn announce(&self, event: RunEvent) {
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    /// Tells everyone what a transition changed, and returns it as events.
    pub(crate) fn announce_changes(&self, changes: &Changes) -> Vec<RunEvent> {
        let Some(run_id) = changes.run_id else {
            return Vec::new();
        };
        let jobs = changes
            .jobs
            .iter()
            .map(|&(job_id, state)| RunEvent::JobState {
                run_id,
                job_id,
                state,
            });
        let run = changes
            .run_state
            .map(|state| RunEvent::RunState { run_id, state });
        let events: Vec<RunEvent> = jobs.chain(run).collect();
        for event in &events {
            self.announce(event.clone());
        }
        events
    }
}
