//! Training: of low-rank adapters on a frozen model, whatever the format of its weights, and of the
//! weights themselves.
//!
//! [`train_lora`] and [`distil`] are the whole of it; [`Trainer`] one step after the other. With a
//! teacher a model learns to answer as another one does, such as itself before it was compressed;
//! [`agreement()`] says how far it does.
//!
//! Source: Hu et al. 2021, <https://arxiv.org/abs/2106.09685>; on 4-bit weights: Dettmers et al. 2023,
//! <https://arxiv.org/abs/2305.14314>.

mod adamw;
mod agreement;
mod checkpoint;
mod cross_entropy;
mod distil;
mod distillation;
mod error;
mod example;
mod hidden_loss;
mod identity;
mod instruction;
mod lessons;
mod lora;
mod order;
mod parameters;
mod pass;
mod recorded;
mod same_tokenizer;
mod schedule;
mod settings;
mod source;
mod teacher;
mod top_tokens;
mod trainer;

pub use adamw::AdamW;
pub use agreement::agreement;
pub use cross_entropy::cross_entropy;
pub use distil::{DistilEvent, DistilPlan, Distilled, check_sequences, distil};
pub use distillation::{Distillation, Divergence};
pub use error::TrainError;
pub use example::{Example, ExampleCounts};
pub use hidden_loss::HiddenLoss;
pub use instruction::{Instruction, InstructionFormat, read_instructions};
pub use lora::{LoraReport, LoraTraining, new_adapter, train_lora};
pub use same_tokenizer::check_same_tokenizer;
pub use schedule::Decay;
pub use settings::TrainSettings;
pub use source::{FloatModel, ModelSource};
pub use teacher::{StoredLessons, TeacherInputs};
pub use trainer::{StepReport, TrainInputs, Trainer, WeightInputs};
