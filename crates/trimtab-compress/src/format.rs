//! Which number format a recipe gives to which weight.

use trimtab_domain::{Activations, FloatFormat, Recipe, Step};
use trimtab_kernels::PackedFormat;
use trimtab_models::WeightRole;

/// Group of the embedding and the head when they are stored in 8 bits.
const EMBEDDING_GROUP: usize = 64;

/// The format of a weight under `recipe`; `None` for vectors, which stay in f32. Kept codes have
/// the format of their checkpoint ([`crate::keep`]); all else beside them is stored in f16.
pub(crate) fn weight_format(recipe: &Recipe, role: WeightRole) -> Option<PackedFormat> {
    if role == WeightRole::Vector {
        return None;
    }
    let step = recipe.steps.last()?;
    Some(match *step {
        Step::Cast {
            to: FloatFormat::F32,
        } => PackedFormat::F32,
        Step::Cast {
            to: FloatFormat::F16,
        }
        | Step::Keep
        | Step::MergeAdapter { .. } => PackedFormat::F16,
        Step::Cast {
            to: FloatFormat::Bf16,
        } => PackedFormat::Bf16,
        Step::Rtn {
            bits,
            group_size,
            embedding_bits,
            activations,
            ..
        } => {
            let int8_activations = activations == Activations::Int8;
            let group_size = group_size as usize;
            match (role, bits, embedding_bits) {
                (WeightRole::Kept, _, _) => PackedFormat::F16,
                (WeightRole::Linear, 8, _) => PackedFormat::Int8 {
                    group_size,
                    int8_activations,
                },
                (WeightRole::Linear, _, _) => PackedFormat::Int4 {
                    group_size,
                    int8_activations,
                },
                // The head's scores are the answer itself: rounding its activations too costs 0.8 %
                // of perplexity (SmolLM2-135M) and saves no memory traffic.
                (_, _, 8) => PackedFormat::Int8 {
                    group_size: EMBEDDING_GROUP,
                    int8_activations: false,
                },
                (_, _, _) => PackedFormat::F16,
            }
        }
    })
}

/// Whether 4-bit codes of the linear layers are centred on zero.
pub(crate) fn is_symmetric(recipe: &Recipe) -> bool {
    matches!(
        recipe.steps.last(),
        Some(Step::Rtn {
            symmetric: true,
            ..
        })
    )
}
