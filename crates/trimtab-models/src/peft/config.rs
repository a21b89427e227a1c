//! `adapter_config.json`: what is understood is checked, what is not is refused by name.

use super::{
    AdapterError,
    pattern::{ByPattern, OrderedMap},
    targets::{Names, Targets},
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// No adapter has a higher rank; larger claims are mistakes or attacks.
pub(super) const MAX_RANK: usize = 1 << 16;

/// How an adapter is scaled and which layers it is for.
#[derive(Clone, Debug)]
pub struct AdapterConfig {
    rank: usize,
    alpha: f64,
    rank_by_pattern: ByPattern<usize>,
    alpha_by_pattern: ByPattern<f64>,
    is_rank_stabilised: bool,
    fan_in_fan_out: bool,
    pub(super) targets: Targets,
}

/// The settings that are understood; the others are in `rest`.
#[derive(Deserialize)]
struct Settings {
    peft_type: String,
    task_type: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    rank_pattern: Option<OrderedMap<usize>>,
    alpha_pattern: Option<OrderedMap<f64>>,
    #[serde(default)]
    fan_in_fan_out: bool,
    bias: Option<String>,
    init_lora_weights: Option<Value>,
    target_modules: Option<Names>,
    exclude_modules: Option<Names>,
    layers_to_transform: Option<OneOrMany<u64>>,
    layers_pattern: Option<OneOrMany<String>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

/// Settings that change nothing about a trained adapter: where it came from, how it was trained or
/// begun, how other libraries run it.
const WITHOUT_EFFECT: [&str; 15] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
];

/// Ways of beginning that leave the base model as it is; others move part of it into the adapter,
/// which then belongs to another base.
const INIT_WITHOUT_EFFECT: [&str; 3] = ["gaussian", "eva", "orthogonal"];

impl AdapterConfig {
    /// Reads the text of `adapter_config.json`.
    ///
    /// # Errors
    ///
    /// Malformed JSON, impossible numbers, and every setting whose effect is not implemented.
    pub fn parse(json: &[u8]) -> Result<Self, AdapterError> {
        let settings: Settings = serde_json::from_slice(json)
            .map_err(|error| AdapterError::Config(error.to_string()))?;
        settings.refuse_unsupported()?;
        let targets = Targets::new(
            settings
                .target_modules
                .ok_or_else(|| AdapterError::Config("`target_modules` is missing".to_owned()))?,
            settings.exclude_modules,
            settings.layers_to_transform.map(OneOrMany::into_vec),
            settings
                .layers_pattern
                .map(OneOrMany::into_vec)
                .unwrap_or_default(),
        )?;
        let ranks = settings.rank_pattern.unwrap_or_default();
        let alphas = settings.alpha_pattern.unwrap_or_default();
        Ok(Self {
            rank: checked_rank(settings.r)?,
            alpha: checked_alpha(settings.lora_alpha)?,
            rank_by_pattern: ByPattern::new("rank_pattern", ranks, checked_rank)?,
            alpha_by_pattern: ByPattern::new("alpha_pattern", alphas, checked_alpha)?,
            is_rank_stabilised: settings.use_rslora,
            fan_in_fan_out: settings.fan_in_fan_out,
            targets,
        })
    }

    /// Rank of a layer's factors.
    pub fn rank(&self, layer: &str) -> usize {
        self.rank_by_pattern.get(layer).unwrap_or(self.rank)
    }

    /// What the product of a layer's factors is multiplied with: alpha over the rank, or over its
    /// square root where scaling is rank-stabilised.
    pub fn scaling(&self, layer: &str) -> f32 {
        let alpha = self.alpha_by_pattern.get(layer).unwrap_or(self.alpha);
        let rank = self.rank(layer) as f64;
        let divisor = if self.is_rank_stabilised {
            rank.sqrt()
        } else {
            rank
        };
        (alpha / divisor) as f32
    }

    /// Whether the layers store their weights as `[d_in, d_out]`.
    pub fn fan_in_fan_out(&self) -> bool {
        self.fan_in_fan_out
    }
}

impl Settings {
    fn refuse_unsupported(&self) -> Result<(), AdapterError> {
        let refused = |key: &str, value: String| {
            let key = key.to_owned();
            Err(AdapterError::Unsupported { key, value })
        };
        if self.peft_type != "LORA" {
            return refused("peft_type", format!("`{}`", self.peft_type));
        }
        match self.task_type.as_deref() {
            None | Some("CAUSAL_LM") => {}
            Some(other) => return refused("task_type", format!("`{other}`")),
        }
        match self.bias.as_deref() {
            None | Some("none") => {}
            Some(other) => return refused("bias", format!("`{other}`")),
        }
        match &self.init_lora_weights {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(Value::String(init)) if INIT_WITHOUT_EFFECT.contains(&init.as_str()) => {}
            Some(other) => return refused("init_lora_weights", other.to_string()),
        }
        let mut others = self.rest.iter();
        let set =
            others.find(|(key, value)| !WITHOUT_EFFECT.contains(&key.as_str()) && is_set(value));
        match set {
            None => Ok(()),
            Some((key, value)) => refused(key, value.to_string()),
        }
    }
}

/// Whether a setting says anything: not null, false or empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(values) => !values.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => true,
    }
}

fn checked_rank(rank: usize) -> Result<usize, AdapterError> {
    if (1..=MAX_RANK).contains(&rank) {
        return Ok(rank);
    }
    let reason = format!("the rank {rank} is not between 1 and {MAX_RANK}");
    Err(AdapterError::Config(reason))
}

fn checked_alpha(alpha: f64) -> Result<f64, AdapterError> {
    if (alpha as f32).is_finite() {
        return Ok(alpha);
    }
    Err(AdapterError::Config(format!(
        "the alpha {alpha} is too large"
    )))
}
