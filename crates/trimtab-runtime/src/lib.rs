//! Generation: prefill and decode loops, sampling, stop rules, timing and memory accounting.
//!
//! [`Engine`] holds one loaded variant, [`Batch`] the sequences that it answers side by side; a single
//! answer is a batch of one. Work runs inside the thread pool, since entering it anew for every
//! product costs more than a small product itself.

mod answer;
mod batch;
mod card_meter;
mod device;
mod engine;
mod error;
mod generate;
mod lease;
mod matrix;
mod memory;
#[cfg(any(feature = "cuda", test))]
mod nvml;
mod processor_time;
mod request;
mod sampling;
mod score;
mod speed;
mod stop;
#[cfg(test)]
mod testing;

pub use batch::{Batch, BatchOptions, Ended, OnText, SequenceId};
pub use card_meter::{CardCounters, CardMeter, Occupancy};
pub use device::{
    DeviceError, DeviceInfo, card_counters, cuda_devices, free_card_memory, has_cuda, open_device,
};
pub use engine::{Engine, MAX_LEN, n_threads};
pub use error::RuntimeError;
pub use lease::{DeviceLease, LeaseError};
pub use matrix::{ContextRepeats, ContextTest};
pub use memory::{keep_freed_memory, peak_memory};
pub use processor_time::{QuietWatch, processor_time};
pub use request::{Generation, GenerationRequest, Timing};
pub use sampling::{Sampler, Sampling};
pub use score::TokenScores;
pub use speed::{SpeedRepeats, SpeedTest};
pub use stop::StopStrings;
