//! All tensors of a checkpoint, whichever of its files they lie in.

use super::{
    HfError, RawTensor, WeightFileError, bytes::Bytes, safetensors_header, shard_index::ShardIndex,
    stored_tensor::StoredTensor, torch,
};
use crate::tensor_source::{StoredType, TensorError, TensorSource, check_finite};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// How a weight file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    /// A table in JSON, then the elements.
    Safetensors,
    /// A zip archive of a pickle and of the elements.
    Torch,
}

/// The weight files of one checkpoint, mapped into memory.
#[derive(Debug)]
pub struct WeightFiles {
    files: Vec<Bytes>,
    /// File and place of every tensor.
    tensors: BTreeMap<String, (usize, StoredTensor)>,
}

/// Names that are tried first, in this order, and how the file is written.
const FILE_NAMES: [(&str, WeightFormat); 2] = [
    ("model.safetensors", WeightFormat::Safetensors),
    ("pytorch_model.bin", WeightFormat::Torch),
];

/// What trainers leave beside the weights under the same endings.
const NOT_WEIGHTS: [&str; 6] = [
    "training_args.bin",
    "optimizer.bin",
    "optimizer.pt",
    "scheduler.bin",
    "scheduler.pt",
    "scaler.pt",
];

impl WeightFiles {
    /// The weights of a model folder: `model.safetensors`, its index of shards, the same for
    /// `pytorch_model.bin`, or else the only weight file.
    ///
    /// # Errors
    ///
    /// No or several candidates, an index that contradicts its shards, a damaged file.
    pub fn from_folder(folder: &Path) -> Result<Self, HfError> {
        for (name, format) in FILE_NAMES {
            let path = folder.join(name);
            if path.is_file() {
                return Self::from_files(&[(name, path)], format);
            }
            let index_path = folder.join(format!("{name}.index.json"));
            if let Some(index) = ShardIndex::open(&index_path)? {
                return Self::from_index(folder, &index_path, &index, format);
            }
        }
        let mut candidates = candidates(folder)?;
        match candidates.len() {
            0 => Err(HfError::NoWeights(folder.to_owned())),
            1 => Self::from_file(&folder.join(candidates.remove(0))),
            _ => Err(HfError::SeveralWeights {
                folder: folder.to_owned(),
                files: candidates,
            }),
        }
    }

    /// The weights in one file, whose format its ending says.
    ///
    /// # Errors
    ///
    /// Another ending, or a damaged file.
    pub fn from_file(path: &Path) -> Result<Self, HfError> {
        match WeightFormat::of(path) {
            Some(format) => Self::from_files(&[("", path.to_owned())], format),
            None => Err(HfError::UnknownFormat(path.to_owned())),
        }
    }

    /// Weights that are already in memory.
    ///
    /// # Errors
    ///
    /// Damaged bytes.
    pub fn from_bytes(bytes: Vec<u8>, format: WeightFormat) -> Result<Self, WeightFileError> {
        let tensors = format.tensors(&bytes)?.into_iter();
        Ok(Self {
            tensors: tensors.map(|(name, tensor)| (name, (0, tensor))).collect(),
            files: vec![Bytes::Owned(bytes)],
        })
    }

    fn from_index(
        folder: &Path,
        index_path: &Path,
        index: &ShardIndex,
        format: WeightFormat,
    ) -> Result<Self, HfError> {
        let mut shards = Vec::new();
        for shard in index.shards() {
            let path = folder.join(shard);
            if !path.is_file() {
                let (index, shard) = (index_path.to_owned(), shard.to_owned());
                return Err(HfError::MissingShard { index, shard });
            }
            shards.push((shard, path));
        }
        let weights = Self::from_files(&shards, format)?;
        for (tensor, shard) in index.tensors() {
            let found = weights.tensors.get(tensor).map(|(idx, _)| shards[*idx].0);
            if found != Some(shard) {
                let (tensor, shard) = (tensor.to_owned(), shard.to_owned());
                return Err(HfError::NotInShard { tensor, shard });
            }
        }
        Ok(weights)
    }

    /// Tensors that an index does not list count too, as long as no two have the same name.
    fn from_files(shards: &[(&str, PathBuf)], format: WeightFormat) -> Result<Self, HfError> {
        let mut files = Vec::with_capacity(shards.len());
        let mut tensors: BTreeMap<String, (usize, StoredTensor)> = BTreeMap::new();
        for (file_idx, (shard, path)) in shards.iter().enumerate() {
            let opened = Bytes::open(path).map_err(|source| HfError::Open {
                path: path.clone(),
                source,
            })?;
            let found = format.tensors(opened.as_slice());
            let found = found.map_err(|source| HfError::WeightFile {
                path: path.clone(),
                source,
            })?;
            for (tensor, stored) in found {
                if let Some((first_idx, _)) = tensors.get(&tensor) {
                    return Err(HfError::DuplicateTensor {
                        tensor,
                        first: shards[*first_idx].0.to_owned(),
                        second: (*shard).to_owned(),
                    });
                }
                tensors.insert(tensor, (file_idx, stored));
            }
            files.push(opened);
        }
        Ok(Self { files, tensors })
    }

    /// A tensor as it is stored, for formats that pack their own codes.
    ///
    /// # Errors
    ///
    /// An unknown name.
    pub fn raw(&self, name: &str) -> Result<RawTensor<'_>, TensorError> {
        match self.tensors.get(name) {
            Some((file_idx, tensor)) => Ok(tensor.raw(self.files[*file_idx].as_slice())),
            None => Err(TensorError::Missing(name.to_owned())),
        }
    }
}

impl WeightFormat {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "safetensors" => Some(Self::Safetensors),
            "bin" | "pt" => Some(Self::Torch),
            _ => None,
        }
    }

    fn tensors(self, file: &[u8]) -> Result<BTreeMap<String, StoredTensor>, WeightFileError> {
        match self {
            Self::Safetensors => safetensors_header::tensors(file),
            Self::Torch => Ok(torch::tensors(file)?),
        }
    }
}

/// Names of the files that could be the weights, sorted.
fn candidates(folder: &Path) -> Result<Vec<String>, HfError> {
    let failed = |source| HfError::Open {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let is_weights = WeightFormat::of(&path).is_some() && !NOT_WEIGHTS.contains(&name);
        if is_weights && path.is_file() {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

impl TensorSource for WeightFiles {
    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors
            .get(name)
            .map(|(_, tensor)| tensor.shape.clone())
    }

    fn stored_type(&self, name: &str) -> Option<StoredType> {
        let (_, tensor) = self.tensors.get(name)?;
        Some(tensor.element.stored_type())
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, TensorError> {
        let raw = self.raw(name)?;
        let floats = raw.element.floats(&raw.bytes);
        let floats = floats.ok_or_else(|| wrong_type(name, &raw, "floats"))?;
        check_finite(name, &floats)?;
        Ok(floats)
    }

    fn integers(&self, name: &str) -> Result<Vec<i32>, TensorError> {
        let raw = self.raw(name)?;
        let integers = raw.element.integers(&raw.bytes);
        let integers = integers.ok_or_else(|| wrong_type(name, &raw, "integers"))?;
        integers.map_err(|reason| TensorError::Damaged {
            name: name.to_owned(),
            reason,
        })
    }
}

fn wrong_type(name: &str, raw: &RawTensor<'_>, wanted: &'static str) -> TensorError {
    TensorError::Type {
        name: name.to_owned(),
        found: raw.element.to_string(),
        wanted,
    }
}
