//! What can be wrong with a model folder.

use super::TorchError;
use safetensors::SafeTensorError;
use std::path::PathBuf;

/// Why a model folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HfError {
    /// A file cannot be opened, mapped or listed.
    #[error("cannot open `{}`: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A settings file larger than any real one.
    #[error("`{}` has {n_bytes} bytes; at most {limit} are read", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        n_bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A settings file that is not valid JSON, or not of the expected form.
    #[error("`{}` cannot be understood: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// A settings file that is no JSON object.
    #[error("`{}` is not a JSON object", .0.display())]
    NotAnObject(PathBuf),
    /// A text file that is not UTF-8.
    #[error("`{}` is not UTF-8", .0.display())]
    NotText(PathBuf),
    /// No weights in the folder.
    #[error(
        "there are no weights in `{}`: neither `model.safetensors` nor `pytorch_model.bin`, no \
         index of shards, and no single `*.safetensors`, `*.bin` or `*.pt`",
        .0.display()
    )]
    NoWeights(PathBuf),
    /// Several files that could be the weights.
    #[error(
        "`{}` has several weight files ({}): name the right one `model.safetensors` or \
         `pytorch_model.bin`",
        folder.display(),
        files.join(", ")
    )]
    SeveralWeights {
        /// The folder.
        folder: PathBuf,
        /// Their names.
        files: Vec<String>,
    },
    /// A weight file whose name says nothing about its format.
    #[error("`{}` is no weight file by its name: `.safetensors`, `.bin` or `.pt` is expected", .0.display())]
    UnknownFormat(PathBuf),
    /// An index that names no shard.
    #[error("`{}` names no shard", .0.display())]
    EmptyIndex(PathBuf),
    /// An index that leads out of its folder.
    #[error("`{}` names the shard `{shard}`, which is no file of its folder", index.display())]
    ShardOutside {
        /// The index.
        index: PathBuf,
        /// The name in it.
        shard: String,
    },
    /// A shard that is not there.
    #[error("the shard `{shard}` that `{}` names is missing: fetch the checkpoint again", index.display())]
    MissingShard {
        /// The index.
        index: PathBuf,
        /// The name in it.
        shard: String,
    },
    /// A tensor that is not where the index says.
    #[error("tensor `{tensor}` is not in `{shard}`, where the index says it is")]
    NotInShard {
        /// The tensor.
        tensor: String,
        /// The shard by the index.
        shard: String,
    },
    /// Two shards with a tensor of the same name.
    #[error("tensor `{tensor}` is in `{first}` and in `{second}`")]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// One shard.
        first: String,
        /// The other shard.
        second: String,
    },
    /// A damaged or unsupported weight file.
    #[error("`{}`: {source}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightFileError,
    },
}

/// Why a weight file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightFileError {
    /// The header of a safetensors file is damaged.
    #[error("not a valid safetensors file: {0}")]
    Safetensors(#[source] SafeTensorError),
    /// A PyTorch file is damaged, or holds more than tensors.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Elements that are not read.
    #[error(
        "tensor `{name}` has elements of type {element}, which are not read: convert the \
         checkpoint to BF16, F16 or F32"
    )]
    UnsupportedElement {
        /// The tensor.
        name: String,
        /// The type by the file.
        element: String,
    },
}
