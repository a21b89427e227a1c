//! Scores and statistics: BLEU, CodeBLEU, pass@k, perplexity, likelihoods, intervals, paired tests,
//! power, verdicts, findings, costs and advice; and where a compression lost what.
//!
//! Everything here is computed from texts and numbers: no file, no clock, no randomness but from a
//! seed that comes in. A value that is undefined is `None` or an error, never `NaN` or 0.

mod advice;
mod bisect;
mod bleu;
mod bootstrap;
mod clopper_pearson;
mod clustered;
mod codebleu;
mod compare;
mod compile_rate;
mod corrected_claims;
mod cost;
mod edit_similarity;
mod exact_match;
mod finding_words;
mod findings;
mod flips;
mod holm;
mod keyed_hash;
mod layer_map;
mod likelihood;
mod likeness_score;
mod mcnemar;
mod ngrams;
mod normal;
mod paired_difference;
mod paired_ratio;
mod paired_values;
mod pass_at_k;
mod perplexity;
mod planner;
mod power;
mod python_text;
mod quantiles;
mod reference_likeness;
mod registry;
mod repair_score;
mod resampled_quality;
mod retention_test;
mod samples;
mod special;
mod token_difference;
mod verdict_words;
mod wilson;

pub use advice::advice;
pub use bleu::{Bleu, BleuCounts, BleuError, BleuOptions, BleuScore, Smoothing, Tokenization};
pub use bootstrap::{
    Bootstrap, BootstrapError, BootstrapMethod, UndefinedOn, bca_interval, bootstrap,
    percentile_interval,
};
pub use clopper_pearson::clopper_pearson_interval;
pub use codebleu::{
    CodeBleu, CodeBleuCounts, CodeBleuError, CodeBleuMode, CodeBleuOptions, CodeBleuScore,
    Degenerate, Language, MAX_CODE_BYTES, UnknownLanguage, is_same_program,
};
pub use compare::{ComparisonInput, PairedOutcome, compare};
pub use compile_rate::compile_rate;
pub use cost::{InvalidCost, RoutedCost, break_even, cost_per_1000_queries, routed_cost};
pub use edit_similarity::{EditSimilarity, EditSimilarityError, MAX_TEXT_BYTES};
pub use exact_match::ExactMatch;
pub use findings::{RunOutcomes, VariantOutcomes, disturbed, findings};
pub use flips::{flips, paired, paired_outcomes};
pub use holm::holm;
pub use layer_map::{layer_map, worst_modules};
pub use likelihood::{InvalidLikelihoods, TokenComparison, compare_likelihoods, compare_token};
pub use likeness_score::{likeness_quality, likeness_scores};
pub use mcnemar::{McNemar, mcnemar};
pub use normal::{normal_cdf, normal_upper_quantile};
pub use paired_difference::paired_difference;
pub use paired_ratio::{PairedCounts, paired_ratio};
pub use paired_values::{PairedValues, mean_difference, ratio_of_means, ratio_of_medians};
pub use pass_at_k::pass_at_k;
pub use perplexity::{InvalidLogProbs, perplexity};
pub use planner::{PlanError, PlanRequest, plan_evaluation};
pub use power::{
    DecisionChances, ImpossibleDesign, PairedDesign, decision_chances, problems_needed,
};
pub use quantiles::{quantiles, spread};
pub use reference_likeness::{LIKENESS_VERSION, LikenessError, reference_likeness};
pub use registry::{MetricDisabled, MetricId, SelfTest, require, self_tests};
pub use repair_score::repair_score;
pub use resampled_quality::{ResampledQuality, resampled_quality};
pub use retention_test::{ONE_SIDED_LEVEL, RetentionTest, retention_test};
pub use samples::{
    ProblemSamples, has_several_samples, problem_samples, sampled_pass_at_k, sampled_quality,
};
pub use token_difference::token_difference;
pub use wilson::wilson_interval;
