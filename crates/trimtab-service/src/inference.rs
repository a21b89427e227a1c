//! Running a variant in this process: what the command line does between two commands of a person.
//!
//! Everything here loads the variant, works on a blocking thread, and forgets it again.

use crate::{Service, clock, devices, hardware, plan::Resolved};
use serde::Serialize;
use std::path::{Path, PathBuf};
use trimtab_domain::{
    DeviceName, Failure, FinishReason, KvCacheFormat, ModelName, PerplexityResult, VariantName,
};
use trimtab_models::{ModelFiles, SpecialTokens};
use trimtab_runtime::{Engine, GenerationRequest, Sampling, SpeedTest, Timing, peak_memory};

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

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchRequest {
    /// The variant.
    pub variant: VariantName,
    /// Tokens of the prompt that prefill is measured with; 0 leaves prefill out.
    pub n_prompt: u32,
    /// Tokens that decoding is measured with, in each sequence; 0 leaves decoding out.
    pub n_gen: u32,
    /// How many sequences decode side by side: one measurement each.
    pub n_parallel: Vec<u32>,
    /// Number format of cached keys and values.
    pub kv_cache: KvCacheFormat,
    /// Counted repeats.
    pub repeats: u32,
}

/// One measurement; names and units are those of `llama-bench`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are defined by llama-bench")]
pub struct BenchRow {
    pub build_number: String,
    pub cpu_info: String,
    pub gpu_info: String,
    pub backends: String,
    pub model_filename: String,
    pub model_type: String,
    pub model_size: u64,
    pub model_n_params: u64,
    pub n_batch: u32,
    pub n_threads: u32,
    pub type_k: String,
    pub type_v: String,
    pub n_gpu_layers: u32,
    pub n_prompt: u32,
    pub n_gen: u32,
    pub n_depth: u32,
    pub test_time: String,
    pub avg_ns: u64,
    pub stddev_ns: u64,
    pub avg_ts: f64,
    pub stddev_ts: f64,
    pub samples_ns: Vec<u64>,
    pub samples_ts: Vec<f64>,
    /// The variant.
    pub variant: VariantName,
    /// Sequences that decode side by side, as in `n_batch`; rates are of all of them together.
    pub n_parallel: u32,
    /// Largest resident set of this process so far, loading included.
    pub peak_memory_bytes: u64,
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

    /// Speed of prefill at batch 1 and of decode at each number of sequences: one row each, those of
    /// 0 tokens left out.
    ///
    /// # Errors
    ///
    /// An unknown variant, or nothing to measure.
    pub async fn bench(&self, request: BenchRequest) -> Result<Vec<BenchRow>, Failure> {
        let files = self.variant_files(&request.variant).await?;
        let device = self.inner.config.device;
        blocking(move || {
            let tests = request.tests();
            if tests.is_empty() {
                let failure = Failure::bad_input("both token counts are 0: nothing to measure");
                return Err(failure.with_hint("give --prompt-tokens or --gen-tokens"));
            }
            let engine = files.load(request.kv_cache, device)?;
            tests
                .into_iter()
                .map(|test| bench_row(&engine, &request, &files, test))
                .collect()
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

impl BenchRequest {
    /// Prefill alone, then decoding alone with each number of sequences.
    fn tests(&self) -> Vec<SpeedTest> {
        let test = SpeedTest {
            n_prompt: self.n_prompt as usize,
            n_gen: 0,
            n_parallel: 1,
            n_repeats: self.repeats as usize,
        };
        let decoding = self.n_parallel.iter().map(|n_parallel| SpeedTest {
            n_prompt: 0,
            n_gen: self.n_gen as usize,
            n_parallel: *n_parallel as usize,
            ..test
        });
        std::iter::once(test)
            .chain(decoding)
            .filter(|test| test.n_prompt + test.n_gen > 0)
            .collect()
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

fn bench_row(
    engine: &Engine,
    request: &BenchRequest,
    files: &VariantFiles,
    test: SpeedTest,
) -> Result<BenchRow, Failure> {
    let repeats = engine.measure_speed(test, &mut |_, _| {})?;
    let samples_ns = if test.n_prompt > 0 {
        repeats.prefill_ns
    } else {
        repeats.decode_ns
    };
    let n_tokens = ((test.n_prompt + test.n_gen) * test.n_parallel) as f64;
    let samples_ts: Vec<f64> = samples_ns
        .iter()
        .map(|ns| n_tokens * 1e9 / *ns as f64)
        .collect();
    let (avg_ns, stddev_ns) =
        mean_and_deviation(&samples_ns.iter().map(|ns| *ns as f64).collect::<Vec<_>>());
    let (avg_ts, stddev_ts) = mean_and_deviation(&samples_ts);
    let device = engine.device();
    let hardware = hardware::hardware(device);
    Ok(BenchRow {
        build_number: env!("CARGO_PKG_VERSION").into(),
        cpu_info: hardware.cpu,
        gpu_info: devices::card_model(device),
        backends: match device {
            DeviceName::Cpu => format!("CPU ({})", hardware.simd),
            DeviceName::Cuda(_) => "CUDA".to_owned(),
        },
        model_filename: files.artifact.display().to_string(),
        model_type: request.variant.to_string(),
        model_size: engine.weights().0,
        model_n_params: engine.config().n_parameters(),
        n_batch: test.n_parallel as u32,
        n_threads: trimtab_runtime::n_threads() as u32,
        type_k: request.kv_cache.to_string(),
        type_v: request.kv_cache.to_string(),
        n_gpu_layers: 0,
        n_prompt: test.n_prompt as u32,
        n_gen: test.n_gen as u32,
        n_depth: 0,
        test_time: clock::now().to_utc_text(),
        avg_ns: avg_ns as u64,
        stddev_ns: stddev_ns as u64,
        avg_ts,
        stddev_ts,
        samples_ns,
        samples_ts,
        variant: request.variant.clone(),
        n_parallel: test.n_parallel as u32,
        peak_memory_bytes: peak_memory()
            .ok_or_else(|| Failure::failed("the system does not report peak memory"))?
            .0,
    })
}

/// Mean and standard deviation with n − 1, 0 for a single value.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Failure> + Send + 'static,
) -> Result<R, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) => std::panic::resume_unwind(join.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviation_of_one_value_is_zero_and_of_more_uses_n_minus_one() {
        assert_eq!(mean_and_deviation(&[4.0]), (4.0, 0.0));
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-12);
    }
}
