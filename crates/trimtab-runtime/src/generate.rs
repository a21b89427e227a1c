//! One answer: prefill the prompt, then decode until a rule stops it.

use crate::{Engine, RuntimeError, Sampler, Sampling, StopStrings, engine::in_pool};
use std::time::Instant;
use trimtab_domain::FinishReason;
use trimtab_models::{ControlTokens, TokenStream};

/// What to answer and when to stop.
#[derive(Clone, Debug)]
pub struct GenerationRequest<'a> {
    /// The prompt.
    pub prompt_ids: &'a [u32],
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Longest answer in tokens.
    pub max_tokens: usize,
    /// Text that ends the answer and is not part of it.
    pub stop: Vec<String>,
    /// Whether the end-of-text tokens of the model end the answer.
    pub stops_at_end_of_text: bool,
}

/// An answer with its times.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The answer, without stop string and end-of-text token.
    pub text: String,
    /// Its tokens, the end-of-text token left out.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// When what happened.
    pub timing: Timing,
}

/// Times of one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens decoded, an end-of-text token counted.
    pub n_output: usize,
    /// Request to first token: the prefill and the first choice.
    pub ttft_ms: f64,
    /// Request to last token.
    pub total_ms: f64,
}

impl Timing {
    /// (end-to-end − TTFT) / (output tokens − 1); absent below two tokens.
    pub fn tpot_ms(&self) -> Option<f64> {
        (self.n_output >= 2).then(|| (self.total_ms - self.ttft_ms) / (self.n_output - 1) as f64)
    }
}

impl Engine {
    /// Answers a prompt.
    ///
    /// `on_text` sees the answer piece by piece, each a whole number of characters, and ends it by
    /// returning `false`; it then counts as stopped.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] for an empty prompt, one that does not fit the context, or bad settings.
    pub fn generate(
        &self,
        request: &GenerationRequest<'_>,
        on_text: &mut (dyn FnMut(&str) -> bool + Send),
    ) -> Result<Generation, RuntimeError> {
        let (n_prompt, n_new) = (request.prompt_ids.len(), request.max_tokens);
        if n_prompt == 0 {
            return Err(RuntimeError::Empty("the prompt"));
        }
        if n_new == 0 {
            return Err(RuntimeError::Setting(
                "`max_tokens` is 0: nothing to generate".into(),
            ));
        }
        if n_prompt + n_new > self.max_len() {
            let max_len = self.max_len();
            return Err(RuntimeError::ContextTooLong {
                n_prompt,
                n_new,
                max_len,
            });
        }
        let sampler = Sampler::new(request.sampling)?;
        in_pool(|| self.generate_in_pool(request, sampler, on_text))
    }

    fn generate_in_pool(
        &self,
        request: &GenerationRequest<'_>,
        mut sampler: Sampler,
        on_text: &mut (dyn FnMut(&str) -> bool + Send),
    ) -> Result<Generation, RuntimeError> {
        let clock = Instant::now();
        let elapsed_ms = || clock.elapsed().as_secs_f64() * 1e3;
        let n_prompt = request.prompt_ids.len();
        let mut cache = self.new_cache(n_prompt + request.max_tokens);
        let mut logits = self.prefill(request.prompt_ids, &mut cache);
        let mut answer = Answer::new(self, request);
        let (mut ttft_ms, mut n_output) = (0.0, 0);
        let finish_reason = loop {
            let id = sampler
                .choose(&logits)
                .ok_or(RuntimeError::NotANumber(n_output))?;
            n_output += 1;
            if n_output == 1 {
                ttft_ms = elapsed_ms();
            }
            if answer.push(id, on_text)? {
                break FinishReason::Stop;
            }
            if n_output == request.max_tokens {
                break FinishReason::Length;
            }
            logits = self.decode(id, &mut cache);
        };
        let total_ms = elapsed_ms();
        let (text, token_ids) = answer.finish(finish_reason, on_text);
        let timing = Timing {
            n_prompt,
            n_output,
            ttft_ms,
            total_ms,
        };
        Ok(Generation {
            text,
            token_ids,
            finish_reason,
            timing,
        })
    }
}

/// The answer while it grows.
struct Answer<'a> {
    stream: TokenStream<'a>,
    end_of_text: Vec<u32>,
    stop: StopStrings,
    text: String,
    token_ids: Vec<u32>,
}

impl<'a> Answer<'a> {
    fn new(engine: &'a Engine, request: &GenerationRequest<'_>) -> Self {
        let tokenizer = engine.tokenizer();
        let end_of_text = match request.stops_at_end_of_text {
            true => tokenizer.eos_ids().to_vec(),
            false => Vec::new(),
        };
        Self {
            stream: tokenizer.stream(ControlTokens::Hide),
            end_of_text,
            stop: StopStrings::new(request.stop.clone()),
            text: String::new(),
            token_ids: Vec::new(),
        }
    }

    /// Takes a token; whether the answer is over.
    fn push(
        &mut self,
        id: u32,
        on_text: &mut (dyn FnMut(&str) -> bool + Send),
    ) -> Result<bool, RuntimeError> {
        if self.end_of_text.contains(&id) {
            return Ok(true);
        }
        self.token_ids.push(id);
        let (shown, found) = self.stop.push(&self.stream.push(id)?);
        self.text.push_str(&shown);
        let goes_on = shown.is_empty() || on_text(&shown);
        Ok(found || !goes_on)
    }

    /// Text and tokens; shows what was held back unless a stop string swallowed it.
    fn finish(
        mut self,
        finish_reason: FinishReason,
        on_text: &mut (dyn FnMut(&str) -> bool + Send),
    ) -> (String, Vec<u32>) {
        let mut rest = self.stop.finish();
        if finish_reason == FinishReason::Length {
            rest.push_str(&self.stream.finish());
        }
        if !rest.is_empty() {
            on_text(&rest);
            self.text.push_str(&rest);
        }
        (self.text, self.token_ids)
    }
}
