//! One loaded variant: weights, tokenizer and chat template.

use crate::RuntimeError;
use burn::tensor::Device;
use std::{path::Path, time::Instant};
use trimtab_domain::Bytes;
use trimtab_models::{
    Artifact, ChatMessage, ChatTemplate, GenerationPrompt, ModelConfig, SpecialTokens,
    TextTokenizer,
    gguf::GgufFile,
    llama::{KvCache, Llama},
    load_llama,
};

/// Longest context that is served, whatever the model allows: bounds the cache.
pub const MAX_LEN: usize = 4096;

/// Tokens that go through the model at once while prefilling; bounds memory.
const PREFILL_CHUNK: usize = 512;

/// One loaded variant.
#[derive(Debug)]
pub struct Engine {
    pub(crate) model: Llama,
    config: ModelConfig,
    tokenizer: TextTokenizer,
    template: ChatTemplate,
    /// Whether raw prompts start with the beginning-of-text token.
    adds_bos: bool,
    load_ms: f64,
    weights: Bytes,
}

impl Engine {
    /// Loads a variant: weights from `artifact`, tokenizer and chat template from `model_file`.
    pub fn load(artifact: &Path, model_file: &Path) -> Result<Self, RuntimeError> {
        let clock = Instant::now();
        let artifact = Artifact::open(artifact)?;
        let config = artifact.header().config.clone();
        let gguf = GgufFile::open(model_file)?;
        let tokenizer = TextTokenizer::from_gguf(&gguf)?;
        tokenizer.check_vocabulary(config.vocab_size)?;
        let adds_bos = gguf.find("tokenizer.ggml.add_bos_token")?.unwrap_or(false);
        let template = ChatTemplate::from_gguf(&gguf)?;
        let model = load_llama(&artifact, MAX_LEN, &Device::flex())?;
        let weights = Bytes(artifact.n_weight_bytes());
        let load_ms = clock.elapsed().as_secs_f64() * 1e3;
        Ok(Self {
            model,
            config,
            tokenizer,
            template,
            adds_bos,
            load_ms,
            weights,
        })
    }

    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// Time from file to first use.
    pub fn load_ms(&self) -> f64 {
        self.load_ms
    }

    /// Packed weights in memory.
    pub fn weights(&self) -> Bytes {
        self.weights
    }

    /// Longest context, prompt and answer together.
    pub fn max_len(&self) -> usize {
        MAX_LEN.min(self.config.max_len)
    }

    /// Bytes of the cache for `n_tokens` tokens.
    pub fn kv_cache(&self, n_tokens: usize) -> Bytes {
        Bytes(self.config.kv_cache_bytes(n_tokens))
    }

    /// Token ids of a raw prompt, with the beginning-of-text token where the model wants one.
    pub fn encode_raw(&self, prompt: &str) -> Result<Vec<u32>, RuntimeError> {
        let bos = self.tokenizer.bos().filter(|_| self.adds_bos);
        let mut ids: Vec<u32> = bos.into_iter().collect();
        ids.extend(self.tokenizer.encode(prompt, SpecialTokens::AsText)?);
        Ok(ids)
    }

    /// Token ids of a plain text, without a beginning-of-text token.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, RuntimeError> {
        Ok(self.tokenizer.encode(text, SpecialTokens::AsText)?)
    }

    /// Token ids of a user message in the model's chat form, ready for the answer.
    pub fn encode_chat(&self, message: &str) -> Result<Vec<u32>, RuntimeError> {
        let messages = [ChatMessage::new("user", message)];
        let prompt = self.template.render(&messages, GenerationPrompt::Add)?;
        Ok(self.tokenizer.encode(&prompt, SpecialTokens::Parse)?)
    }

    /// Scores of the token after `ids`.
    ///
    /// # Shapes
    ///
    /// - result: `[vocab]`
    pub fn next_token_logits(&self, ids: &[u32]) -> Result<Vec<f32>, RuntimeError> {
        if ids.is_empty() {
            return Err(RuntimeError::Empty("the prompt"));
        }
        if ids.len() > self.max_len() {
            let max_len = self.max_len();
            return Err(RuntimeError::ContextTooLong {
                n_prompt: ids.len(),
                n_new: 0,
                max_len,
            });
        }
        let mut cache = self.model.new_cache(ids.len());
        Ok(in_pool(|| self.prefill(ids, &mut cache)))
    }

    /// Runs `ids` through the model in chunks; scores of the token after the last.
    pub(crate) fn prefill(&self, ids: &[u32], cache: &mut KvCache) -> Vec<f32> {
        let mut last = None;
        for chunk in ids.chunks(PREFILL_CHUNK) {
            last = Some(self.model.hidden(chunk, cache));
        }
        let hidden = last.expect("callers refuse an empty prompt");
        let [_, n_tokens, d_model] = hidden.dims();
        let hidden = hidden.slice([0..1, n_tokens - 1..n_tokens, 0..d_model]);
        floats(self.model.logits(hidden))
    }

    /// Runs one token through the model; scores of the token after it.
    pub(crate) fn decode(&self, id: u32, cache: &mut KvCache) -> Vec<f32> {
        let hidden = self.model.hidden(&[id], cache);
        floats(self.model.logits(hidden))
    }
}

/// The values of a float tensor.
pub(crate) fn floats(tensor: burn::tensor::Tensor<3>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec::<f32>()
        .expect("the model computes in f32")
}

/// Worker threads of the pool.
pub fn n_threads() -> usize {
    rayon::current_num_threads()
}

/// Runs `work` inside the thread pool.
pub(crate) fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}
