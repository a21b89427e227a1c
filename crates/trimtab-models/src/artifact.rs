//! The file of a variant: packed weights in safetensors, with everything needed to run them but the
//! tokenizer, which stays in the model file.
//!
//! Packed weights are U8 tensors `[n_bytes]` in the layout of [`PackedShape`], vectors are F32.
//! `__metadata__["trimtab"]` holds an [`ArtifactHeader`] as JSON.

use crate::{Architecture, ModelConfig, StoredFormat, WeightRole, WeightSpec, weight_specs};
use memmap2::{Mmap, UncheckedAdvice};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::View};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};
use trimtab_domain::Recipe;
use trimtab_kernels::{PackedShape, PackedView};

const METADATA_KEY: &str = "trimtab";

/// What an artifact says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactHeader {
    /// Version of this format; readers refuse what is newer.
    pub format_version: u32,
    /// Sizes and constants.
    pub config: ModelConfig,
    /// How the weights were made.
    pub recipe: Recipe,
    /// Number format of every packed weight, by name.
    pub formats: BTreeMap<String, StoredFormat>,
}

impl ArtifactHeader {
    /// The version that this code writes. Version 1 knew Llama and Qwen2 only and said nothing of
    /// biases, which Qwen2 has; version 2 knew neither calibrated recipes nor bfloat16 nor codes of
    /// 2 and 3 bits; version 3 knew neither recipes with steps that make another model, nor the steps
    /// `awq` and `choose_bits`, nor sparse floats.
    pub const FORMAT_VERSION: u32 = 4;
}

/// Why an artifact cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file cannot be opened, read or written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not safetensors, or damaged.
    #[error("`{}` is not a readable artifact: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file was written by a newer version.
    #[error("`{}` has format version {found}; this version reads up to {}", path.display(), ArtifactHeader::FORMAT_VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Making a weight failed while the file was written.
    #[error("weight `{name}`: {reason}")]
    Weight {
        /// The weight.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Makes the bytes of one weight: stored in the format the header names, or f32 for a vector.
pub type MakeWeight<'a> = dyn FnMut(&WeightSpec) -> Result<Vec<u8>, String> + 'a;

/// Writes an artifact, one weight in memory at a time, and waits until it is on disk.
///
/// # Errors
///
/// [`ArtifactError::Io`] where the disk refuses, [`ArtifactError::Weight`] where `make` does.
pub fn write_artifact(
    path: &Path,
    header: &ArtifactHeader,
    make: &mut MakeWeight<'_>,
) -> Result<(), ArtifactError> {
    let shared = RefCell::new(Making {
        make,
        failure: None,
    });
    let views = weight_specs(&header.config).into_iter().map(|spec| {
        let stored = header.formats.get(&spec.name);
        let readable =
            stored.and_then(|stored| Some((stored, stored.shape(spec.d_out, spec.d_in)?)));
        let (dtype, shape) = match readable {
            Some((stored, packed)) => (Dtype::U8, vec![stored.n_bytes(&packed)]),
            None => (Dtype::F32, vec![spec.d_in]),
        };
        (
            spec.name.clone(),
            LazyWeight {
                spec,
                dtype,
                shape,
                shared: &shared,
            },
        )
    });
    let json = serde_json::to_string(header).expect("a header is plain data");
    // One entry only: those of a map come in any order, and the same variant has the same bytes.
    let info = HashMap::from([(METADATA_KEY.to_owned(), json)]);
    let written = safetensors::serialize_to_file(views, Some(info), path);
    if let Some(failure) = shared.into_inner().failure {
        return Err(failure);
    }
    written.map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => ArtifactError::Io {
            path: path.to_owned(),
            source,
        },
        other => ArtifactError::Format {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    })?;
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| ArtifactError::Io {
        path: path.to_owned(),
        source,
    })
}

