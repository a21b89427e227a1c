//! Graded answers and measurements: written as they land, and only once each.

use crate::database::{from_json, parsed, to_json};
use crate::{Store, StoreError};
use std::collections::HashSet;
use trimtab_domain::{
    CompletionScore, ExcludedProblem, FinishReason, ModelName, Performance, PerplexityResult,
    RunId, Timestamp, VariantName, Verdict,
};

/// Suite, problem and sample of a graded answer.
pub type DoneKey = (String, String, u32);

/// Version of the JSON in `measurement.body`; readers refuse what is newer.
const MEASUREMENT_FORMAT_VERSION: i64 = 1;

/// Speeds of a model that are looked at: those of many runs.
const MAX_SPEEDS: i64 = 200;

/// No answer takes so long: the run was stopped meanwhile.
const PAUSE_MS: i64 = 10 * 60 * 1000;

/// What a run already knows of one variant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LandedResults {
    /// Graded answers, in the order of landing.
    pub scores: Vec<CompletionScore>,
    /// Likelihood of the bundled text.
    pub perplexity: Option<PerplexityResult>,
    /// Speed and memory.
    pub performance: Option<Performance>,
    /// Problems that are left out.
    pub excluded: Vec<ExcludedProblem>,
}

impl LandedResults {
    /// Keys of the graded answers.
    pub fn done_keys(&self) -> HashSet<DoneKey> {
        self.scores
            .iter()
            .map(|score| {
                (
                    score.suite.clone(),
                    score.problem_id.clone(),
                    score.sample_idx,
                )
            })
            .collect()
    }

    /// Whether anything has landed.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty() && self.perplexity.is_none() && self.performance.is_none()
    }
}

#[derive(sqlx::FromRow)]
struct ScoreRow {
    variant: String,
    suite: String,
    problem_id: String,
    track: String,
    sample_idx: i64,
    verdict: String,
    completion: String,
    output: String,
    n_prompt_tokens: i64,
    n_output_tokens: i64,
    finish_reason: String,
    ttft_ms: f64,
    tpot_ms: Option<f64>,
    grading_ms: f64,
    detail: String,
}

impl ScoreRow {
    fn into_score(self) -> Result<CompletionScore, StoreError> {
        let bad = |reason: String| StoreError::BadRow {
            table: "completion_score",
            reason,
        };
        let verdict = Verdict::parse(&self.verdict)
            .ok_or_else(|| bad(format!("verdict `{}` is unknown", self.verdict)))?;
        let finish_reason = match self.finish_reason.as_str() {
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            other => return Err(bad(format!("finish reason `{other}` is unknown"))),
        };
        Ok(CompletionScore {
            variant: parsed("completion_score", self.variant)?,
            suite: self.suite,
            problem_id: self.problem_id,
            track: self.track,
            sample_idx: self.sample_idx as u32,
            verdict,
            completion: self.completion,
            output: self.output,
            n_prompt_tokens: self.n_prompt_tokens as u32,
            n_output_tokens: self.n_output_tokens as u32,
            finish_reason,
            ttft_ms: self.ttft_ms,
            tpot_ms: self.tpot_ms,
            grading_ms: self.grading_ms,
            detail: from_json("completion_score", &self.detail)?,
        })
    }
}

fn finish_reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

/// Reads the JSON of a measurement.
fn measured<T: serde::de::DeserializeOwned>(
    format_version: i64,
    body: &str,
) -> Result<T, StoreError> {
    if MEASUREMENT_FORMAT_VERSION < format_version {
        let reason = format!("format version {format_version} is newer than this program");
        return Err(StoreError::BadRow {
            table: "measurement",
            reason,
        });
    }
    from_json("measurement", body)
}

impl Store {
    /// Records a graded answer; returns whether it was new.
    pub async fn put_score(
        &self,
        run_id: RunId,
        score: &CompletionScore,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let variant_id = self.variant_id(&score.variant).await?;
        let outcome = sqlx::query(
            "insert into completion_score (
                 run_id, variant_id, suite, problem_id, sample_idx, track, verdict, completion,
                 output, n_prompt_tokens, n_output_tokens, finish_reason, ttft_ms, tpot_ms,
                 grading_ms, detail, created_at_ms)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             on conflict (run_id, variant_id, suite, problem_id, sample_idx) do nothing",
        )
        .bind(run_id.0)
        .bind(variant_id)
        .bind(&score.suite)
        .bind(&score.problem_id)
        .bind(score.sample_idx)
        .bind(&score.track)
        .bind(score.verdict.as_str())
        .bind(&score.completion)
        .bind(&score.output)
        .bind(score.n_prompt_tokens)
        .bind(score.n_output_tokens)
        .bind(finish_reason_name(score.finish_reason))
        .bind(score.ttft_ms)
        .bind(score.tpot_ms)
        .bind(score.grading_ms)
        .bind(to_json(&score.detail))
        .bind(at.0)
        .execute(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(outcome.rows_affected() > 0)
    }

    /// Records a perplexity; returns whether it was new.
    pub async fn put_perplexity(
        &self,
        run_id: RunId,
        variant: &VariantName,
        result: &PerplexityResult,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.put_measurement((run_id, variant), "perplexity", to_json(result), at)
            .await
    }

