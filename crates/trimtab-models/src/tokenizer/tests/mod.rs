//! Tokenizers from GGUF metadata and from model folders, good ones and hostile ones.

mod gguf;
mod golden;
mod hf;
