//! Which channels of a layer's weights stay, and how a weight is cut to them.

use super::sizes::heads_per_group;
use serde::{Deserialize, Serialize};
use trimtab_models::{ModelConfig, Part, WeightSpec};

/// What stays of a layer, by numbers in ascending order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LayerCut {
    /// Its number in the model that it is taken from.
    pub(super) source: usize,
    /// Key and value heads.
    pub(super) kv_heads: Vec<usize>,
    /// Hidden channels of the MLP.
    pub(super) neurons: Vec<usize>,
}

impl LayerCut {
    /// All of a layer.
    pub(super) fn whole(config: &ModelConfig, source: usize) -> Self {
        Self {
            source,
            kv_heads: (0..config.n_kv_heads).collect(),
            neurons: (0..config.d_ff).collect(),
        }
    }

    /// A weight of the layer without the channels that go.
    ///
    /// # Shapes
    ///
    /// - `weight`: `[d_out, d_in]` of `spec`, a weight of the whole model
    pub(super) fn applied(
        &self,
        config: &ModelConfig,
        spec: &WeightSpec,
        weight: Vec<f32>,
    ) -> Vec<f32> {
        let per_head = config.d_head;
        let query = || channels(&self.kv_heads, heads_per_group(config) * per_head);
        let keeps_heads = self.kv_heads.len() == config.n_kv_heads;
        let keeps_neurons = self.neurons.len() == config.d_ff;
        // A bias follows the rows of its weight.
        let (d_out, d_in) = match spec.place.is_bias {
            true => (spec.d_in, 1),
            false => (spec.d_out, spec.d_in),
        };
        debug_assert_eq!(weight.len(), d_out * d_in);
        match spec.place.part {
            Part::Query if !keeps_heads => rows(&weight, d_in, &query()),
            Part::Key | Part::Value if !keeps_heads => {
                rows(&weight, d_in, &channels(&self.kv_heads, per_head))
            }
            Part::Gate | Part::Up if !keeps_neurons => rows(&weight, d_in, &self.neurons),
            Part::Output if !keeps_heads && !spec.place.is_bias => columns(&weight, d_in, &query()),
            Part::Down if !keeps_neurons && !spec.place.is_bias => {
                columns(&weight, d_in, &self.neurons)
            }
            _ => weight,
        }
    }
}

/// The channels of groups of `width`.
pub(super) fn channels(groups: &[usize], width: usize) -> Vec<usize> {
    let of = |group: &usize| group * width..(group + 1) * width;
    groups.iter().flat_map(of).collect()
}

fn rows(weight: &[f32], d_in: usize, kept: &[usize]) -> Vec<f32> {
    let row = |idx: &usize| weight[idx * d_in..][..d_in].iter().copied();
    kept.iter().flat_map(row).collect()
}

/// The columns `kept` of `[n_rows, d_in]`.
pub(super) fn columns(weight: &[f32], d_in: usize, kept: &[usize]) -> Vec<f32> {
    let row = |row: &[f32]| -> Vec<f32> { kept.iter().map(|idx| row[*idx]).collect() };
    weight.chunks_exact(d_in).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_models::{Architecture, tiny::TinyModel, weight_specs};

    #[test]
    fn weights_lose_the_rows_or_columns_of_what_goes() {
        let tiny = TinyModel {
            architecture: Architecture::Qwen2,
            ..TinyModel::default()
        };
        let config = tiny.config();
        let cut = LayerCut {
            source: 1,
            kv_heads: vec![1],
            neurons: vec![0, 3, 159],
        };
        let specs = weight_specs(&config);
        let check = |part: Part, is_bias: bool, want: &dyn Fn(usize, usize) -> bool| {
            let is_it = |spec: &&WeightSpec| {
                let place = spec.place;
                (place.part, place.layer, place.is_bias) == (part, Some(1), is_bias)
            };
            let spec = specs.iter().find(is_it).unwrap();
            let (n_rows, n_columns) = match is_bias {
                true => (spec.d_in, 1),
                false => (spec.d_out, spec.d_in),
            };
            let weight: Vec<f32> = (0..n_rows * n_columns).map(|idx| idx as f32).collect();
            let kept: Vec<f32> = weight
                .iter()
                .copied()
                .filter(|idx| want(*idx as usize / n_columns, *idx as usize % n_columns))
                .collect();
            assert!(kept.len() < weight.len());
            assert_eq!(cut.applied(&config, spec, weight), kept, "{part:?}");
        };
        // Two key and value heads of 16 channels, three query heads each.
        for is_bias in [false, true] {
            check(Part::Query, is_bias, &|row, _| row >= 48);
            check(Part::Key, is_bias, &|row, _| row >= 16);
            check(Part::Value, is_bias, &|row, _| row >= 16);
        }
        check(Part::Output, false, &|_, column| column >= 48);
        let is_kept = |idx: usize| [0, 3, 159].contains(&idx);
        check(Part::Gate, false, &|row, _| is_kept(row));
        check(Part::Up, false, &|row, _| is_kept(row));
        check(Part::Down, false, &|_, column| is_kept(column));
    }

    #[test]
    fn a_whole_layer_is_not_cut() {
        let config = TinyModel::default().config();
        let cut = LayerCut::whole(&config, 0);
        for spec in weight_specs(&config) {
            let weight = vec![0.5; spec.d_out * spec.d_in];
            assert_eq!(cut.applied(&config, &spec, weight.clone()), weight);
        }
    }
}
