//! Tokenizers, built from the metadata of a GGUF file or from the files of a model folder.

mod bpe;
mod byte_symbols;
mod error;
mod hf_files;
mod hf_ids;
mod library_encoder;
mod merges;
mod model_check;
mod pieces;
mod pre_tokenizer;
mod spelling;
mod stream;
#[cfg(test)]
mod tests;
mod text_tokenizer;
mod vocabulary;
mod word_encoder;

pub(crate) use byte_symbols::SYMBOL_FROM_BYTE;
pub use error::TokenizerError;
pub(crate) use pre_tokenizer::{LLAMA3_WORDS, QWEN2_WORDS};
pub use stream::{ControlTokens, TokenStream};
pub use text_tokenizer::{SpecialTokens, TextTokenizer};
