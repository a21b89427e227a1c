//! Running a variant in this process: what the command line does between two commands of a person.
//!
//! Everything here loads the variant, works on a blocking thread, and forgets it again.

use crate::{Service, plan::Resolved};
use serde::Serialize;
use std::path::{Path, PathBuf};
use trimtab_domain::{
    DeviceName, Failure, FinishReason, KvCacheFormat, ModelName, PerplexityResult, VariantName,
};
use trimtab_models::{ModelFiles, SpecialTokens};
use trimtab_runtime::{Engine, GenerationRequest, Sampling, Timing};

/// A text to answer or continue.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// The variant.
    pub variant: VariantName,
    /// The text.
    pub prompt: String,
    /// Whether the prompt is a user message in the model's chat form.
    pub chat: bool,
    /// Longest answer in tokens.
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time.
    pub temperature: f32,
    /// Keep the smallest set of tokens with this share of probability; 1 keeps all.
    pub top_p: f32,
    /// Seed of the draws.
    pub seed: u64,
    /// Text that ends the answer and is not part of it.
    pub stop: Vec<String>,
    /// Whether generation goes on after an end-of-text token.
    pub ignore_end: bool,
    /// Folder of a low-rank adapter to attach.
    pub adapter: Option<PathBuf>,
    /// Number format of cached keys and values.
    pub kv_cache: KvCacheFormat,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GenerateReply {
    /// The answer.
    pub text: String,
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Number format of cached keys and values.
    pub kv_cache: KvCacheFormat,
    /// Times, in the fields of llama.cpp's server.
    pub timings: Timings,
}

/// Times of an answer; names are those of llama.cpp's server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timings {
    /// Tokens of the prompt.
    pub prompt_n: usize,
    /// Time of the prompt, the first token's choice included.
    pub prompt_ms: f64,
    /// Time per prompt token.
    pub prompt_per_token_ms: f64,
    /// Prompt tokens per second.
    pub prompt_per_second: f64,
    /// Tokens after the first.
    pub predicted_n: usize,
    /// Time of the tokens after the first.
    pub predicted_ms: f64,
    /// Time per token after the first; absent if there is none.
    pub predicted_per_token_ms: Option<f64>,
    /// Tokens per second after the first; absent if there is none.
    pub predicted_per_second: Option<f64>,
}

impl From<Timing> for Timings {
    fn from(timing: Timing) -> Self {
        let per_token = timing.tpot_ms();
        Self {
            prompt_n: timing.n_prompt,
            prompt_ms: timing.ttft_ms,
            prompt_per_token_ms: timing.ttft_ms / timing.n_prompt as f64,
            prompt_per_second: 1e3 * timing.n_prompt as f64 / timing.ttft_ms,
            predicted_n: timing.n_output - 1,
            predicted_ms: timing.total_ms - timing.ttft_ms,
            predicted_per_token_ms: per_token,
            predicted_per_second: per_token.map(|ms| 1e3 / ms),
        }
    }
}

/// A text to score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerplexityRequest {
    /// The variant.
    pub variant: VariantName,
    /// The text.
    pub text: String,
    /// What the result calls the text.
    pub text_name: String,
    /// Tokens per window; windows do not overlap.
    pub context: u32,
    /// Number format of cached keys and values.
    pub kv_cache: KvCacheFormat,
}

