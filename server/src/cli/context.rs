//! What a command is given: its data folder, its output, and the service when it asks for it.

use super::{arguments::GlobalOptions, output::Output};
use std::path::PathBuf;
use tokio::sync::OnceCell;
use trimtab_domain::Failure;
use trimtab_service::{Service, ServiceConfig};

/// What a command is given.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) output: Output,
    data_dir: PathBuf,
    service: OnceCell<Service>,
}

impl Context {
    /// Checks the options that every command takes.
    pub(super) fn new(options: &GlobalOptions) -> Result<Self, Failure> {
        check_device(&options.device)?;
        Ok(Self {
            output: Output {
                is_json: options.json,
            },
            data_dir: options.data_dir.clone(),
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
        })
        .await
    }
}

fn check_device(device: &str) -> Result<(), Failure> {
    match device {
        "cpu" => Ok(()),
        cuda if cuda == "cuda" || cuda.starts_with("cuda:") => Err(Failure::bad_input(format!(
            "this build has no CUDA, so device `{cuda}` is out"
        ))
        .with_hint("use `--device cpu`")),
        other => Err(Failure::bad_input(format!("`{other}` is not a device"))
            .with_hint("use `--device cpu`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_built_in_is_refused() {
        assert!(check_device("cpu").is_ok());
        assert!(
            check_device("cuda:1")
                .unwrap_err()
                .message
                .contains("no CUDA")
        );
        assert!(
            check_device("tpu")
                .unwrap_err()
                .message
                .contains("not a device")
        );
    }
}
