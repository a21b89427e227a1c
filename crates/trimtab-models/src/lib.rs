//! Checkpoint readers and writers, tokenizers, chat templates and the model architectures.

pub mod architectures;
mod artifact;
mod chat_template;
mod checkpoint;
pub mod config;
pub mod decoder;
mod float_blocks;
pub mod gguf;
pub mod gguf_export;
pub mod hf;
mod layout;
mod loader;
mod model_files;
pub mod peft;
pub mod quantized;
mod reference;
pub mod rope;
mod stored_format;
mod tensor_source;
pub mod tiny;
mod tokenizer;
mod weights;

pub use architectures::Architecture;
pub use artifact::{Artifact, ArtifactError, ArtifactHeader, MakeWeight, write_artifact};
pub use chat_template::{ChatMessage, ChatTemplate, ChatTemplateError, GenerationPrompt};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use config::{ConfigError, ModelConfig};
pub use float_blocks::{FloatBlocks, ReadWeight};
pub use layout::Layout;
pub use loader::{load_decoder, load_float_decoder};
pub use model_files::ModelFiles;
pub use reference::logits_reference;
pub use stored_format::StoredFormat;
pub use tensor_source::{StoredType, TensorError, TensorSource, check_finite};
pub use tokenizer::{ControlTokens, SpecialTokens, TextTokenizer, TokenStream, TokenizerError};
pub use weights::{Part, Place, WeightRole, WeightSpec, weight_specs};
