//! Exporting a variant: its artifact becomes a folder or a file that other programs read.

use crate::{
    Service, disk,
    inference::{VariantFiles, blocking},
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use trimtab_domain::{Bytes, Failure, VariantName};
use trimtab_kernels::PackedFormat;
use trimtab_models::gguf::{GgmlType, GgufValue};
use trimtab_models::gguf_export::{
    Fidelity, GgufExport, GgufExportError, TensorTypes, TokenizerMetadata, Transfer,
    WRITABLE_TYPES, general_metadata, types_of_artifact, weights_of_artifact,
};
use trimtab_models::hf::HfFolder;
use trimtab_models::quantized::{ExportError, write_artifact_folder};
use trimtab_models::{Artifact, ModelFiles, quantized, weight_specs};

/// The name of the one file of an export as GGUF.
const GGUF_FILE: &str = "model.gguf";

/// What goes with the weights of a folder, as it is.
const COMPANIONS: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// A folder with 16-bit floats.
    Hf,
    /// A folder with GPTQ codes, zero points stored less one.
    Gptq,
    /// A folder with GPTQ codes, zero points as they are.
    GptqV2,
    /// A folder with `pack-quantized` codes.
    CompressedTensors,
    /// A GGUF file in a folder.
    Gguf,
}

const FORMATS: [(&str, ExportFormat); 5] = [
    ("hf", ExportFormat::Hf),
    ("gptq", ExportFormat::Gptq),
    ("gptq-v2", ExportFormat::GptqV2),
    ("compressed-tensors", ExportFormat::CompressedTensors),
    ("gguf", ExportFormat::Gguf),
];

impl FromStr for ExportFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = FORMATS.iter().find(|(known, _)| *known == name);
        known.map(|(_, format)| *format).ok_or_else(|| {
            let names = FORMATS.map(|(name, _)| name).join(", ");
            format!("`{name}` is no format to export; {names} are")
        })
    }
}

impl ExportFormat {
    /// How the library names the formats of folders.
    fn folder(self) -> Option<quantized::ExportFormat> {
        match self {
            Self::Hf => Some(quantized::ExportFormat::Plain),
            Self::Gptq => Some(quantized::ExportFormat::Gptq),
            Self::GptqV2 => Some(quantized::ExportFormat::GptqV2),
            Self::CompressedTensors => Some(quantized::ExportFormat::CompressedTensors),
            Self::Gguf => None,
        }
    }
}

/// Where an export goes, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRequest {
    format: ExportFormat,
    /// For all matrices of a GGUF file instead of those that say the same as the artifact.
    gguf_type: Option<GgmlType>,
    out: PathBuf,
}

impl ExportRequest {
    /// Checks what can be said before there is a variant.
    ///
    /// # Errors
    ///
    /// A folder that is there and not empty, a type that is not written, or one for a folder.
    pub fn new(format: ExportFormat, gguf_type: Option<&str>, out: &Path) -> Result<Self, Failure> {
        let gguf_type = gguf_type.map(writable_type).transpose()?;
        if gguf_type.is_some() && format != ExportFormat::Gguf {
            return Err(Failure::bad_input("block types are for GGUF files only")
                .with_hint("leave --gguf-type out, or export as `gguf`"));
        }
        check_out(out)?;
        Ok(Self {
            format,
            gguf_type,
            out: out.to_owned(),
        })
    }
}

fn writable_type(name: &str) -> Result<GgmlType, Failure> {
    let known = WRITABLE_TYPES
        .into_iter()
        .find(|ggml_type| ggml_type.to_string() == name);
    known.ok_or_else(|| {
        let names = WRITABLE_TYPES.map(|ggml_type| ggml_type.to_string());
        Failure::bad_input(format!("`{name}` is no type that is written"))
            .with_hint(format!("the types are {}", names.join(", ")))
    })
}

/// A folder that is not there yet, or empty.
fn check_out(out: &Path) -> Result<(), Failure> {
    let taken = |reason: &str| {
        let message = format!("cannot export to `{}`: {reason}", out.display());
        Err(Failure::bad_input(message).with_hint("name another folder with --out"))
    };
    match fs::read_dir(out).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => taken("the folder is not empty"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = parent(out);
            if out.file_name().is_some() && parent.is_dir() {
                return Ok(());
            }
            taken(&format!("`{}` is no folder", parent.display()))
        }
        Err(error) => taken(&error.to_string()),
    }
}

