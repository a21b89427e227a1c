//! What can be wrong with a model that is to become a GGUF file.

use crate::{
    chat_template::ChatTemplateError,
    gguf::{GgmlType, GgufError},
    hf::HfError,
};
use std::path::PathBuf;

/// Why a model cannot be written as GGUF.
#[derive(Debug, thiserror::Error)]
pub enum GgufExportError {
    /// The file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The weight could not be had.
    #[error("weight `{name}`: {reason}")]
    Weight {
        /// The weight.
        name: String,
        /// Why.
        reason: String,
    },
    /// The weight has another shape than the configuration says.
    #[error("weight `{name}` has {got} values, not {d_out} × {d_in}")]
    Shape {
        /// The weight.
        name: String,
        /// Values given.
        got: usize,
        /// Output channels by the configuration.
        d_out: usize,
        /// Input channels by the configuration.
        d_in: usize,
    },
    /// Rows that do not divide into blocks.
    #[error("weight `{name}`: rows of {d_in} do not divide into blocks of {ggml_type}")]
    UnevenBlocks {
        /// The weight.
        name: String,
        /// Input channels.
        d_in: usize,
        /// The type asked for.
        ggml_type: GgmlType,
    },
    /// A type without a writer.
    #[error("{0} is not written; F32, F16, BF16, Q8_0, Q4_0, Q4_1 and Q4_K are")]
    UnsupportedType(GgmlType),
    /// A weight that is not a number, or infinite.
    #[error("weight `{name}` holds {value} in row {row}")]
    NotFinite {
        /// The weight.
        name: String,
        /// The output channel.
        row: usize,
        /// NaN, inf or -inf.
        value: f32,
    },
    /// A value that the type has no number for.
    #[error("weight `{name}` holds {value}, which is too large for {ggml_type}")]
    TooLarge {
        /// The weight.
        name: String,
        /// The value.
        value: f32,
        /// The type asked for.
        ggml_type: GgmlType,
    },
    /// A weight that would not stay what it is, where that was asked for.
    #[error("weight `{name}` cannot become {ggml_type} without changing: {reason}")]
    Inexact {
        /// The weight.
        name: String,
        /// The type asked for.
        ggml_type: GgmlType,
        /// What the type cannot say.
        reason: String,
    },
    /// A tokenizer of another model.
    #[error("the tokenizer has {n_tokens} tokens, but the embedding has {n_rows} rows")]
    Vocabulary {
        /// Tokens.
        n_tokens: usize,
        /// Rows of the embedding.
        n_rows: usize,
    },
    /// An architecture that is not exported.
    #[error(
        "architecture `{0}` is not exported to GGUF; `llama`, `mistral`, `qwen2`, `qwen3`, \
         `starcoder2` and `gpt2` are"
    )]
    Architecture(&'static str),
    /// A feature that is not exported.
    #[error("{feature}: readers of GGUF files do not know that of architecture `{architecture}`")]
    Feature {
        /// The architecture.
        architecture: &'static str,
        /// What it has.
        feature: &'static str,
    },
    /// Two metadata entries of one name.
    #[error("metadata key `{0}` is given twice")]
    DuplicateKey(String),
}

impl GgufExportError {
    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnevenBlocks { .. } => {
                Some("name a type of smaller blocks for rows that do not divide")
            }
            Self::Inexact { .. } => Some(
                "choose a type that holds the codes as they are, such as Q8_0, or allow the nearest",
            ),
            Self::TooLarge { .. } => Some("write this weight as F32"),
            Self::Architecture(_) | Self::Feature { .. } => {
                Some("export a folder in the form of Hugging Face instead")
            }
            _ => None,
        }
    }
}

/// Why a tokenizer cannot be described in GGUF metadata.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerMetadataError {
    /// The GGUF file has no tokenizer, or a damaged one.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The folder's files cannot be read.
    #[error(transparent)]
    Folder(#[from] HfError),
    /// The folder's chat template cannot be found.
    #[error(transparent)]
    ChatTemplate(#[from] ChatTemplateError),
    /// The folder describes its tokenizer in other files.
    #[error("`{}` has no `tokenizer.json`, which GGUF needs", .0.display())]
    NoTokenizerFile(PathBuf),
    /// `tokenizer.json` is no JSON.
    #[error("`tokenizer.json`: {0}")]
    Json(#[from] serde_json::Error),
    /// A part of `tokenizer.json` that is missing or of another type than it should be.
    #[error("`tokenizer.json`: `{key}` is not {expected}")]
    Malformed {
        /// Where.
        key: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A tokenizer of another family.
    #[error("tokenizer model `{0}` cannot be exported; byte-level `BPE` can")]
    Model(String),
    /// A way of cutting text into words that GGUF has no name for.
    #[error("pre-tokenizer {0} has no name in GGUF files")]
    PreTokenizer(String),
    /// A normalizer that readers of GGUF would not apply.
    #[error("normalizer `{0}` cannot be exported; none and `NFC` can")]
    Normalizer(String),
    /// A token beyond the rows of the embedding.
    #[error("token `{token}` has the id {id}, but the embedding has {n_rows} rows")]
    TokenId {
        /// The token.
        token: String,
        /// Its id.
        id: u64,
        /// Rows of the embedding.
        n_rows: usize,
    },
    /// Two tokens of one id, or one token of two.
    #[error("token `{token}` and another share an id or a text ({id})")]
    AmbiguousToken {
        /// The token.
        token: String,
        /// Its id.
        id: u64,
    },
    /// A merge that is not two parts.
    #[error("merge {idx} of `tokenizer.json` is not two parts without spaces")]
    Merge {
        /// Its place in the list.
        idx: usize,
    },
    /// A special token that the vocabulary does not have.
    #[error("`{key}` of `tokenizer_config.json` is `{token}`, which is not in the vocabulary")]
    UnknownToken {
        /// Which one.
        key: &'static str,
        /// Its text.
        token: String,
    },
}
