//! Training of low-rank adapters on a frozen model, whatever the format of its weights.
//!
//! [`train_lora`] is the whole of it; [`Trainer`] one step after the other. With a teacher the adapter
//! learns to answer as another model does, such as the one before it was compressed.
//!
//! Source: Hu et al. 2021, <https://arxiv.org/abs/2106.09685>; on 4-bit weights: Dettmers et al. 2023,
//! <https://arxiv.org/abs/2305.14314>.

mod adamw;
mod checkpoint;
mod cross_entropy;
mod distillation;
mod error;
mod example;
mod gradient_sums;
mod identity;
mod instruction;
mod lora;
mod order;
mod schedule;
mod settings;
mod teacher;
mod trainer;

pub use adamw::AdamW;
pub use cross_entropy::cross_entropy;
pub use distillation::{Distillation, Divergence};
pub use error::TrainError;
pub use example::{Example, ExampleCounts};
pub use instruction::{Instruction, InstructionFormat, read_instructions};
pub use lora::{LoraReport, LoraTraining, new_adapter, train_lora};
pub use schedule::Decay;
pub use settings::TrainSettings;
pub use teacher::TeacherInputs;
pub use trainer::{StepReport, TrainInputs, Trainer};
