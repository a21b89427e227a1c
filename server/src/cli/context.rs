//! What a command is given: its data folder, its output, and the service when it asks for it.

use super::{arguments::GlobalOptions, output::Output};
use std::path::PathBuf;
use tokio::sync::OnceCell;
use trimtab_domain::{DeviceName, Failure};
use trimtab_service::{Service, ServiceConfig};

/// What a command is given.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) output: Output,
    data_dir: PathBuf,
    device: DeviceName,
    service: OnceCell<Service>,
}

impl Context {
    /// Checks the options that every command takes.
    pub(super) fn new(options: &GlobalOptions) -> Result<Self, Failure> {
        trimtab_service::check_device(options.device)?;
        Ok(Self {
            output: Output {
                is_json: options.json,
            },
            data_dir: options.data_dir.clone(),
            device: options.device,
            service: OnceCell::new(),
        })
    }

    /// The service on the data folder; opened at the first call.
    pub(super) async fn service(&self) -> Result<&Service, Failure> {
        self.service.get_or_try_init(|| self.open()).await
    }

    /// Stops what the service started, if it was opened.
    pub(super) async fn shut_down(&self) {
        if let Some(service) = self.service.get() {
            service.shutdown().await;
        }
    }

    async fn open(&self) -> Result<Service, Failure> {
        let worker_exe = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("cannot find this program: {error}")))?;
        Service::open(ServiceConfig {
            data_dir: self.data_dir.clone(),
            worker_exe,
            device: self.device,
        })
        .await
    }
}