impl Service {
    /// Answers or continues a text; `on_text` sees the answer grow.
    ///
    /// # Errors
    ///
    /// An unknown variant, a prompt that does not fit, settings outside their range.
    pub async fn generate(
        &self,
        request: GenerateRequest,
        mut on_text: impl FnMut(&str) + Send + 'static,
    ) -> Result<GenerateReply, Failure> {
        let files = self.variant_files(&request.variant).await?;
        let device = self.inner.config.device;
        blocking(move || {
            let engine =
                files.load_adapted(request.adapter.as_deref(), request.kv_cache, device)?;
            let prompt_ids = match request.chat {
                true => engine.encode_chat(&request.prompt)?,
                false => engine.encode_raw(&request.prompt)?,
            };
            let answer = engine.generate(
                &GenerationRequest {
                    prompt_ids: &prompt_ids,
                    sampling: Sampling {
                        temperature: request.temperature,
                        top_p: request.top_p,
                        seed: request.seed,
                    },
                    max_tokens: request.max_tokens as usize,
                    stop: request.stop,
                    stops_at_end_of_text: !request.ignore_end,
                },
                &mut |piece| {
                    on_text(piece);
                    true
                },
            )?;
            Ok(GenerateReply {
                text: answer.text,
                token_ids: answer.token_ids,
                finish_reason: answer.finish_reason,
                kv_cache: request.kv_cache,
                timings: answer.timing.into(),
            })
        })
        .await
    }

    /// Perplexity of a text.
    ///
    /// # Errors
    ///
    /// An unknown variant, a text that is too short, a context that does not fit.
    pub async fn perplexity(
        &self,
        request: PerplexityRequest,
    ) -> Result<PerplexityResult, Failure> {
        let files = self.variant_files(&request.variant).await?;
        let device = self.inner.config.device;
        blocking(move || {
            let engine = files.load(request.kv_cache, device)?;
            let ids = engine.encode_text(&request.text)?;
            let scores = engine.score(&ids, request.context as usize, &mut |_, _| {})?;
            let estimate =
                trimtab_metrics::perplexity(&scores.log_probs).map_err(Failure::failed)?;
            Ok(PerplexityResult {
                perplexity: estimate.value,
                low: estimate.low,
                high: estimate.high,
                n_tokens: estimate.n,
                context: request.context,
                text: request.text_name,
                kv_cache: request.kv_cache,
            })
        })
        .await
    }

    /// Token ids of a text, without a beginning-of-text token.
    ///
    /// # Errors
    ///
    /// A model that is not here, a tokenizer that cannot be built.
    pub async fn tokenize(&self, model: &ModelName, text: String) -> Result<Vec<u32>, Failure> {
        let model_file = self.model_file(model).await?;
        blocking(move || {
            let files = ModelFiles::open(&model_file).map_err(Failure::failed)?;
            let tokenizer = files.tokenizer().map_err(Failure::failed)?;
            tokenizer
                .encode(&text, SpecialTokens::AsText)
                .map_err(Failure::failed)
        })
        .await
    }
}

/// The files that a variant is loaded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VariantFiles {
    /// Packed weights.
    pub(crate) artifact: PathBuf,
    /// Tokenizer and chat template.
    pub(crate) model: PathBuf,
}

impl VariantFiles {
    pub(crate) fn load(
        &self,
        kv_cache: KvCacheFormat,
        device: DeviceName,
    ) -> Result<Engine, Failure> {
        self.load_adapted(None, kv_cache, device)
    }

    fn load_adapted(
        &self,
        adapter: Option<&Path>,
        kv_cache: KvCacheFormat,
        device: DeviceName,
    ) -> Result<Engine, Failure> {
        let engine = Engine::load_adapted(&self.artifact, &self.model, adapter, device)?;
        Ok(engine.with_kv_cache(kv_cache))
    }
}

impl Service {
    pub(crate) async fn variant_files(&self, name: &VariantName) -> Result<VariantFiles, Failure> {
        match self.inner.resolve(name).await? {
            Resolved::InPlace(view) => Ok(VariantFiles {
                artifact: self.artifact_file(&view),
                model: self.model_file(&view.model).await?,
            }),
            Resolved::ToMake { name, .. } => Err(Failure::not_found(format!(
                "variant `{name}` is not made yet"
            ))
            .with_hint("make it with `trimtab compress`")),
        }
    }
}

pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Failure> + Send + 'static,
) -> Result<R, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) => std::panic::resume_unwind(join.into_panic()),
    }
}
