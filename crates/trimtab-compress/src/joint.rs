//! Weights that the engine multiplies as one, and which therefore share a format.

use trimtab_models::{Part, WeightSpec};

/// Layer, expert and what they are together.
pub(crate) type Joint = (Option<usize>, Option<usize>, &'static str);

/// What `spec` is multiplied with; `None` for a weight that is multiplied by itself.
pub(crate) fn joint(spec: &WeightSpec) -> Option<Joint> {
    if spec.place.is_bias {
        return None;
    }
    let name = match spec.place.part {
        Part::Query | Part::Key | Part::Value => "queries, keys and values",
        Part::Gate | Part::Up => "gate and up",
        _ => return None,
    };
    Some((spec.place.layer, spec.place.expert, name))
}
