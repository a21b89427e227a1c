//! Round to nearest: every weight becomes the nearest code of its group's grid.
//!
//! The baseline of all quantisation methods; uses no calibration data.
//! Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization",
//! <https://arxiv.org/abs/2106.08295>, section 2.1.

use super::{GridSpec, GroupGrid, Grouping, LayerCodes, LayerError, WeightFloat, WeightView};
use rayon::prelude::*;

/// Rounds every weight to the nearest code of its group's grid.
///
/// # Errors
///
/// [`LayerError`] for a grid that is not offered, or a scale that its format cannot hold.
///
/// # Cost
///
/// One pass over the weight on all cores; eighty with a search of the range.
pub fn round_to_nearest<T: WeightFloat>(
    weight: WeightView<'_, T>,
    spec: &GridSpec,
) -> Result<LayerCodes, LayerError> {
    spec.check()?;
    let grids = grids_of(weight, spec, |_| false);
    let (d_in, group_size) = (weight.d_in(), spec.group_size(weight.d_in()));
    let mut codes = vec![0; weight.values().len()];
    codes
        .par_chunks_exact_mut(d_in)
        .zip(grids.par_chunks_exact(d_in.div_ceil(group_size)))
        .enumerate()
        .for_each(|(row_idx, (codes, grids))| {
            let groups = codes
                .chunks_mut(group_size)
                .zip(weight.row(row_idx).chunks(group_size));
            for ((codes, group), grid) in groups.zip(grids) {
                for (code, w) in codes.iter_mut().zip(group) {
                    *code = grid.code((*w).into()) as u8;
                }
            }
        });
    let layer = LayerCodes {
        d_out: weight.d_out(),
        d_in,
        bits: spec.bits,
        group_size,
        codes,
        scales: Vec::new(),
        zero_points: Vec::new(),
        group_idx: None,
    };
    layer.with_grids(&grids)
}

/// The grid of every group, `[d_out, n_groups]`; weights of columns that do not count are taken for 0.
pub(super) fn grids_of<T: WeightFloat>(
    weight: WeightView<'_, T>,
    spec: &GridSpec,
    is_dead: impl Fn(usize) -> bool + Sync,
) -> Vec<GroupGrid> {
    let value = |(column, w): (usize, &T)| {
        if is_dead(column % weight.d_in()) {
            0.0
        } else {
            (*w).into()
        }
    };
    if spec.grouping == Grouping::Tensor {
        let values: Vec<f64> = weight.values().iter().enumerate().map(value).collect();
        return vec![GroupGrid::of(&values, spec); weight.d_out()];
    }
    let group_size = spec.group_size(weight.d_in());
    (0..weight.d_out())
        .into_par_iter()
        .flat_map_iter(|row_idx| {
            let row: Vec<f64> = weight.row(row_idx).iter().enumerate().map(value).collect();
            row.chunks(group_size)
                .map(|group| GroupGrid::of(group, spec))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;
    use crate::layer::{RangeSearch, ScaleFormat};

    fn spec(grouping: Grouping) -> GridSpec {
        GridSpec {
            bits: 4,
            grouping,
            symmetric: false,
            search: RangeSearch::FullRange,
            scale_format: ScaleFormat::F16,
        }
    }

    fn weight(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.731).sin() * 0.2).collect()
    }

    #[test]
    fn every_grouping_gives_a_grid_weight_that_is_near() {
        let values = weight(5 * 70);
        let view = WeightView::new(5, 70, &values).unwrap();
        for (grouping, group_size, n_groups) in [
            (Grouping::Size(32), 32, 3),
            (Grouping::Size(1), 1, 70),
            (Grouping::Size(1000), 70, 1),
            (Grouping::Row, 70, 1),
            (Grouping::Tensor, 70, 1),
        ] {
            let layer = round_to_nearest(view, &spec(grouping)).unwrap();
            assert_eq!((layer.group_size, layer.n_groups()), (group_size, n_groups));
            let want: Vec<f32> = layer.dequantize().iter().map(|w| *w as f32).collect();
            let grid = layer.into_grid_weight();
            assert_eq!(grid.dequantize(), want);
            for (w, rounded) in values.iter().zip(want) {
                // Half a step of a range of 0.4, and the clipping by a scale of 11 bits.
                assert!(
                    (w - rounded).abs() <= 0.51 * 0.4 / 15.0,
                    "{w} became {rounded}"
                );
            }
        }
    }

    #[test]
    fn one_grid_for_all_is_the_same_in_every_row() {
        let values = weight(6);
        let layer = round_to_nearest(
            WeightView::new(3, 2, &values).unwrap(),
            &spec(Grouping::Tensor),
        );
        let scales = layer.unwrap().scales;
        assert!(scales.len() == 3 && scales.iter().all(|scale| *scale == scales[0]));
    }

    #[test]
    fn a_scale_beyond_its_format_is_refused() {
        let values = [1.0, 1e7];
        let view = WeightView::new(2, 1, &values).unwrap();
        let error = round_to_nearest(view, &spec(Grouping::Row)).unwrap_err();
        assert_eq!(error, LayerError::ScaleTooLarge { row: 1 });
        let of_zero = round_to_nearest(view, &spec(Grouping::Size(0))).unwrap_err();
        assert_eq!(of_zero, LayerError::GroupSize);
    }
}
