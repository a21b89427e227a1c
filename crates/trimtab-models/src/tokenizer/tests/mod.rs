//! Tokenizers from GGUF metadata and from model folders, good ones and hostile ones.

mod bpe;
mod gguf;
mod golden;
mod hf;
