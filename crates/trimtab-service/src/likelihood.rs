//! A text read by a variant and by the one that it is compared with.
//!
//! Perplexity alone hides what compression moves: here both predict the same tokens, and the
//! distance of their predictions is told.

use crate::{Service, inference::blocking};
use serde::Serialize;
use trimtab_domain::{Failure, KvCacheFormat, LikelihoodComparison, PerplexityResult, VariantName};
use trimtab_metrics::{TokenComparison, compare_likelihoods, compare_token, perplexity};

/// A text, and who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikelihoodRequest {
    /// The variant.
    pub variant: VariantName,
    /// What it is compared with.
    pub base: VariantName,
    /// The text.
    pub text: String,
    /// What the result calls the text.
    pub text_name: String,
    /// Tokens per window; windows do not overlap.
    pub context: u32,
    /// Number format of cached keys and values, of both.
    pub kv_cache: KvCacheFormat,
}

/// How a variant reads a text, alone and against its base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LikelihoodReply {
    /// The variant's perplexity.
    #[serde(flatten)]
    pub perplexity: PerplexityResult,
    /// What it is compared with.
    pub base: VariantName,
    /// The base's perplexity.
    pub base_perplexity: f64,
    /// The variant against the base, token by token.
    pub comparison: LikelihoodComparison,
}

impl Service {
    /// How far a variant's predictions are from those of another on the same tokens.
    ///
    /// # Errors
    ///
    /// An unknown variant, two that cut the text into different tokens, a text of fewer than two
    /// windows, a context that does not fit.
    pub async fn likelihoods(
        &self,
        request: LikelihoodRequest,
    ) -> Result<LikelihoodReply, Failure> {
        let files = self.variant_files(&request.variant).await?;
        let of_base = self.variant_files(&request.base).await?;
        let device = self.inner.config.device;
        blocking(move || {
            let engine = files.load(request.kv_cache, device)?;
            let base = of_base.load(request.kv_cache, device)?;
            let ids = engine.encode_text(&request.text)?;
            if base.encode_text(&request.text)? != ids {
                let (variant, base) = (&request.variant, &request.base);
                let message =
                    format!("`{variant}` and `{base}` cut the text into different tokens");
                return Err(Failure::bad_input(message)
                    .with_hint("compare variants of one model, or of models with one tokenizer"));
            }
            let windows =
                engine.score_beside(&base, &ids, request.context as usize, compare_token)?;
            let lengths: Vec<usize> = windows.iter().map(Vec::len).collect();
            let tokens = windows.into_iter().flatten().collect::<Result<Vec<_>, _>>();
            reply(request, &tokens.map_err(Failure::failed)?, &lengths)
        })
        .await
    }
}

fn reply(
    request: LikelihoodRequest,
    tokens: &[TokenComparison],
    lengths: &[usize],
) -> Result<LikelihoodReply, Failure> {
    let comparison = compare_likelihoods(tokens, lengths).map_err(Failure::bad_input)?;
    let of = |log_prob: fn(&TokenComparison) -> f64| {
        let log_probs: Vec<f64> = tokens.iter().map(log_prob).collect();
        perplexity(&log_probs).map_err(Failure::failed)
    };
    let own = of(|token| token.variant_log_prob)?;
    Ok(LikelihoodReply {
        base_perplexity: of(|token| token.base_log_prob)?.value,
        perplexity: PerplexityResult {
            perplexity: own.value,
            low: own.low,
            high: own.high,
            n_tokens: own.n,
            context: request.context,
            text: request.text_name,
            kv_cache: request.kv_cache,
        },
        base: request.base,
        comparison,
    })
}
