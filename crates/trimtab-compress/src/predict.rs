//! How large the weights of a model become under a recipe, computed before anything is made.

use crate::{
    CompressError,
    format::{WeightKind, weight_format},
    joint::joint,
    plan::Plan,
};
use std::{collections::BTreeMap, path::Path};
use trimtab_domain::{Bytes, Recipe};
use trimtab_kernels::{PackedFormat, PackedShape};
use trimtab_models::{ModelConfig, StoredFormat, WeightRole, WeightSpec, weight_specs};

/// Weights of one role and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightGroup {
    /// What they are for.
    pub role: WeightRole,
    /// Output channels; 1 for a vector.
    pub d_out: usize,
    /// Input channels.
    pub d_in: usize,
    /// How many there are.
    pub n: usize,
}

/// What a variant will be, known before it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Its sizes.
    pub config: ModelConfig,
    /// Its weights in the artifact.
    pub stored: Bytes,
    /// The same in memory, where narrow codes are widened.
    pub in_memory: Bytes,
    /// Names of the weights that change their format, layer by layer.
    pub weights: Vec<String>,
}

impl Prediction {
    /// What `recipe` makes of the model in `model_file`. Everything that can be known of the two
    /// together is checked: patterns that match nothing, weights that need the same format, codes
    /// that cannot be kept, an adapter that does not fit.
    ///
    /// # Errors
    ///
    /// [`CompressError`], as work on it would end.
    pub fn of_file(
        model_file: &Path,
        adapter: Option<&Path>,
        recipe: &Recipe,
    ) -> Result<Self, CompressError> {
        recipe.validate()?;
        let header = Plan::new(model_file, adapter, recipe)?.header();
        Ok(Self::new(header.config, &header.formats))
    }

    /// What `recipe` makes of a model of which only the sizes are known.
    ///
    /// # Errors
    ///
    /// [`CompressError::Recipe`].
    pub fn of_config(config: &ModelConfig, recipe: &Recipe) -> Result<Self, CompressError> {
        recipe.validate()?;
        let format = |spec: &WeightSpec| {
            let format = weight_format(recipe, kind_of(spec))?;
            Some((spec.name.clone(), format.stored))
        };
        let formats = weight_specs(config).iter().filter_map(format).collect();
        Ok(Self::new(config.clone(), &formats))
    }

    fn new(config: ModelConfig, formats: &BTreeMap<String, StoredFormat>) -> Self {
        let (mut stored, mut in_memory, mut weights) = (0, 0, Vec::new());
        for spec in weight_specs(&config) {
            let Some(format) = formats.get(&spec.name) else {
                let vector = 4 * spec.d_in as u64;
                (stored, in_memory) = (stored + vector, in_memory + vector);
                continue;
            };
            let shape = PackedShape {
                d_out: spec.d_out,
                d_in: spec.d_in,
                // Planned formats are those that kernels read.
                format: format.to_packed().unwrap_or(PackedFormat::F16),
            };
            in_memory += shape.n_bytes() as u64;
            stored += format.n_bytes(&shape) as u64;
            weights.push(spec.name);
        }
        Self {
            config,
            stored: Bytes(stored),
            in_memory: Bytes(in_memory),
            weights,
        }
    }
}

/// `names` with the weights that are multiplied as one with them, and need the same format.
pub fn with_joint_weights(config: &ModelConfig, names: &[String]) -> Vec<String> {
    let specs = weight_specs(config);
    let is_named = |spec: &&WeightSpec| names.contains(&spec.name);
    let joints: Vec<_> = specs.iter().filter(is_named).filter_map(joint).collect();
    let is_joint = |spec: &WeightSpec| joint(spec).is_some_and(|joint| joints.contains(&joint));
    let is_meant = |spec: &&WeightSpec| is_named(spec) || is_joint(spec);
    let meant = specs.iter().filter(is_meant);
    meant.map(|spec| spec.name.clone()).collect()
}

fn kind_of(spec: &WeightSpec) -> WeightKind<'_> {
    WeightKind {
        role: spec.role,
        name: &spec.name,
        d_in: spec.d_in,
    }
}

/// Size of a model's weights in memory under `recipe`; codes of 2 and 3 bits are widened to 4 there,
/// and take less in the artifact.
pub fn predicted_bytes(config: &ModelConfig, recipe: &Recipe) -> u64 {
    let bytes = |spec: &WeightSpec| n_bytes(recipe, kind_of(spec), spec.d_out);
    weight_specs(config).iter().map(bytes).sum()
}

/// Size of weights in memory under `recipe`, whatever model they belong to; overrides by name do not count.
pub fn predicted_bytes_of(groups: impl IntoIterator<Item = WeightGroup>, recipe: &Recipe) -> u64 {
    let bytes = |group: WeightGroup| {
        let kind = WeightKind {
            role: group.role,
            name: "",
            d_in: group.d_in,
        };
        group.n as u64 * n_bytes(recipe, kind, group.d_out)
    };
    groups.into_iter().map(bytes).sum()
}

