//! What a service is made of.

use std::path::PathBuf;
use std::time::Duration;
use trimtab_domain::DeviceName;

/// Where data is kept and which program runs as worker.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The data folder; made if it is not there.
    pub data_dir: PathBuf,
    /// The program that is started as `WORKER_EXE worker --data-dir DIR`.
    pub worker_exe: PathBuf,
    /// Where models are computed, in this process and in workers.
    pub device: DeviceName,
}

/// Times that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A worker that says nothing for so long is taken for stuck and killed.
    pub silence: Duration,
    /// How often the queue looks for work that other processes left or cancelled.
    pub poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        // Loading the largest model and scoring one batch of text takes minutes, not an hour.
        Self {
            silence: Duration::from_mins(45),
            poll: Duration::from_millis(500),
        }
    }
}
