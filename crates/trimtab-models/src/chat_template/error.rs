//! What can be wrong with a chat template.

use super::template::MAX_FUEL;
use crate::{gguf::GgufError, hf::HfError};
use minijinja::Error;

/// Why a prompt cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChatTemplateError {
    /// The metadata cannot be read, or has no template.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A named token beyond the vocabulary.
    #[error("`{key}` = {id} is not among the {n_tokens} tokens")]
    IdOutOfRange {
        /// The metadata key.
        key: &'static str,
        /// Its value.
        id: u32,
        /// Tokens.
        n_tokens: usize,
    },
    /// A file of the model folder cannot be read.
    #[error(transparent)]
    Folder(#[from] HfError),
    /// Several templates, none of which is the usual one.
    #[error("the model has several chat templates and none is `default`: {}", .0.join(", "))]
    SeveralTemplates(Vec<String>),
    /// A setting of another form than the convention says.
    #[error("`{key}` of the model folder is not {expected}")]
    Malformed {
        /// The setting.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The template is not valid Jinja.
    #[error("the chat template of the model cannot be compiled: {0}")]
    Compile(#[source] Error),
    /// The template called `raise_exception`.
    #[error("the chat template of the model refuses these messages: {0}")]
    Refused(String),
    /// The template used up its budget.
    #[error("the chat template of the model takes more than {MAX_FUEL} steps")]
    TooExpensive,
    /// The template failed in another way.
    #[error("the chat template of the model fails: {0}")]
    Render(#[source] Error),
}
