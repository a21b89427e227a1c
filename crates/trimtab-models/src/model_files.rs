//! The files of a model as they were published: weights, tokenizer and chat template.

use crate::{
    ChatTemplate, CheckpointError, ConfigError, ModelConfig, TensorSource, TextTokenizer,
    chat_template::ChatTemplateError, gguf::GgufFile, hf::HfFolder, tokenizer::TokenizerError,
};
use std::{path::Path, sync::Arc};

/// The files of a model.
#[derive(Clone, Debug)]
pub enum ModelFiles {
    /// One GGUF file.
    Gguf(Arc<GgufFile>),
    /// A folder in the form of Hugging Face.
    Folder(Arc<HfFolder>),
}

impl ModelFiles {
    /// Opens a GGUF file, or a folder with `config.json`.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] where the file or folder is no readable model.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_dir() {
            Ok(Self::Folder(Arc::new(HfFolder::open(path)?)))
        } else {
            Ok(Self::Gguf(Arc::new(GgufFile::open(path)?)))
        }
    }

    /// Sizes and constants.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for models that cannot be run.
    pub fn config(&self) -> Result<ModelConfig, ConfigError> {
        match self {
            Self::Gguf(file) => ModelConfig::from_gguf(file),
            Self::Folder(folder) => ModelConfig::from_hf(folder.config()),
        }
    }

    /// Tensors as they are stored.
    pub(crate) fn tensors(&self) -> &dyn TensorSource {
        match self {
            Self::Gguf(file) => file.as_ref(),
            Self::Folder(folder) => folder.tensors(),
        }
    }

    /// The tokenizer.
    ///
    /// # Errors
    ///
    /// [`TokenizerError`] where there is none that can be built.
    pub fn tokenizer(&self) -> Result<TextTokenizer, TokenizerError> {
        match self {
            Self::Gguf(file) => TextTokenizer::from_gguf(file),
            Self::Folder(folder) => TextTokenizer::from_hf(folder),
        }
    }

    /// The chat template; `None` for a model without one.
    ///
    /// # Errors
    ///
    /// [`ChatTemplateError`] for one that is not valid.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, ChatTemplateError> {
        match self {
            Self::Gguf(file) if !file.metadata().contains_key(ChatTemplate::GGUF_KEY) => Ok(None),
            Self::Gguf(file) => ChatTemplate::from_gguf(file).map(Some),
            Self::Folder(folder) => ChatTemplate::from_hf(folder),
        }
    }
}
