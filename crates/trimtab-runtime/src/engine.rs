//! One loaded variant: weights, tokenizer and chat template.

use crate::{RuntimeError, memory::release_freed_memory, open_device, request::check_ids};
use burn::tensor::{Int, Tensor};
use std::{path::Path, time::Instant};
use trimtab_domain::{Bytes, DeviceName, KvCacheFormat};
use trimtab_kernels::{KvFormat, team};
use trimtab_models::{
    Artifact, ChatMessage, ChatTemplate, GenerationPrompt, ModelConfig, ModelFiles, SpecialTokens,
    TextTokenizer,
    decoder::{Decoder, KvCache, SequenceStep},
    load_decoder,
    peft::{PeftAdapter, adaptable_linears},
    weight_specs,
};

/// Longest context that is served, whatever the model allows: bounds the cache.
pub const MAX_LEN: usize = 4096;

/// Tokens that go through the model at once while prefilling; bounds memory.
const PREFILL_CHUNK: usize = 512;

/// One loaded variant.
#[derive(Debug)]
pub struct Engine {
    pub(crate) model: Decoder,
    config: ModelConfig,
    tokenizer: TextTokenizer,
    /// Base models have none.
    template: Option<ChatTemplate>,
    kv_cache: KvCacheFormat,
    load_ms: f64,
    weights: Bytes,
    device: DeviceName,
}

impl Engine {
    /// Loads a variant to a device: weights from `artifact`, tokenizer and chat template from the
    /// file or folder `model`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] for damaged files, a tokenizer that does not fit the weights, and a device
    /// that is absent or cannot run the variant.
    pub fn load(artifact: &Path, model: &Path, device: DeviceName) -> Result<Self, RuntimeError> {
        Self::load_adapted(artifact, model, None, device)
    }

    /// As [`Self::load`], with the low-rank adapter of a folder attached: its products are added to
    /// those of the weights, which stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Self::load`], and for an adapter that does not fit the model.
    pub fn load_adapted(
        artifact: &Path,
        model: &Path,
        adapter: Option<&Path>,
        device: DeviceName,
    ) -> Result<Self, RuntimeError> {
        let clock = Instant::now();
        let device_name = device;
        let device = open_device(device_name)?;
        let artifact = Artifact::open(artifact)?;
        if device_name != DeviceName::Cpu && has_int8_activations(&artifact) {
            return Err(RuntimeError::Int8Activations(device_name));
        }
        let config = artifact.header().config.clone();
        let (tokenizer, template) = tokenizer_and_template(model)?;
        tokenizer.check_vocabulary(config.vocab_size)?;
        let adapter = match adapter {
            Some(folder) => Some(PeftAdapter::open(folder, &adaptable_linears(&config))?),
            None => None,
        };
        let model = load_decoder(&artifact, adapter.as_ref(), MAX_LEN, &device)?;
        let weights = Bytes(artifact.n_weight_bytes());
        let load_ms = clock.elapsed().as_secs_f64() * 1e3;
        Ok(Self {
            model,
            config,
            tokenizer,
            template,
            kv_cache: KvCacheFormat::default(),
            load_ms,
            weights,
            device: device_name,
        })
    }

    /// The same variant with keys and values cached in `format`.
    #[must_use]
    pub fn with_kv_cache(mut self, format: KvCacheFormat) -> Self {
        self.kv_cache = format;
        self
    }

