//! Why an evaluation cannot go on.

use crate::texts::UnknownText;
use trimtab_domain::{Failure, FailureKind};
use trimtab_metrics::{CodeBleuError, InvalidLogProbs, LikenessError};
use trimtab_runtime::RuntimeError;
use trimtab_sandbox::SandboxError;
use trimtab_suites::NotAsked;

/// Why an evaluation cannot go on. A problem that a model fails is a result, not an error.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A problem cannot be asked in the style that was chosen.
    #[error(transparent)]
    NotAsked(#[from] NotAsked),
    /// Not one problem of a suite can be graded here.
    #[error("no problem of suite `{0}` can be graded here")]
    NothingToGrade(String),
    /// Answers cannot be compared in this language.
    #[error("there is no metric for programs in {0}")]
    NoMetric(trimtab_sandbox::Language),
    /// A metric does not compute what it should.
    #[error(transparent)]
    Metric(#[from] LikenessError),
    /// The bundled text does not exist.
    #[error(transparent)]
    Text(#[from] UnknownText),
    /// Programs cannot be run in isolation here.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The variant cannot be loaded or run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The likelihoods are no likelihoods.
    #[error(transparent)]
    LogProbs(#[from] InvalidLogProbs),
    /// There is no room for a prompt and an answer.
    #[error("a context of {0} tokens has no room for a prompt and an answer")]
    ShortContext(usize),
    /// The system does not tell how much memory is used.
    #[error("the system does not report this process's peak memory")]
    PeakMemory,
}

impl From<CodeBleuError> for EvalError {
    fn from(error: CodeBleuError) -> Self {
        Self::Metric(error.into())
    }
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::NotAsked(inner) => {
                Self::bad_input(inner).with_hint("ask in the style `chat`")
            }
            EvalError::NothingToGrade(_) => Self::bad_input(&error)
                .with_hint("`trimtab doctor` says which languages can be graded here"),
            EvalError::NoMetric(_) => Self::bad_input(&error).with_hint("give the problem tests"),
            EvalError::Metric(inner) => Self::failed(inner).with_hint(
                "this build computes other numbers: build it again from a clean checkout",
            ),
            EvalError::Text(inner) => Self::bad_input(inner),
            EvalError::Sandbox(inner) => {
                let failure = Self::failed(&inner);
                match inner.hint() {
                    Some(hint) => failure.with_hint(hint),
                    None => failure,
                }
            }
            EvalError::Runtime(inner) => inner.into(),
            EvalError::LogProbs(inner) => Self::new(FailureKind::Failed, inner),
            EvalError::ShortContext(_) => Self::bad_input(error),
            EvalError::PeakMemory => Self::failed(error).with_hint("mount /proc, or run on Linux"),
        }
    }
}
