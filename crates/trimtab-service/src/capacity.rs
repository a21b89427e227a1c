//! What a model needs in memory, told before it is loaded: from its file's header, or from the sizes
//! that the catalog records.

use crate::{Service, hardware, models::blocking, recorded_shapes::recorded_config};
use std::path::{Path, PathBuf};
use trimtab_compress::{CompressError, predicted_bytes, predicted_config};
use trimtab_domain::{
    Bytes, CapacityView, Failure, KvCacheFormat, MemoryNeed, MemoryPlace, MemoryShape, ModelName,
    PresetNeed, Recipe, TextNeed,
};
use trimtab_models::{Checkpoint, ModelConfig};

/// Lengths that keys and values are told for, as far as the model goes.
const TEXT_LENGTHS: [u32; 5] = [512, 1_024, 4_096, 16_384, 65_536];

/// Length of a text where none is asked for: a few files of code.
const DEFAULT_TEXT: u32 = 4_096;

/// What to compute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapacityRequest {
    /// Name of a model, or path of a model file.
    pub model: String,
    /// Length of the text in tokens; 4,096, or all that the model can, by default.
    pub n_tokens: Option<u32>,
    /// How keys and values are kept.
    pub kv_format: KvCacheFormat,
}

impl Service {
    /// What a model needs with every preset, and whether that fits this machine.
    ///
    /// # Errors
    ///
    /// An unknown name, a file that is no model, a text longer than the model can work with.
    pub async fn capacity(&self, request: CapacityRequest) -> Result<CapacityView, Failure> {
        let config = self.config_of(&request.model).await?;
        let places = blocking(|| Ok(hardware::memory_places())).await?;
        view(&request, &config, &places)
    }

    /// What each model of the list needs, for a text of the default length; models whose sizes
    /// cannot be known are left out.
    pub async fn capacities(&self) -> Result<Vec<CapacityView>, Failure> {
        let places = blocking(|| Ok(hardware::memory_places())).await?;
        let mut views = Vec::new();
        for model in self.models().await? {
            let request = CapacityRequest {
                model: model.name.to_string(),
                ..CapacityRequest::default()
            };
            match self.config_of(&request.model).await {
                Ok(config) => views.push(view(&request, &config, &places)?),
                Err(failure) => tracing::warn!("model `{}`: {failure}", model.name),
            }
        }
        Ok(views)
    }

    async fn config_of(&self, model: &str) -> Result<ModelConfig, Failure> {
        let path = Path::new(model);
        match model.parse::<ModelName>() {
            Ok(name) if !path.exists() => self.config_of_model(&name).await,
            _ => config_of_file(path.to_owned()).await,
        }
    }

    /// The sizes of a model by its name.
    pub(crate) async fn config_of_model(&self, name: &ModelName) -> Result<ModelConfig, Failure> {
        self.inner.require_known_model(name).await?;
        if self.inner.model_digest(name).await?.is_some() {
            return config_of_file(self.model_file(name).await?).await;
        }
        recorded_config(name).ok_or_else(|| {
            Failure::not_found(format!(
                "the sizes of model `{name}` are not known before its file is on this machine"
            ))
            .with_hint("import it again with `trimtab models import PATH`")
        })
    }
}

async fn config_of_file(path: PathBuf) -> Result<ModelConfig, Failure> {
    blocking(move || {
        if !path.exists() {
            let place = path.display();
            let failure = Failure::not_found(format!("`{place}` is neither a model nor a file"));
            return Err(failure.with_hint("`trimtab models list` names the models"));
        }
        let checkpoint = Checkpoint::open(&path).map_err(CompressError::from)?;
        Ok(checkpoint.config().clone())
    })
    .await
}

fn view(
    request: &CapacityRequest,
    config: &ModelConfig,
    places: &[MemoryPlace],
) -> Result<CapacityView, Failure> {
    let shape = memory_shape(config);
    let max_len = max_len(config);
    let n_tokens = request.n_tokens.unwrap_or(DEFAULT_TEXT.min(max_len));
    if n_tokens == 0 || n_tokens > max_len {
        let message = format!("a text of {n_tokens} tokens is not between 1 and {max_len}");
        let hint = format!("`{}` works with up to {max_len} tokens here", request.model);
        return Err(Failure::bad_input(message).with_hint(hint));
    }
    // A preset that cannot be made of the model needs nothing.
    let need = |preset: &str| {
        let recipe = Recipe::preset(preset).expect("every listed preset has a recipe");
        let weights = Bytes(predicted_bytes(config, &recipe).ok()?);
        let made = predicted_config(config, &recipe).ok()?;
        let need = memory_shape(&made).need(weights, n_tokens, request.kv_format);
        Some(PresetNeed {
            preset: preset.to_owned(),
            need,
            total: need.total(),
            fits: places.iter().map(|place| place.fit(need.total())).collect(),
        })
    };
    Ok(CapacityView {
        model: request.model.clone(),
        n_parameters: config.n_parameters(),
        max_len,
        n_tokens,
        kv_format: request.kv_format,
        places: places.to_owned(),
        presets: Recipe::presets()
            .iter()
            .filter_map(|(preset, _)| need(preset))
            .collect(),
        texts: text_needs(&shape, max_len),
    })
}

