//! Training of adapters on request: data taken over, the variant made, the adapter trained in a
//! worker and copied to where it is wanted.

use crate::{Service, calibration_text::import_data, disk, models::blocking};
use std::{
    fs,
    path::{Path, PathBuf},
};
use trimtab_domain::{
    AdapterReport, Failure, FailureKind, JobEvent, JobSpec, LoraOptions, LoraSpec, VariantName,
};

/// An adapter that is wanted.
#[derive(Clone, Debug)]
pub struct LoraRequest {
    /// The variant that it is trained beside; a missing one is made first.
    pub base: VariantName,
    /// The data: a JSON document a line, with `prompt` and `completion`.
    pub data: PathBuf,
    /// How it is trained.
    pub options: LoraOptions,
    /// Folder that the adapter is copied to: one that is not there yet, or empty.
    pub out: PathBuf,
}

impl Service {
    /// Trains a low-rank adapter and writes it as PEFT does. Asked for again after a kill, it goes on
    /// where it was; asked for again with the same data and settings, it copies what was made.
    ///
    /// # Errors
    ///
    /// Data that cannot be read, settings that make no sense, targets that the model does not have,
    /// and a folder that is in use.
    pub async fn train_lora(
        &self,
        request: LoraRequest,
        mut listener: impl FnMut(&JobEvent),
    ) -> Result<AdapterReport, Failure> {
        let LoraRequest {
            base,
            data,
            options,
            out,
        } = request;
        require_empty(&out)?;
        let paths = self.inner.paths.clone();
        let (data_name, data) = blocking(move || import_data(&data, &paths)).await?;
        let variant = self.ensure_variant(&base, &mut listener).await?;
        let spec = JobSpec::TrainLora {
            base: variant.name,
            lora: Box::new(LoraSpec {
                data_name,
                data,
                options,
            }),
        };
        let mut made = None;
        let mut heard = |event: &JobEvent| {
            if let JobEvent::AdapterTrained { report } = event {
                made = Some((**report).clone());
            }
            listener(event);
        };
        self.inner.do_command_job(spec, &mut heard).await?;
        let report = made.ok_or_else(|| {
            Failure::new(FailureKind::Bug, "an adapter was trained but not told of")
        })?;
        let folder = self.inner.models.path(&report.digest);
        blocking(move || copy(&folder, &out)).await?;
        Ok(report)
    }
}

/// Refuses a folder that holds something.
fn require_empty(out: &Path) -> Result<(), Failure> {
    let is_free = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_free {
        return Ok(());
    }
    Err(Failure::bad_input(format!("`{}` is in use", out.display()))
        .with_hint("give a folder that is not there yet, or empty"))
}

/// Copies an adapter; settings come last, since a folder with them would look whole.
fn copy(folder: &Path, out: &Path) -> Result<(), Failure> {
    let copied = fs::create_dir_all(out).and_then(|()| {
        for name in ["adapter_model.safetensors", "adapter_config.json"] {
            let unfinished = out.join(name).with_extension("part");
            fs::copy(folder.join(name), &unfinished)?;
            fs::File::open(&unfinished)?.sync_all()?;
            fs::rename(&unfinished, out.join(name))?;
        }
        Ok(())
    });
    copied.map_err(|error| disk::write_failure(out, &error))
}