    /// Records speed and memory; returns whether they were new.
    pub async fn put_performance(
        &self,
        run_id: RunId,
        variant: &VariantName,
        result: &Performance,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.put_measurement((run_id, variant), "performance", to_json(result), at)
            .await
    }

    async fn put_measurement(
        &self,
        (run_id, variant): (RunId, &VariantName),
        kind: &'static str,
        body: String,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let variant_id = self.variant_id(variant).await?;
        let outcome = sqlx::query(
            "insert into measurement (run_id, variant_id, kind, format_version, body,
                                      created_at_ms)
             values (?, ?, ?, ?, ?, ?)
             on conflict (run_id, variant_id, kind) do nothing",
        )
        .bind(run_id.0)
        .bind(variant_id)
        .bind(kind)
        .bind(MEASUREMENT_FORMAT_VERSION)
        .bind(body)
        .bind(at.0)
        .execute(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(outcome.rows_affected() > 0)
    }

    pub(crate) async fn variant_id(&self, name: &VariantName) -> Result<i64, StoreError> {
        let found: Option<i64> =
            sqlx::query_scalar("select variant_id from variant where name = ?")
                .bind(name.as_str())
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| self.named(error))?;
        found.ok_or_else(|| StoreError::UnknownVariant(name.to_string()))
    }

    /// How many answers a run has graded, over all variants.
    pub async fn n_scored(&self, run_id: RunId) -> Result<u32, StoreError> {
        let n_scored: i64 =
            sqlx::query_scalar("select count(*) from completion_score where run_id = ?")
                .bind(run_id.0)
                .fetch_one(&self.pool)
                .await
                .map_err(|error| self.named(error))?;
        Ok(n_scored as u32)
    }

    /// Milliseconds in which the answers of a variant to a suite landed, and how many landed in them:
    /// the first has no beginning and does not count, and neither does what came after a pause.
    pub async fn scoring_time(
        &self,
        run_id: RunId,
        variant: &VariantName,
        suite: &str,
    ) -> Result<(i64, u32), StoreError> {
        let landed: Vec<i64> = sqlx::query_scalar(
            "select completion_score.created_at_ms
             from completion_score join variant using (variant_id)
             where run_id = ? and variant.name = ? and suite = ?
             order by completion_score.created_at_ms",
        )
        .bind(run_id.0)
        .bind(variant.as_str())
        .bind(suite)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        let gaps = landed.windows(2).map(|pair| pair[1] - pair[0]);
        let gaps = gaps.filter(|gap| *gap < PAUSE_MS);
        Ok((gaps.clone().sum(), gaps.count() as u32))
    }

    /// What has landed of one variant in a run.
    pub async fn landed_results(
        &self,
        run_id: RunId,
        variant: &VariantName,
    ) -> Result<LandedResults, StoreError> {
        let mut landed = LandedResults {
            scores: self.scores(run_id, variant).await?,
            excluded: self.excluded_problems(run_id, variant).await?,
            ..LandedResults::default()
        };
        let rows: Vec<(String, i64, String)> = sqlx::query_as(
            "select kind, format_version, body
             from measurement join variant using (variant_id)
             where run_id = ? and variant.name = ?",
        )
        .bind(run_id.0)
        .bind(variant.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        for (kind, format_version, body) in rows {
            match kind.as_str() {
                "perplexity" => landed.perplexity = Some(measured(format_version, &body)?),
                _ => landed.performance = Some(measured(format_version, &body)?),
            }
        }
        Ok(landed)
    }

    /// Speed and memory of the variants of a model as runs have measured them, newest first: a
    /// few hundred at most.
    pub async fn speeds_of_model(
        &self,
        model: &ModelName,
    ) -> Result<Vec<(RunId, VariantName, Performance)>, StoreError> {
        let rows: Vec<(i64, String, i64, String)> = sqlx::query_as(
            "select run_id, variant.name, format_version, body
             from measurement join variant using (variant_id) join model using (model_id)
             where model.name = ? and kind = 'performance'
             order by measurement_id desc limit ?",
        )
        .bind(model.as_str())
        .bind(MAX_SPEEDS)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        let speeds = rows.into_iter().map(|(run_id, variant, version, body)| {
            let variant = parsed("variant", variant)?;
            Ok((RunId(run_id), variant, measured(version, &body)?))
        });
        speeds.collect()
    }

    /// The graded answers of one variant in a run, in the order of landing.
    pub async fn scores(
        &self,
        run_id: RunId,
        variant: &VariantName,
    ) -> Result<Vec<CompletionScore>, StoreError> {
        let rows: Vec<ScoreRow> = sqlx::query_as(
            "select variant.name as variant, suite, problem_id, track, sample_idx, verdict,
                    completion, output, n_prompt_tokens, n_output_tokens, finish_reason,
                    ttft_ms, tpot_ms, grading_ms, detail
             from completion_score join variant using (variant_id)
             where run_id = ? and variant.name = ?
             order by completion_score_id",
        )
        .bind(run_id.0)
        .bind(variant.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        rows.into_iter().map(ScoreRow::into_score).collect()
    }
}
