//! Why an evaluation cannot go on.

use crate::{SuiteError, texts::UnknownText};
use trimtab_domain::{Failure, FailureKind};
use trimtab_metrics::InvalidLogProbs;
use trimtab_runtime::RuntimeError;
use trimtab_sandbox::SandboxError;

/// Why an evaluation cannot go on. A problem that a model fails is a result, not an error.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The suite does not exist or is broken.
    #[error(transparent)]
    Suite(#[from] SuiteError),
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
    /// The system does not tell how much memory is used.
    #[error("the system does not report this process's peak memory")]
    PeakMemory,
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Suite(inner) => {
                Self::bad_input(inner).with_hint("`trimtab datasets list` shows all suites")
            }
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
            EvalError::PeakMemory => Self::failed(error).with_hint("mount /proc, or run on Linux"),
        }
    }
}
