//! What a run is likely to show, known before it starts.

use crate::SpeedForecast;
use serde::{Deserialize, Serialize};

/// What is expected of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteForecast {
    /// Name of the suite.
    pub suite: String,
    /// Problems that would be answered.
    pub n_problems: u32,
    /// Share of them that the base solves.
    pub base_rate: f64,
    /// Share of them on which the base and a variant that is as good would differ.
    pub disagreement: f64,
    /// Seconds to answer and grade one problem, averaged over variants.
    pub seconds_per_problem: f64,
    /// Whether no run has used the suite, so that shares and time are assumptions.
    pub is_assumed: bool,
}

/// What some problems can show, and how long they take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedPower {
    /// Problems.
    pub n_problems: u32,
    /// Chance that a variant as good as the base is proven to meet the criterion.
    pub chance_to_prove: f64,
    /// Chance that a variant with the feared loss is proven to fail it.
    pub chance_to_detect: f64,
    /// Expected minutes for base and variants.
    pub minutes: f64,
}

/// A suite of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedSuite {
    /// Name of the suite.
    pub suite: String,
    /// What it can show alone.
    #[serde(flatten)]
    pub power: PlannedPower,
}

/// A plan and what would make it better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationPlan {
    /// What was expected of the chosen suites.
    pub forecasts: Vec<SuiteForecast>,
    /// Each chosen suite alone.
    pub suites: Vec<PlannedSuite>,
    /// All chosen suites together.
    pub together: PlannedPower,
    /// What to add, in this order, and what would be reached with it; empty when nothing is missing.
    pub add: Vec<PlannedSuite>,
    /// About how many problems like the chosen ones reach the target; absent when even
    /// very many would not.
    pub n_needed: Option<u32>,
    /// Chance that was aimed at.
    pub target: f64,
    /// Retention that has to be proven.
    pub min_retention: f64,
    /// Retention of the variant with the feared loss.
    pub feared_retention: f64,
    /// Variants compared with the base.
    pub n_compared: u32,
    /// How long measuring speed by context and batch takes; absent where it is not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<SpeedForecast>,
    /// The plan in words.
    pub sentence: String,
}