/// What weights of a known size need in memory with a text of the default length, and that length.
pub(crate) fn memory_for_default_text(
    config: &ModelConfig,
    weights: Bytes,
    format: KvCacheFormat,
) -> (u32, MemoryNeed) {
    let n_tokens = DEFAULT_TEXT.min(max_len(config));
    let need = memory_shape(config).need(weights, n_tokens, format);
    (n_tokens, need)
}

/// The longest text that the model can work with here.
/// The longest text that a model is served with, in tokens.
pub(crate) fn max_len(config: &ModelConfig) -> u32 {
    narrow(config.max_len.min(trimtab_runtime::MAX_LEN))
}

/// Keys and values of texts of several lengths, the longest possible one last.
fn text_needs(shape: &MemoryShape, max_len: u32) -> Vec<TextNeed> {
    let shorter = TEXT_LENGTHS.into_iter().filter(|n| *n < max_len);
    let all = shorter.chain([max_len]).map(|n_tokens| TextNeed {
        n_tokens,
        kv_cache: KvCacheFormat::ALL
            .map(|format| (format, shape.kv_cache(n_tokens, format)))
            .into(),
    });
    all.collect()
}

/// The sizes that memory beside the weights depends on.
fn memory_shape(config: &ModelConfig) -> MemoryShape {
    let attention = config.attention_shape();
    // Of a token's experts one is computed at a time; the shared ones are one wide MLP.
    let d_ff = match &config.experts {
        Some(experts) => config.d_ff.max(experts.n_shared * experts.d_expert),
        None => config.d_ff,
    };
    let (d_model, d_qkv, d_query) = (config.d_model, attention.d_qkv(), attention.d_out());
    let (n_kv_rows, d_kv_row) = match &config.latent {
        Some(latent) => (1, latent.d_cached()),
        None => (2 * config.n_kv_heads, config.d_head),
    };
    // Residual stream and normed input stay; then either queries, keys, values and their attention,
    // or gate, up and their product; and the output.
    let widest = (d_qkv + d_query).max(3 * d_ff);
    MemoryShape {
        n_layers: narrow(config.n_layers),
        n_kv_rows: narrow(n_kv_rows),
        d_kv_row: narrow(d_kv_row),
        n_block_floats: narrow(3 * d_model + widest),
        vocab_size: narrow(config.vocab_size),
    }
}

/// Sizes of a configuration were checked when it was read: none comes near the limit.
fn narrow(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::Fit;

    fn qwen(n_tokens: Option<u32>, free: u64) -> Result<CapacityView, Failure> {
        let name = "qwen2.5-coder-0.5b-instruct";
        let request = CapacityRequest {
            model: name.to_owned(),
            n_tokens,
            kv_format: KvCacheFormat::F16,
        };
        let place = MemoryPlace {
            name: "memory".to_owned(),
            total: Bytes(free),
            free: Bytes(free),
        };
        let config = recorded_config(&name.parse().unwrap()).unwrap();
        view(&request, &config, &[place])
    }

    #[test]
    fn smaller_presets_need_less_and_fit_where_larger_do_not() {
        let view = qwen(None, 1_000_000_000).unwrap();
        let presets: Vec<&str> = view.presets.iter().map(|need| &*need.preset).collect();
        assert_eq!(presets[..5], ["f32", "f16", "bf16", "int8", "int4"]);
        assert!(view.presets[..5].is_sorted_by(|a, b| a.total >= b.total));
        let fits: Vec<Fit> = view.presets[..5].iter().map(|need| need.fits[0]).collect();
        let [no, yes] = [Fit::TooLarge, Fit::Fits];
        assert_eq!(fits, [no, no, no, yes, yes]);
        assert_eq!(view.n_parameters, 630_167_424);
        assert_eq!(view.presets[3].need.kv_cache, Bytes(50_331_648));
        let shrunk = view
            .presets
            .iter()
            .find(|need| need.preset == "shrink-depth");
        // A quarter of 24 layers keep no keys and values.
        assert_eq!(shrunk.unwrap().need.kv_cache, Bytes(37_748_736));
        assert!(shrunk.unwrap().need.weights < view.presets[1].need.weights);
    }

    #[test]
    fn a_text_beyond_the_model_is_refused_and_the_longest_is_told() {
        let refused = qwen(Some(4_097), 0).unwrap_err();
        assert_eq!(
            refused.message,
            "a text of 4097 tokens is not between 1 and 4096"
        );
        assert!(qwen(Some(0), 0).is_err());
        let lengths: Vec<u32> = qwen(Some(1), 0)
            .unwrap()
            .texts
            .iter()
            .map(|text| text.n_tokens)
            .collect();
        assert_eq!(lengths, [512, 1_024, 4_096]);
    }
}
