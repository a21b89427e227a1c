//! Checkpoint readers and writers, tokenizers, chat templates and the model architectures.

mod artifact;
mod chat_template;
mod checkpoint;
mod config;
pub mod gguf;
pub mod llama;
mod loader;
pub mod quantized;
mod reference;
mod tensor_source;
pub mod tiny;
mod tokenizer;

pub use artifact::{
    Artifact, ArtifactError, ArtifactHeader, MakeWeight, StoredFormat, write_artifact,
};
pub use chat_template::{ChatMessage, ChatTemplate, ChatTemplateError, GenerationPrompt};
pub use checkpoint::{Checkpoint, CheckpointError, WeightRole, WeightSpec, weight_specs};
pub use config::{Architecture, ConfigError, ModelConfig};
pub use loader::load_llama;
pub use reference::logits_reference;
pub use tensor_source::{StoredType, TensorError, TensorSource, check_finite};
pub use tokenizer::{ControlTokens, SpecialTokens, TextTokenizer, TokenStream, TokenizerError};
