//! Exact match: whether an answer is a reference, but for white space around it.
//!
//! Source: Lu et al. 2021, CodeXGLUE, <https://arxiv.org/abs/2102.04664>, the evaluator of code
//! translation.

use crate::{
    python_text::strip,
    registry::{self, MetricDisabled, MetricId},
};

/// Exact match, after its self-test.
#[derive(Clone, Copy, Debug)]
pub struct ExactMatch(());

impl ExactMatch {
    /// # Errors
    ///
    /// [`MetricDisabled`] if the self-test failed.
    pub fn new() -> Result<Self, MetricDisabled> {
        registry::require(MetricId::ExactMatch)?;
        Ok(Self::untested())
    }

    /// For the self-test itself.
    pub(crate) const fn untested() -> Self {
        Self(())
    }

    /// Whether the hypothesis equals one of the references; `None` without a reference.
    pub fn of(self, hypothesis: &str, references: &[&str]) -> Option<bool> {
        if references.is_empty() {
            return None;
        }
        let hypothesis = strip(hypothesis);
        Some(references.iter().any(|text| strip(text) == hypothesis))
    }

    /// All that changes the number, in one line.
    pub fn signature(self) -> String {
        format!(
            "exact-match|strip:yes|version:{}",
            MetricId::ExactMatch.version()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_does_not_count_and_within_does() {
        let exact = ExactMatch::untested();
        assert_eq!(exact.of(" a b\n", &["c", "a b"]), Some(true));
        assert_eq!(exact.of("a  b", &["a b"]), Some(false));
        assert_eq!(exact.of("a", &[]), None);
    }
}