    /// Number format of cached keys and values.
    pub fn kv_cache_format(&self) -> KvCacheFormat {
        self.kv_cache
    }

    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// Where the model is computed.
    pub fn device(&self) -> DeviceName {
        self.device
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

    /// An empty cache for `n_slots` sequences of up to `capacity` tokens each.
    pub(crate) fn new_cache(
        &self,
        n_slots: usize,
        capacity: usize,
        format: KvCacheFormat,
    ) -> KvCache {
        self.model
            .new_cache(n_slots, capacity, kernel_format(format))
    }

    /// Bytes of the cache for `n_tokens` tokens.
    pub fn kv_cache(&self, n_tokens: usize) -> Bytes {
        let format = kernel_format(self.kv_cache);
        Bytes(self.config.kv_cache_bytes(n_tokens, format))
    }

    /// Token ids of a raw prompt, with the beginning-of-text token where the model wants one.
    pub fn encode_raw(&self, prompt: &str) -> Result<Vec<u32>, RuntimeError> {
        let bos = self.tokenizer.bos().filter(|_| self.tokenizer.adds_bos());
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
        let template = self.template.as_ref().ok_or(RuntimeError::NoChatTemplate)?;
        let prompt = template.render(&messages, GenerationPrompt::Add)?;
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
        check_ids(ids, self.config.vocab_size)?;
        let mut cache = self.new_cache(1, ids.len(), self.kv_cache);
        Ok(self.in_pool(|| self.prefill(ids, &mut cache)))
    }

    /// Runs `ids` through the model in chunks, as the first slot's; scores of the token after the
    /// last.
    pub(crate) fn prefill(&self, ids: &[u32], cache: &mut KvCache) -> Vec<f32> {
        let mut chunks = ids.chunks(PREFILL_CHUNK).peekable();
        let mut logits = Vec::new();
        while let Some(ids) = chunks.next() {
            let is_last = chunks.peek().is_none();
            logits = self.forward(&[SequenceStep { slot: 0, ids }], &|_| is_last, cache);
        }
        logits
    }

    /// Runs `work` inside the thread pool, if it is the processor that works: a card is driven from
    /// this thread alone, since each thread has a queue of its own there.
    pub(crate) fn in_pool<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match self.device {
            DeviceName::Cpu => team::together(work),
            DeviceName::Cuda(_) => work(),
        }
    }

    /// Runs new tokens of one or more sequences through the model; scores of the token after the last
    /// one of each sequence that `is_scored`.
    ///
    /// # Shapes
    ///
    /// - result: `[n_scored, vocab]`, in the order of `steps`
    pub(crate) fn forward(
        &self,
        steps: &[SequenceStep<'_>],
        is_scored: &dyn Fn(&SequenceStep<'_>) -> bool,
        cache: &mut KvCache,
    ) -> Vec<f32> {
        let hidden = self.model.hidden(steps, cache);
        let (mut rows, mut n_tokens) = (Vec::new(), 0);
        for step in steps {
            n_tokens += step.ids.len();
            if is_scored(step) {
                rows.push(n_tokens as i32 - 1);
            }
        }
        if rows.is_empty() {
            return Vec::new();
        }
        // While all sequences decode, every row is wanted and none is moved.
        let hidden = if rows.len() == n_tokens {
            hidden
        } else {
            let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &self.model.device());
            hidden.select(1, rows)
        };
        floats(self.model.logits(hidden))
    }
}

/// What text needs; the files are closed before the weights come.
fn tokenizer_and_template(
    model: &Path,
) -> Result<(TextTokenizer, Option<ChatTemplate>), RuntimeError> {
    let files = ModelFiles::open(model)?;
    let (tokenizer, template) = (files.tokenizer()?, files.chat_template()?);
    drop(files);
    release_freed_memory();
    Ok((tokenizer, template))
}

/// The kernels' word for a format.
fn kernel_format(format: KvCacheFormat) -> KvFormat {
    match format {
        KvCacheFormat::F32 => KvFormat::F32,
        KvCacheFormat::F16 => KvFormat::F16,
        KvCacheFormat::Int8 => KvFormat::Int8,
    }
}

/// Whether products of the variant quantise their activations.
fn has_int8_activations(artifact: &Artifact) -> bool {
    weight_specs(&artifact.header().config)
        .iter()
        .filter_map(|spec| artifact.packed_shape(spec))
        .any(|shape| shape.format.has_int8_activations())
}

/// The values of a float tensor.
pub(crate) fn floats(tensor: Tensor<3>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec::<f32>()
        .expect("the model computes in f32")
}

/// Worker threads of the pool.
pub fn n_threads() -> usize {
    rayon::current_num_threads()
}
