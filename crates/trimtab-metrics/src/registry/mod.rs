//! The metrics with their versions, signatures and self-tests.
//!
//! A metric scores only after its self-test has passed in this process; it runs once, at the first
//! use or when all are asked for. So a build that computes something else says so instead of
//! printing wrong numbers.

#[expect(clippy::unreadable_literal, reason = "written by a script")]
mod known;
mod self_tests;

use crate::{Bleu, BleuOptions, CodeBleu, CodeBleuOptions, EditSimilarity, ExactMatch, Language};
use std::sync::OnceLock;
use thiserror::Error;

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricId {
    /// BLEU.
    Bleu,
    /// CodeBLEU of one language.
    CodeBleu(Language),
    /// Exact match.
    ExactMatch,
    /// Edit similarity.
    EditSimilarity,
    /// pass@k.
    PassAtK,
    /// Compile rate.
    CompileRate,
}

/// Metrics that are there once.
const SINGLE: [MetricId; 5] = [
    MetricId::Bleu,
    MetricId::ExactMatch,
    MetricId::EditSimilarity,
    MetricId::PassAtK,
    MetricId::CompileRate,
];

const N_METRICS: usize = SINGLE.len() + Language::ALL.len();

impl MetricId {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let languages = Language::ALL.into_iter().map(Self::CodeBleu);
        SINGLE.into_iter().chain(languages)
    }

    /// The name, as in `codebleu.java`.
    pub fn name(self) -> String {
        match self {
            Self::Bleu => "bleu".to_owned(),
            Self::CodeBleu(language) => format!("codebleu.{language}"),
            Self::ExactMatch => "exact-match".to_owned(),
            Self::EditSimilarity => "edit-similarity".to_owned(),
            Self::PassAtK => "pass-at-k".to_owned(),
            Self::CompileRate => "compile-rate".to_owned(),
        }
    }

    /// Counts up when the same texts get another number.
    pub const fn version(self) -> u32 {
        match self {
            Self::Bleu
            | Self::CodeBleu(_)
            | Self::ExactMatch
            | Self::EditSimilarity
            | Self::PassAtK
            | Self::CompileRate => 1,
        }
    }

    /// The signature with default options and one reference.
    ///
    /// # Errors
    ///
    /// Why the metric cannot be made.
    pub fn signature(self) -> Result<String, String> {
        let version = self.version();
        Ok(match self {
            Self::Bleu => Bleu::untested(BleuOptions::default())
                .map_err(|error| error.to_string())?
                .signature(Some(1)),
            Self::CodeBleu(language) => CodeBleu::untested(language, CodeBleuOptions::default())
                .map_err(|error| error.to_string())?
                .signature(Some(1)),
            Self::ExactMatch => ExactMatch::untested().signature(),
            Self::EditSimilarity => EditSimilarity::untested().signature(),
            Self::PassAtK => format!("pass-at-k|estimator:unbiased|version:{version}"),
            Self::CompileRate => format!("compile-rate|interval:wilson-95|version:{version}"),
        })
    }

    fn place(self) -> usize {
        let mut all = Self::all();
        all.position(|id| id == self)
            .expect("`all` has every metric")
    }
}

/// A metric whose self-test failed: it must not score.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the metric `{metric}` is disabled, because its self-test failed: {reason}")]
pub struct MetricDisabled {
    /// Its name.
    pub metric: String,
    /// What its self-test said.
    pub reason: String,
}

/// A metric and how its self-test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// The metric.
    pub metric: MetricId,
    /// Its signature with default options, or why there is none.
    pub signature: Result<String, String>,
    /// Nothing, or what failed.
    pub outcome: Result<(), MetricDisabled>,
}

type Outcome = Result<(), String>;

static OUTCOMES: [OnceLock<Outcome>; N_METRICS] = [const { OnceLock::new() }; N_METRICS];

/// Runs the self-test of a metric, once for each process.
///
/// # Errors
///
/// [`MetricDisabled`] if it failed.
pub fn require(metric: MetricId) -> Result<(), MetricDisabled> {
    let place = &OUTCOMES[metric.place()];
    outcome(place, metric, || self_tests::run(metric))
}

/// The self-tests of all metrics.
pub fn self_tests() -> Vec<SelfTest> {
    MetricId::all()
        .map(|metric| SelfTest {
            metric,
            signature: metric.signature(),
            outcome: require(metric),
        })
        .collect()
}

fn outcome(
    place: &OnceLock<Outcome>,
    metric: MetricId,
    test: impl FnOnce() -> Outcome,
) -> Result<(), MetricDisabled> {
    place
        .get_or_init(test)
        .clone()
        .map_err(|reason| MetricDisabled {
            metric: metric.name(),
            reason,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, collections::HashSet};

    #[test]
    fn every_metric_passes_its_self_test_and_has_a_signature_of_its_own() {
        let tests = self_tests();
        assert_eq!(tests.len(), N_METRICS);
        let mut signatures = HashSet::new();
        for test in tests {
            assert_eq!(test.outcome, Ok(()));
            let signature = test.signature.unwrap();
            let version = format!("version:{}", test.metric.version());
            assert!(signature.contains(&version), "{signature}");
            assert!(signatures.insert(signature));
        }
    }

    #[test]
    fn a_failing_self_test_disables_its_metric_by_name_and_runs_once() {
        let place = OnceLock::new();
        let n_runs = Cell::new(0);
        let failing = || {
            n_runs.set(n_runs.get() + 1);
            Err("0.5 instead of 1".to_owned())
        };
        for _ in 0..2 {
            let disabled = outcome(&place, MetricId::CodeBleu(Language::Go), failing).unwrap_err();
            assert_eq!(
                disabled.to_string(),
                "the metric `codebleu.go` is disabled, because its self-test failed: 0.5 instead of 1"
            );
        }
        assert_eq!(n_runs.get(), 1);
    }
}