fn parent(out: &Path) -> &Path {
    let parent = out.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// As what.
    pub format: ExportFormat,
    /// What `trimtab models import` takes: the folder, or the GGUF file in it.
    pub path: PathBuf,
    /// Bytes of all files.
    pub size_bytes: Bytes,
    /// How near the weights are to those of the variant.
    pub weights: FidelityCounts,
    /// Weights by block type; empty for folders.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, usize>,
    /// What other programs will not do as the variant does.
    pub notes: Vec<String>,
}

/// Weights by how near they are to those of the variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FidelityCounts {
    /// The same numbers.
    pub exact: usize,
    /// Rounded to 16-bit floats, or with minima of groups rounded so.
    pub rounded: usize,
    /// Quantised anew, with an error of up to half a step.
    pub requantised: usize,
}

impl FidelityCounts {
    fn count(fidelities: impl Iterator<Item = Fidelity>) -> Self {
        let mut counts = Self::default();
        for fidelity in fidelities {
            match fidelity {
                Fidelity::Exact => counts.exact += 1,
                Fidelity::Rounded => counts.rounded += 1,
                Fidelity::Requantised => counts.requantised += 1,
            }
        }
        counts
    }
}

impl Service {
    /// Writes a variant for other programs. The folder appears once it is complete and on disk.
    ///
    /// # Errors
    ///
    /// An unknown variant, one that the format has no place for, a model file without what a folder
    /// needs, a disk that is too small.
    pub async fn export(
        &self,
        variant: &VariantName,
        request: ExportRequest,
    ) -> Result<Exported, Failure> {
        let files = self.variant_files(variant).await?;
        let name = variant.to_string();
        blocking(move || Export::open(&files, &name, &request)?.run()).await
    }
}

/// A variant and what is to become of it.
struct Export<'a> {
    request: &'a ExportRequest,
    variant: &'a str,
    artifact: Artifact,
    model: ModelFiles,
}

/// What became of the weights.
struct Written {
    weights: FidelityCounts,
    types: BTreeMap<String, usize>,
}

impl<'a> Export<'a> {
    fn open(
        files: &VariantFiles,
        variant: &'a str,
        request: &'a ExportRequest,
    ) -> Result<Self, Failure> {
        Ok(Self {
            request,
            variant,
            artifact: Artifact::open(&files.artifact).map_err(Failure::failed)?,
            model: ModelFiles::open(&files.model).map_err(Failure::failed)?,
        })
    }

    fn run(&self) -> Result<Exported, Failure> {
        let out = &self.request.out;
        check_out(out)?;
        let failed = |error: io::Error| disk::write_failure(out, &error);
        let unfinished = tempfile::Builder::new()
            .prefix(".trimtab-export-")
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(parent(out))
            .map_err(failed)?;
        let written = match (self.request.format.folder(), &self.model) {
            (None, _) => self.write_gguf(unfinished.path())?,
            (Some(format), ModelFiles::Folder(model)) => {
                self.write_folder(unfinished.path(), format, model)?
            }
            (Some(format), ModelFiles::Gguf(_)) => return Err(no_folder(format)),
        };
        let size_bytes = settle(unfinished.path()).map_err(failed)?;
        fs::rename(unfinished.path(), out).map_err(failed)?;
        // It has its name now: there is nothing left to remove.
        let _ = unfinished.keep();
        File::open(parent(out))
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(Exported {
            format: self.request.format,
            path: match self.request.format {
                ExportFormat::Gguf => out.join(GGUF_FILE),
                _ => out.clone(),
            },
            size_bytes,
            weights: written.weights,
            types: written.types,
            notes: self.notes(),
        })
    }

    fn require_space(&self, needed: u64) -> Result<(), Failure> {
        let purpose = format!("export `{}`", self.variant);
        disk::require_space(parent(&self.request.out), Bytes(needed), &purpose)
            .map_err(|failure| failure.with_hint("free some space, or name another folder"))
    }

