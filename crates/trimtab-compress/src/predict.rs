//! How large the weights of a model become under a recipe, in memory and in the artifact, computed
//! before anything is made.

use crate::{
    Base, CompressError,
    format::{WeightFormat, WeightKind, weight_format},
    joint::joint,
    plan::{Plan, check_fit},
    shrink::Sizes,
};
use std::{collections::BTreeMap, path::Path};
use trimtab_domain::{Bytes, ChooseBits, Override, Recipe, Step};
use trimtab_kernels::PackedShape;
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
    /// Its weights in the artifact. Where bits are chosen, as much as it can become.
    pub stored: Bytes,
    /// The same in memory, where narrow codes are widened.
    pub in_memory: Bytes,
    /// Names of the weights that change their format, layer by layer; none where layers go, because
    /// it is not known yet which.
    pub weights: Vec<String>,
}

impl Prediction {
    /// What `recipe` makes of the model in `model_file`. Everything that can be known of the two
    /// together is checked: patterns that match nothing, weights that need the same format, codes
    /// that cannot be kept, an adapter that does not fit, layers that are not there.
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
        if recipe.steps.iter().any(Step::is_stage) {
            let base = Base::open(model_file, adapter, recipe)?;
            let prediction = Self::of_config(base.config(), recipe)?;
            check_fit(recipe, &weight_specs(&prediction.config))?;
            return Ok(prediction);
        }
        let plan = Plan::new(model_file, adapter, recipe)?;
        match recipe.steps.last() {
            Some(Step::Keep) => Ok(Self::of_formats(plan.base.config(), &plan.formats)),
            _ => Self::of_config(plan.base.config(), recipe),
        }
    }

    /// What `recipe` makes of a model of which only the sizes are known.
    ///
    /// # Errors
    ///
    /// [`CompressError::Recipe`], and [`CompressError::Shrink`] where the model cannot be shrunk as
    /// asked for.
    pub fn of_config(config: &ModelConfig, recipe: &Recipe) -> Result<Self, CompressError> {
        recipe.validate()?;
        let made = predicted_config(config, recipe)?;
        let changes = |spec: &WeightSpec| weight_format(recipe, kind_of(spec)).is_some();
        let mut weights = Vec::new();
        if made.n_layers == config.n_layers {
            let changed = weight_specs(&made).into_iter().filter(changes);
            weights.extend(changed.map(|spec| spec.name));
        }
        Ok(Self {
            stored: Bytes(of_model(&made, recipe, in_file)),
            in_memory: Bytes(of_model(&made, recipe, in_memory)),
            config: made,
            weights,
        })
    }

    fn of_formats(config: &ModelConfig, formats: &BTreeMap<String, WeightFormat>) -> Self {
        let (mut stored, mut in_memory, mut weights) = (0, 0, Vec::new());
        for spec in weight_specs(config) {
            let Some(format) = formats.get(&spec.name) else {
                let vector = 4 * spec.d_in as u64;
                (stored, in_memory) = (stored + vector, in_memory + vector);
                continue;
            };
            let shape = PackedShape {
                d_out: spec.d_out,
                d_in: spec.d_in,
                format: format.packed,
            };
            in_memory += shape.n_bytes() as u64;
            stored += format.stored.n_bytes(&shape) as u64;
            weights.push(spec.name);
        }
        Self {
            config: config.clone(),
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

/// The sizes and constants of what the steps of `recipe` that make another model leave of a model;
/// of layers that go, it is not known yet which.
///
/// # Errors
///
/// [`CompressError::Shrink`] where the model cannot be shrunk as asked for.
pub fn predicted_config(
    config: &ModelConfig,
    recipe: &Recipe,
) -> Result<ModelConfig, CompressError> {
    let mut config = config.clone();
    for step in &recipe.steps {
        if let Step::Shrink(wish) = step {
            let sizes = Sizes::after(wish, &config)?;
            let layers: Vec<usize> = (0..sizes.n_layers).collect();
            config = sizes.shrunk(&config, &layers);
        }
    }
    Ok(config)
}

/// Size of a model's weights in memory under `recipe`, after its steps that make another model;
/// codes of 2 and 3 bits are widened to 4 there, and weights pruned by a pattern have their zeros.
/// Where bits are chosen, as much as it can become.
///
/// # Errors
///
/// As [`predicted_config`].
pub fn predicted_bytes(config: &ModelConfig, recipe: &Recipe) -> Result<u64, CompressError> {
    let config = predicted_config(config, recipe)?;
    Ok(of_model(&config, recipe, in_memory))
}

/// Size of a model's weights in the artifact under `recipe`, after its steps that make another
/// model. Where bits are chosen, as much as it can become.
///
/// # Errors
///
/// As [`predicted_config`].
pub fn predicted_file_bytes(config: &ModelConfig, recipe: &Recipe) -> Result<u64, CompressError> {
    let config = predicted_config(config, recipe)?;
    Ok(of_model(&config, recipe, in_file))
}

/// Size of weights in memory under `recipe`, whatever model they belong to; overrides by name do not count.
pub fn predicted_bytes_of(groups: impl IntoIterator<Item = WeightGroup>, recipe: &Recipe) -> u64 {
    let bytes = |group: WeightGroup| {
        let kind = WeightKind {
            role: group.role,
            name: "",
            d_in: group.d_in,
        };
        group.n as u64 * n_bytes(recipe, kind, group.d_out, in_memory)
    };
    groups.into_iter().map(bytes).sum()
}

/// Counts the bytes of a weight that is stored and read as said.
type Count = fn(StoredFormat, &PackedShape) -> usize;

fn of_model(config: &ModelConfig, recipe: &Recipe, count: Count) -> u64 {
    let specs = weight_specs(config);
    match recipe.bit_choice() {
        Some(choice) => with_choice(&specs, recipe, choice, count),
        None => specs.iter().map(|spec| of_spec(recipe, spec, count)).sum(),
    }
}

/// At most: as many bytes as the budget allows and the widest codes take. In memory, codes of 2 and 3
/// bits are widened, which no budget counts.
fn with_choice(specs: &[WeightSpec], recipe: &Recipe, choice: &ChooseBits, count: Count) -> u64 {
    let sum = |recipe: &Recipe, is_linear: bool, count: Count| -> u64 {
        let some = specs.iter();
        let some = some.filter(|spec| (spec.role == WeightRole::Linear) == is_linear);
        some.map(|spec| of_spec(recipe, spec, count)).sum()
    };
    let (narrow, wide) = choice.range();
    let narrow = all_in(recipe, narrow);
    let n_linear: u64 = specs
        .iter()
        .filter(|spec| spec.role == WeightRole::Linear)
        .map(|spec| spec.d_out as u64 * spec.d_in as u64)
        .sum();
    let budget = match (choice.budget_bits, choice.budget_bytes) {
        (Some(bits), _) => (bits * n_linear as f64 / 8.0) as u64,
        (None, bytes) => {
            let others = sum(recipe, false, in_file);
            bytes.unwrap_or_default().0.saturating_sub(others)
        }
    };
    let widened = sum(&narrow, true, count).saturating_sub(sum(&narrow, true, in_file));
    let widest = sum(&all_in(recipe, wide), true, count);
    sum(recipe, false, count) + budget.saturating_add(widened).min(widest)
}

/// A recipe that rounds all weights to one width, but those whose width it says.
pub(crate) fn all_in(recipe: &Recipe, bits: u8) -> Recipe {
    let all = Override {
        pattern: "*".to_owned(),
        bits,
        group_size: None,
    };
    recipe.clone().with_overrides([all])
}

/// Bytes of a weight in the artifact.
pub(crate) fn file_bytes(recipe: &Recipe, spec: &WeightSpec) -> u64 {
    of_spec(recipe, spec, in_file)
}

fn in_file(stored: StoredFormat, shape: &PackedShape) -> usize {
    stored.n_bytes(shape)
}

fn in_memory(_: StoredFormat, shape: &PackedShape) -> usize {
    shape.n_bytes()
}

fn of_spec(recipe: &Recipe, spec: &WeightSpec, count: Count) -> u64 {
    n_bytes(recipe, kind_of(spec), spec.d_out, count)
}

fn kind_of(spec: &WeightSpec) -> WeightKind<'_> {
    WeightKind {
        role: spec.role,
        name: &spec.name,
        d_in: spec.d_in,
    }
}

fn n_bytes(recipe: &Recipe, kind: WeightKind<'_>, d_out: usize, count: Count) -> u64 {
    let n_bytes = match weight_format(recipe, kind) {
        Some(format) => {
            let shape = PackedShape {
                d_out,
                d_in: kind.d_in,
                format: format.packed,
            };
            count(format.stored, &shape)
        }
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
            let n_bytes = predicted_bytes(config, &recipe).unwrap();
            assert_eq!(foreseen.in_memory.0, n_bytes);
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