fn n_bytes(recipe: &Recipe, kind: WeightKind<'_>, d_out: usize) -> u64 {
    let n_bytes = match weight_format(recipe, kind) {
        Some(format) => PackedShape {
            d_out,
            d_in: kind.d_in,
            format: format.packed,
        }
        .n_bytes(),
        None => 4 * kind.d_in,
    };
    n_bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{Bytes, KvCacheFormat, MemoryShape};

    /// The weights of DeepSeek-Coder-V2-Lite, from its published configuration; docs/capacity.md
    /// goes through them one by one.
    ///
    /// Source: DeepSeek-AI 2024, "DeepSeek-Coder-V2", <https://arxiv.org/abs/2406.11931>, and
    /// "DeepSeek-V2", <https://arxiv.org/abs/2405.04434>, sections 2.1 and 2.2.
    fn deepseek_coder_v2_lite() -> Vec<WeightGroup> {
        const D_MODEL: usize = 2_048;
        const N_LAYERS: usize = 27;
        const N_MOE: usize = N_LAYERS - 1;
        const N_EXPERTS: usize = 64 + 2;
        let linear = |d_out, d_in, n| WeightGroup {
            role: WeightRole::Linear,
            d_out,
            d_in,
            n,
        };
        let of_role = |role, d_out| WeightGroup {
            role,
            d_out,
            d_in: D_MODEL,
            n: 1,
        };
        let vector = |d_in, n| WeightGroup {
            role: WeightRole::Vector,
            d_out: 1,
            d_in,
            n,
        };
        vec![
            of_role(WeightRole::Embedding, 102_400),
            of_role(WeightRole::Head, 102_400),
            // Latent attention: queries, down to the latent row, up to keys and values, output.
            linear(16 * (128 + 64), D_MODEL, N_LAYERS),
            linear(512 + 64, D_MODEL, N_LAYERS),
            linear(16 * (128 + 128), 512, N_LAYERS),
            linear(D_MODEL, 16 * 128, N_LAYERS),
            // The first block is dense.
            linear(10_944, D_MODEL, 2),
            linear(D_MODEL, 10_944, 1),
            // Experts, routed and shared, and the router.
            linear(1_408, D_MODEL, 2 * N_EXPERTS * N_MOE),
            linear(D_MODEL, 1_408, N_EXPERTS * N_MOE),
            linear(64, D_MODEL, N_MOE),
            vector(D_MODEL, 2 * N_LAYERS + 1),
            vector(512, N_LAYERS),
        ]
    }

    #[test]
    fn sixteen_billion_weights_in_int4_with_their_text_fit_twelve_gigabytes() {
        let groups = deepseek_coder_v2_lite();
        let n_weights: usize = groups
            .iter()
            .map(|group| group.d_out * group.d_in * group.n)
            .sum();
        assert_eq!(n_weights, 15_706_484_224);
        let int4 = Recipe::preset("int4").unwrap();
        let weights = Bytes(predicted_bytes_of(groups, &int4));
        let shape = MemoryShape {
            n_layers: 27,
            n_kv_rows: 1,
            d_kv_row: 512 + 64,
            n_block_floats: 4 * 2_048 + 3 * 10_944,
            vocab_size: 102_400,
        };
        let need = shape.need(weights, 4_096, KvCacheFormat::F32);
        assert_eq!(need.weights.to_string(), "8.79 GB");
        assert_eq!(need.kv_cache.to_string(), "255 MB");
        assert!(need.total().0 * 9 / 8 < 12_000_000_000, "{need:?}");
    }

    #[test]
    fn a_file_is_as_large_as_its_weights_and_narrow_codes_are_wider_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (model, out) = (folder.path().join("m.gguf"), folder.path().join("out"));
        let tiny = trimtab_models::tiny::TinyModel::default();
        trimtab_models::tiny::write_tiny_gguf(&model, &tiny).unwrap();
        let mut narrow = Recipe::preset("int4").unwrap();
        let Some(trimtab_domain::Step::Rtn(rtn)) = narrow.steps.last_mut() else {
            panic!("int4 rounds to nearest");
        };
        rtn.bits = 2;
        for recipe in [Recipe::preset("int8").unwrap(), narrow] {
            let foreseen = Prediction::of_file(&model, None, &recipe).unwrap();
            let config = &foreseen.config;
            assert_eq!(foreseen, Prediction::of_config(config, &recipe).unwrap());
            assert_eq!(foreseen.in_memory.0, predicted_bytes(config, &recipe));
            let mut made = Vec::new();
            let mut note = |report: trimtab_domain::LayerReport, _, _| made.push(report.name);
            let compressed = crate::compress(&model, None, &recipe, &out, &mut note).unwrap();
            let mut weights = foreseen.weights.clone();
            made.sort();
            weights.sort();
            assert_eq!(made, weights);
            // The header is what the file has beside its weights.
            let header = compressed.n_bytes - foreseen.stored.0;
            assert!((100..100_000).contains(&header), "{header}");
            let widens = foreseen.in_memory > foreseen.stored;
            assert_eq!(widens, recipe.grid().unwrap().bits == 2);
        }
    }

    #[test]
    fn joint_weights_come_along() {
        let config = trimtab_models::tiny::TinyModel::default().config();
        let with = |name: &str| with_joint_weights(&config, &[name.to_owned()]);
        let attention = ["q", "k", "v"].map(|x| format!("model.layers.1.self_attn.{x}_proj"));
        assert_eq!(with("model.layers.1.self_attn.k_proj"), attention);
        let down = "model.layers.0.mlp.down_proj";
        assert_eq!(with(down), [down]);
        assert!(with("nothing").is_empty());
    }

    #[test]
    fn full_precision_takes_four_bytes_a_weight() {
        let group = WeightGroup {
            role: WeightRole::Linear,
            d_out: 3,
            d_in: 5,
            n: 7,
        };
        let f32 = Recipe::preset("f32").unwrap();
        assert_eq!(predicted_bytes_of([group], &f32), 4 * 3 * 5 * 7);
        assert_eq!(predicted_bytes_of([], &f32), 0);
    }
}