    fn write_gguf(&self, folder: &Path) -> Result<Written, Failure> {
        let config = &self.artifact.header().config;
        let tokenizer = TokenizerMetadata::of_model(&self.model, config.vocab_size)
            .map_err(|error| Failure::bad_input(format!("cannot export as GGUF: {error}")))?;
        let types =
            types_of_artifact(&self.artifact, self.request.gguf_type).map_err(Failure::failed)?;
        let general = match &self.model {
            ModelFiles::Gguf(file) => general_metadata(file),
            ModelFiles::Folder(_) => {
                let name = GgufValue::String(self.variant.to_owned());
                vec![("general.name".to_owned(), name)]
            }
        };
        let export = GgufExport {
            config,
            tokenizer: &tokenizer,
            general: &general,
            types: TensorTypes::ByWeight(&types),
            transfer: Transfer::Nearest,
        };
        let refused = |error| gguf_failure(&self.request.out, &error);
        self.require_space(export.n_weight_bytes().map_err(refused)?)?;
        let mut weights = weights_of_artifact(&self.artifact).map_err(Failure::failed)?;
        let report = export
            .write(&folder.join(GGUF_FILE), &mut weights)
            .map_err(refused)?;
        let mut types = BTreeMap::new();
        for weight in &report.weights {
            *types.entry(weight.ggml_type.to_string()).or_default() += 1;
        }
        let fidelities = report.weights.iter().map(|weight| weight.fidelity);
        Ok(Written {
            weights: FidelityCounts::count(fidelities),
            types,
        })
    }

    fn write_folder(
        &self,
        folder: &Path,
        format: quantized::ExportFormat,
        model: &HfFolder,
    ) -> Result<Written, Failure> {
        // Two bytes a weight are what 16-bit floats take, and more than codes do.
        self.require_space(2 * self.artifact.header().config.n_parameters())?;
        let refused = |error| folder_failure(&self.request.out, &error);
        let report = write_artifact_folder(folder, format, model.config(), &self.artifact)
            .map_err(refused)?;
        for name in COMPANIONS {
            match fs::copy(model.path().join(name), folder.join(name)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(disk::write_failure(&folder.join(name), &error)),
            }
        }
        Ok(Written {
            weights: FidelityCounts::count(report.iter().map(|weight| weight.fidelity)),
            types: BTreeMap::new(),
        })
    }

    fn notes(&self) -> Vec<String> {
        let specs = weight_specs(&self.artifact.header().config);
        let mut shapes = specs
            .iter()
            .filter_map(|spec| self.artifact.packed_shape(spec));
        let rounds_activations = shapes.any(|shape| match shape.format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => false,
            PackedFormat::Int8 {
                int8_activations, ..
            }
            | PackedFormat::Int4 {
                int8_activations, ..
            } => int8_activations,
        });
        let note = "the variant rounds activations to 8 bits; the exported weights do not say so, \
                    and other programs choose for themselves";
        match rounds_activations {
            true => vec![note.to_owned()],
            false => vec![],
        }
    }
}

/// Waits until every file is on disk; the bytes of all.
fn settle(folder: &Path) -> io::Result<Bytes> {
    let mut n_bytes = 0;
    for entry in fs::read_dir(folder)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        n_bytes += file.metadata()?.len();
    }
    File::open(folder)?.sync_all()?;
    Ok(Bytes(n_bytes))
}

/// A GGUF file has neither `config.json` nor the tokenizer's files.
fn no_folder(format: quantized::ExportFormat) -> Failure {
    let format = format.name();
    let message = format!(
        "cannot export as {format}: the model came from a GGUF file, which has no `config.json`"
    );
    Failure::bad_input(message).with_hint("export as `gguf`, or import the model's folder")
}

fn gguf_failure(out: &Path, error: &GgufExportError) -> Failure {
    match error {
        GgufExportError::Io { source, .. } => disk::write_failure(out, source),
        _ => hinted(format!("cannot export as GGUF: {error}"), error.hint()),
    }
}

fn folder_failure(out: &Path, error: &ExportError) -> Failure {
    match error {
        ExportError::Io { source, .. } => disk::write_failure(out, source),
        _ => hinted(format!("cannot export: {error}"), error.hint()),
    }
}

fn hinted(message: String, hint: Option<&str>) -> Failure {
    let failure = Failure::bad_input(message);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests;
