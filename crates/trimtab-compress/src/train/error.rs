//! Why a model cannot be trained.

use std::path::PathBuf;
use trimtab_domain::{Failure, FailureKind};
use trimtab_models::{ArtifactError, ChatTemplateError, TokenizerError, peft::AdapterError};

/// Why a model cannot be trained, or why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting that makes no sense.
    #[error("{name} = {value} is not {wanted}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// Gradients do not go through a part of the architecture.
    #[error("`{architecture}` cannot be trained: gradients do not go through {part}")]
    Architecture {
        /// The architecture.
        architecture: &'static str,
        /// The part.
        part: &'static str,
    },
    /// This build computes on cards, where gradients are not implemented.
    #[error("this build has kernels for cards, which have no gradients yet")]
    Build,
    /// The base model cannot be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The adapter does not fit the model, or cannot be written.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// An example cannot be turned into tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// An example cannot be put into the chat form.
    #[error(transparent)]
    Template(#[from] ChatTemplateError),
    /// The chat template changes an answer beyond recognition.
    #[error(
        "the chat template does not show an answer as it is, so it cannot be told from its prompt"
    )]
    TemplateHidesAnswer,
    /// The tokenizer has no token that ends an answer.
    #[error("the tokenizer has no token that ends an answer")]
    NoEnd,
    /// A line of a data set.
    #[error("line {line}: {reason}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot use `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Nothing to learn from.
    #[error("no example has a token to learn")]
    NothingToLearn,
    /// A token that the model does not have.
    #[error("example {example} has token {id}, and the model only {vocab_size}")]
    Token {
        /// The example, counted from 0.
        example: usize,
        /// The token.
        id: u32,
        /// Tokens of the model.
        vocab_size: usize,
    },
    /// A teacher whose scores are for other tokens.
    #[error("the teacher has {teacher} tokens, and the student {student}")]
    TeacherVocabulary {
        /// Tokens of the teacher.
        teacher: usize,
        /// Tokens of the student.
        student: usize,
    },
    /// A teacher with another tokenizer.
    #[error("the teacher's tokenizer is another one: {0}")]
    TeacherTokenizer(String),
    /// A teacher of another width, whose hidden states are not comparable.
    #[error(
        "hidden states cannot be compared: those of the teacher have {teacher} channels, those of the student {student}"
    )]
    TeacherWidth {
        /// Channels of the teacher.
        teacher: usize,
        /// Channels of the student.
        student: usize,
    },
    /// Scores are kept, and hidden states are not.
    #[error("hidden states are not stored: learn from them with the teacher at hand")]
    StoredStates,
    /// The weights that are to be trained cannot be read.
    #[error("the weights to train cannot be read: {0}")]
    Weights(String),
    /// A text that leaves nothing to train on beside what is held out.
    #[error(
        "the text gives {n_sequences} sequences of {length} tokens: at least {wanted} are needed, {held_out} of them to measure agreement on"
    )]
    TooFewSequences {
        /// Sequences that there are.
        n_sequences: usize,
        /// Tokens of each.
        length: usize,
        /// Sequences that are needed.
        wanted: usize,
        /// Sequences that are not trained on.
        held_out: usize,
    },
    /// The checkpoint is damaged.
    #[error("the checkpoint `{}` is damaged: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint belongs to another training.
    #[error("the checkpoint `{}` was made with another {what}", .path.display())]
    OtherTraining {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The loss or a gradient left the numbers.
    #[error("the {what} of step {step} is not a number; {}", kept(*.last_checkpoint))]
    NotANumber {
        /// Loss or gradient.
        what: &'static str,
        /// The step, counted from 1.
        step: u64,
        /// The step after which the last checkpoint was written.
        last_checkpoint: Option<u64>,
    },
}

fn kept(last_checkpoint: Option<u64>) -> String {
    match last_checkpoint {
        Some(step) => format!("the checkpoint after step {step} is kept"),
        None => "no checkpoint was written before".to_owned(),
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let kind = match &error {
            TrainError::Io { .. } | TrainError::Artifact(_) | TrainError::NotANumber { .. } => {
                FailureKind::Failed
            }
            _ => FailureKind::BadInput,
        };
        let hint = match &error {
            TrainError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some space in the data folder and resume")
            }
            TrainError::NotANumber { .. } => {
                Some("a smaller learning rate or a longer warm-up often helps")
            }
            TrainError::Adapter(AdapterError::TargetMatchesNothing { .. }) => {
                Some("name layers by the ends of their names")
            }
            TrainError::Adapter(error) => error.hint(),
            TrainError::OtherTraining { .. } | TrainError::Checkpoint { .. } => {
                Some("remove the checkpoint to begin anew")
            }
            TrainError::TeacherTokenizer(_) | TrainError::TeacherVocabulary { .. } => {
                Some("a teacher has the student's tokenizer: choose a model of the same family")
            }
            TrainError::TooFewSequences { .. } => {
                Some("give a longer text, or a smaller `sequence_length`")
            }
            TrainError::Line { .. } => Some(
                "each line is one JSON object with two texts, such as {\"prompt\": \"2 + 2?\", \
                 \"completion\": \"4\"}",
            ),
            TrainError::TemplateHidesAnswer => Some("train on raw prompts instead"),
            TrainError::Build => Some("use a build without the feature `cuda`"),
            _ => None,
        };
        let failure = Self::new(kind, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
