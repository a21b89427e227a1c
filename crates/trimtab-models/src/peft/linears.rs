//! The layers of a model that an adapter can change.

use crate::{Layout, ModelConfig, Part, WeightRole, weight_specs};
use std::collections::BTreeSet;

/// A linear layer, as an adapter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptableLinear {
    /// Its path in the model, without a final `.weight`.
    pub name: String,
    /// Output channels.
    pub d_out: usize,
    /// Input channels.
    pub d_in: usize,
    /// How checkpoints store its weight; factors follow the order of its rows.
    pub layout: Layout,
}

/// The linear layers of a model: those of the decoder blocks, and the head where it is not the
/// embedding.
pub fn adaptable_linears(config: &ModelConfig) -> Vec<AdaptableLinear> {
    let specs = weight_specs(config).into_iter();
    let linears = specs.filter(|spec| match spec.role {
        WeightRole::Linear | WeightRole::Head => true,
        // A router is no layer of its own in the reference implementation.
        WeightRole::Kept => !matches!(spec.place.part, Part::Positions | Part::Router),
        WeightRole::Embedding | WeightRole::Vector => false,
    });
    linears
        .map(|spec| AdaptableLinear {
            name: spec.name,
            d_out: spec.d_out,
            d_in: spec.d_in,
            layout: spec.layout,
        })
        .collect()
}

/// The last parts of all names, for messages.
pub(super) fn available(linears: &[AdaptableLinear]) -> String {
    let last = |linear: &AdaptableLinear| {
        let name = linear.name.as_str();
        format!("`{}`", name.rsplit('.').next().unwrap_or(name))
    };
    let names: BTreeSet<String> = linears.iter().map(last).collect();
    Vec::from_iter(names).join(", ")
}
