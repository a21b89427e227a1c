//! Attention over a cache of keys and values, for the sequences of a step side by side.
//!
//! Covers grouped queries (Ainslie et al. 2023, <https://arxiv.org/abs/2305.13245>), sliding windows
//! (Jiang et al. 2023, <https://arxiv.org/abs/2310.06825>) and, with [`HeadValues::KeyPrefix`], latent
//! attention in its absorbed form (DeepSeek-AI 2024, <https://arxiv.org/abs/2405.04434>, section 2.1).
//! The new tokens' keys and values go into the cache first; then keys are visited in blocks with a
//! running softmax (Milakov and Gimelshein 2018, <https://arxiv.org/abs/1805.02867>), so that scores
//! never leave the processor's cache.

mod cache;
mod rope;
mod shape;
mod step;
mod tile;

mod reference;

#[cfg(any(test, feature = "cuda"))]
pub(crate) use cache::Part;
pub use cache::{KvFormat, KvShape, PrefixCopy, copy_prefix};
pub use reference::attention_reference;
pub use rope::RopeTable;
pub use shape::{AttentionShape, HeadValues};
pub use step::{AttentionCall, AttentionStep, Segment, cached_attention};
