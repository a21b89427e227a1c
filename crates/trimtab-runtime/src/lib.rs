//! Generation: prefill and decode loops, sampling, stop rules, timing and memory accounting.
//!
//! [`Engine`] holds one loaded variant. Work runs inside the thread pool, since entering it anew
//! for every product costs more than a small product itself.

mod engine;
mod error;
mod generate;
mod memory;
mod sampling;
mod score;
mod speed;
mod stop;

pub use engine::{Engine, MAX_LEN, n_threads};
pub use error::RuntimeError;
pub use generate::{Generation, GenerationRequest, Timing};
pub use memory::peak_memory;
pub use sampling::{Sampler, Sampling};
pub use score::TokenScores;
pub use speed::{SpeedRepeats, SpeedTest};
pub use stop::StopStrings;
