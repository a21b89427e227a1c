//! Byte-level tokenizers, built from the metadata of a model file.

mod byte_symbols;
mod error;
mod pre_tokenizer;
mod stream;
#[cfg(test)]
mod tests;
mod text_tokenizer;
mod vocabulary;

pub use error::TokenizerError;
pub use stream::{ControlTokens, TokenStream};
pub use text_tokenizer::{SpecialTokens, TextTokenizer};
