//! How large the weights of a model become under a recipe, in memory and in the artifact, computed
//! before anything is made.

use crate::{
    CompressError,
    format::{WeightKind, weight_format},
    shrink::Sizes,
};
use trimtab_domain::{ChooseBits, Override, Recipe, Step};
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
    Ok(of_model(&config, recipe, |_, shape| shape.n_bytes()))
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
        group.n as u64 * n_bytes(recipe, kind, group.d_out, |_, shape| shape.n_bytes())
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

fn of_spec(recipe: &Recipe, spec: &WeightSpec, count: Count) -> u64 {
    let kind = WeightKind {
        role: spec.role,
        name: &spec.name,
        d_in: spec.d_in,
    };
    n_bytes(recipe, kind, spec.d_out, count)
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
