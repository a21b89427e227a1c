//! Writes an adapter as the folder that PEFT reads.

use super::{AdapterError, LoraSettings, LoraTargets, LowRank, PeftAdapter};
use crate::Layout;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

impl PeftAdapter {
    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `folder`, which is made
    /// where it is missing. Each file is written under another name, flushed and renamed.
    ///
    /// # Errors
    ///
    /// [`AdapterError`] where the layers store their weights in different orders, and where a file
    /// cannot be written.
    pub fn write(
        &self,
        folder: &Path,
        settings: &LoraSettings,
        base_model: &str,
    ) -> Result<(), AdapterError> {
        let fan_in_fan_out = self.is_transposed()?;
        let targets = match &settings.targets {
            LoraTargets::Ends(ends) => json!(ends),
            LoraTargets::Pattern(pattern) => json!(pattern),
        };
        let config = json!({
            "base_model_name_or_path": base_model,
            "bias": "none",
            "fan_in_fan_out": fan_in_fan_out,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": settings.alpha,
            "lora_dropout": settings.dropout,
            "peft_type": "LORA",
            "r": settings.rank,
            "target_modules": targets,
            "task_type": "CAUSAL_LM",
            "use_rslora": settings.is_rank_stabilised,
        });
        std::fs::create_dir_all(folder).map_err(|source| write_error(folder, source))?;
        let config = format!("{config:#}\n");
        // Last, since a folder with settings alone would look whole.
        let weights = self.to_safetensors()?;
        write_file(&folder.join("adapter_model.safetensors"), &weights)?;
        write_file(&folder.join("adapter_config.json"), config.as_bytes())
    }

    /// Whether all layers store their weights as `[d_in, d_out]`.
    fn is_transposed(&self) -> Result<bool, AdapterError> {
        let mut layers = self.parts().iter();
        let is_transposed = |layout: &Layout| *layout == Layout::Transposed;
        let Some((_, (_, layout))) = layers.next() else {
            return Ok(false);
        };
        let first = is_transposed(layout);
        match layers.find(|(_, (_, layout))| is_transposed(layout) != first) {
            None => Ok(first),
            Some((layer, _)) => Err(AdapterError::FanInFanOut {
                layer: layer.clone(),
                in_config: first,
            }),
        }
    }

    fn to_safetensors(&self) -> Result<Vec<u8>, AdapterError> {
        let mut tensors = Vec::new();
        for (layer, (part, layout)) in self.parts() {
            let LowRank {
                rank, d_in, d_out, ..
            } = *part;
            let b = match layout {
                Layout::Transposed => part.b.to_vec(),
                layout => layout.write(part.b.to_vec(), d_out, rank),
            };
            let name = |factor: &str| format!("base_model.model.{layer}.{factor}.weight");
            tensors.push((name("lora_A"), [rank, d_in], bytes_of(&part.a)));
            tensors.push((name("lora_B"), [d_out, rank], bytes_of(&b)));
        }
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
            (name, view.expect("as many bytes as the shape says"))
        });
        let metadata = [("format".to_owned(), "pt".to_owned())];
        safetensors::serialize(views, Some(metadata.into()))
            .map_err(|error| AdapterError::Config(error.to_string()))
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn write_error(path: &Path, source: std::io::Error) -> AdapterError {
    AdapterError::Write {
        path: PathBuf::from(path),
        source,
    }
}

/// Writes a file as a whole: what was there stays until the new one is on disk.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), AdapterError> {
    let draft = path.with_extension("draft");
    let written = File::create(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|source| {
            // A draft that cannot be removed either is overwritten the next time.
            drop(std::fs::remove_file(&draft));
            write_error(path, source)
        })
}