struct Making<'a, 'b> {
    make: &'a mut MakeWeight<'b>,
    failure: Option<ArtifactError>,
}

/// A weight that is made when the writer asks for its bytes.
struct LazyWeight<'a, 'b, 'c> {
    spec: WeightSpec,
    dtype: Dtype,
    shape: Vec<usize>,
    shared: &'c RefCell<Making<'a, 'b>>,
}

impl View for LazyWeight<'_, '_, '_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut making = self.shared.borrow_mut();
        // The writer has no way to stop; after a failure the rest is blank and the file is refused.
        let blank = || Cow::from(vec![0; self.data_len()]);
        if making.failure.is_some() {
            return blank();
        }
        let reason = match (making.make)(&self.spec) {
            Ok(bytes) if bytes.len() == self.data_len() => return Cow::from(bytes),
            Ok(bytes) => format!("{} bytes were made, not {}", bytes.len(), self.data_len()),
            Err(reason) => reason,
        };
        making.failure = Some(ArtifactError::Weight {
            name: self.spec.name.clone(),
            reason,
        });
        blank()
    }

    fn data_len(&self) -> usize {
        let width = if self.dtype == Dtype::F32 { 4 } else { 1 };
        width * self.shape[0]
    }
}

/// An open artifact, mapped into memory; header and tensor table are checked.
#[derive(Debug)]
pub struct Artifact {
    path: PathBuf,
    map: Mmap,
    header: ArtifactHeader,
}

impl Artifact {
    /// Opens an artifact and checks that every weight is there with the right length.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let io = |source| ArtifactError::Io {
            path: path.to_owned(),
            source,
        };
        let format = |reason: String| ArtifactError::Format {
            path: path.to_owned(),
            reason,
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: artifacts are written once under a temporary name and never changed in place.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let (_, metadata) =
            SafeTensors::read_metadata(&map).map_err(|error| format(error.to_string()))?;
        let json = metadata
            .metadata()
            .as_ref()
            .and_then(|info| info.get(METADATA_KEY))
            .ok_or_else(|| format("it carries no `trimtab` metadata".to_owned()))?;
        let version: FormatVersion =
            serde_json::from_str(json).map_err(|error| format(error.to_string()))?;
        if version.format_version > ArtifactHeader::FORMAT_VERSION {
            let found = version.format_version;
            return Err(ArtifactError::Version {
                path: path.to_owned(),
                found,
            });
        }
        let mut header: ArtifactHeader =
            serde_json::from_str(json).map_err(|error| format(error.to_string()))?;
        if header.format_version == 1 && header.config.architecture == Architecture::Qwen2 {
            header.config.biases.qkv = true;
        }
        let artifact = Self {
            path: path.to_owned(),
            map,
            header,
        };
        let tensors = artifact.tensors()?;
        for spec in weight_specs(&artifact.header.config) {
            artifact.stored_in(&tensors, &spec)?;
        }
        Ok(artifact)
    }

    /// What the artifact says of itself.
    pub fn header(&self) -> &ArtifactHeader {
        &self.header
    }

    /// The number format that kernels read a weight in; `None` for vectors.
    pub fn packed_shape(&self, spec: &WeightSpec) -> Option<PackedShape> {
        let stored = self.header.formats.get(&spec.name)?;
        stored.shape(spec.d_out, spec.d_in)
    }

    /// Whether a file looks like an artifact and not like a model file: safetensors, whose eight
    /// bytes of length are followed by a JSON object.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Io`] where the file cannot be read.
    pub fn is_artifact(path: &Path) -> Result<bool, ArtifactError> {
        if path.is_dir() {
            return Ok(false);
        }
        let mut start = [0; 9];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        match read {
            Ok(()) => Ok(start[8] == b'{' && !start.starts_with(b"GGUF")),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(source) => Err(ArtifactError::Io {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// A weight as floats.
    ///
    /// # Shapes
    ///
    /// - result: `[d_out, d_in]`, row-major
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Format`] where the file is damaged.
    pub fn read(&self, spec: &WeightSpec) -> Result<Vec<f32>, ArtifactError> {
        let tensors = self.tensors()?;
        let bytes = self.weight_in(&tensors, spec)?;
        let Some(shape) = self.packed_shape(spec) else {
            let values = bytes.as_chunks::<4>().0.iter();
            return Ok(values.map(|bytes| f32::from_le_bytes(*bytes)).collect());
        };
        let packed = PackedView::new(shape, &bytes);
        let packed = packed.map_err(|error| self.damaged(error.to_string()))?;
        let mut values = vec![0.0; shape.d_out * shape.d_in];
        values
            .par_chunks_exact_mut(shape.d_in)
            .enumerate()
            .for_each(|(row_idx, row)| packed.dequantize_row_reference(row_idx, row));
        Ok(values)
    }

    /// Bytes of all weights in memory.
    pub fn n_weight_bytes(&self) -> u64 {
        let bytes = |spec: &WeightSpec| match self.packed_shape(spec) {
            Some(shape) => shape.n_bytes(),
            None => 4 * spec.d_in,
        };
        weight_specs(&self.header.config)
            .iter()
            .map(|spec| bytes(spec) as u64)
            .sum()
    }

    /// Tells the system that what is mapped is not needed any more, so that loading a weight does
    /// not keep it in memory twice. All of the file, since with a page that is read its neighbours
    /// come too, those of weights that were read before among them.
    pub(crate) fn release(&self) {
        // SAFETY: the mapping is read-only and backed by the file: pages come back when read again.
        // A refusal costs memory only, so it is not looked at.
        unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) }.ok();
    }

    /// The tensor table.
    pub(crate) fn tensors(&self) -> Result<SafeTensors<'_>, ArtifactError> {
        SafeTensors::deserialize(&self.map).map_err(|error| self.damaged(error.to_string()))
    }

    /// The bytes of a weight as kernels read them.
    pub(crate) fn weight_in<'a>(
        &self,
        tensors: &SafeTensors<'a>,
        spec: &WeightSpec,
    ) -> Result<Cow<'a, [u8]>, ArtifactError> {
        let bytes = self.stored_in(tensors, spec)?;
        let stored = self.header.formats.get(&spec.name);
        let widened = match stored.zip(self.packed_shape(spec)) {
            Some((stored, shape)) => stored
                .widened(&shape, bytes)
                .map_err(|error| self.damaged(format!("weight `{}`: {error}", spec.name)))?,
            None => None,
        };
        Ok(match widened {
            Some(widened) => {
                self.release();
                Cow::Owned(widened)
            }
            None => Cow::Borrowed(bytes),
        })
    }

    /// The bytes of a weight as they are stored.
    fn stored_in<'a>(
        &self,
        tensors: &SafeTensors<'a>,
        spec: &WeightSpec,
    ) -> Result<&'a [u8], ArtifactError> {
        let view = tensors
            .tensor(&spec.name)
            .map_err(|error| self.damaged(error.to_string()))?;
        let stored = self.header.formats.get(&spec.name);
        let expected = match (spec.role, stored.zip(self.packed_shape(spec))) {
            (WeightRole::Vector, _) => 4 * spec.d_in,
            (_, Some((stored, shape))) => stored.n_bytes(&shape),
            (_, None) => {
                return Err(self.damaged(format!("weight `{}` has no known format", spec.name)));
            }
        };
        let bytes = view.data();
        if bytes.len() != expected {
            return Err(self.damaged(format!(
                "weight `{}` has {} bytes, not {expected}",
                spec.name,
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    fn damaged(&self, reason: String) -> ArtifactError {
        ArtifactError::Format {
            path: self.path.clone(),
            reason,
        }
    }
}

#[derive(Deserialize)]
struct FormatVersion {
    format_version: u32,
}
