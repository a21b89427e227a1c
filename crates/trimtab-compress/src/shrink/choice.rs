//! Which groups of a layer's input channels matter least, and what the others do in their place.
//!
//! A group matters as much as the energy of what it adds to the layer's output on the calibration
//! text, `E‖W_g·x_g‖² = ½·tr(W_g·H_gg·W_gᵀ)`. For single channels that is the squared norm of a
//! column times that of its input, which Sun et al. 2023 (Wanda, <https://arxiv.org/abs/2306.11695>)
//! score weights by and An et al. 2023 (FLAP, <https://arxiv.org/abs/2312.11983>) sum up over
//! structures; for heads it also counts how their channels act together. Which weights belong to a
//! group is from Ma et al. 2023 (LLM-Pruner, <https://arxiv.org/abs/2305.11627>), section 3.1.

use super::{cut::channels, stand_in::stand_in};
use crate::layer::{Hessian, LayerError};
use rayon::prelude::*;

/// What is chosen of a layer's input channels.
pub(super) struct Choice {
    /// Groups that stay, ascending.
    pub(super) kept: Vec<usize>,
    /// Groups that go, ascending, each with its share of the energy of all.
    pub(super) removed: Vec<(usize, f64)>,
    /// `[d_out, d_in]`, zeros in the columns that go, the others doing what they can in their place.
    pub(super) weight: Vec<f32>,
}

/// Keeps the `n_kept` groups of `width` consecutive input channels that matter most.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `d_in` is a multiple of `width`
///
/// # Errors
///
/// [`LayerError::Undampable`] where no system can be solved.
pub(super) fn choose(
    weight: Vec<f32>,
    hessian: &Hessian,
    width: usize,
    n_kept: usize,
) -> Result<Choice, LayerError> {
    let energies = energies(&weight, hessian, width);
    let total: f64 = energies.iter().sum();
    let share = |group: usize| match total > 0.0 {
        true => energies[group] / total,
        false => 0.0,
    };
    let mut order: Vec<usize> = (0..energies.len()).collect();
    order.sort_by(|a, b| energies[*b].total_cmp(&energies[*a]).then(a.cmp(b)));
    let mut removed = order.split_off(n_kept);
    order.sort_unstable();
    removed.sort_unstable();
    let mut weight = weight;
    stand_in(
        &mut weight,
        hessian,
        &channels(&order, width),
        &channels(&removed, width),
    )?;
    Ok(Choice {
        kept: order,
        removed: removed
            .iter()
            .map(|group| (*group, share(*group)))
            .collect(),
        weight,
    })
}

/// `½·tr(W_g·H_gg·W_gᵀ)` of every group.
fn energies(weight: &[f32], hessian: &Hessian, width: usize) -> Vec<f64> {
    let d_in = hessian.d_in();
    let of_row = |row: &[f32], first: usize| -> f64 {
        let part = &row[first..first + width];
        let products = part.iter().enumerate().map(|(i, w)| {
            let moments = &hessian.values()[(first + i) * d_in + first..][..width];
            let dot: f64 = part
                .iter()
                .zip(moments)
                .map(|(v, h)| f64::from(*v) * h)
                .sum();
            f64::from(*w) * dot
        });
        products.sum()
    };
    (0..d_in / width)
        .into_par_iter()
        .map(|group| {
            let rows = weight.chunks_exact(d_in);
            0.5 * rows.map(|row| of_row(row, group * width)).sum::<f64>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::HessianSum;

    /// Inputs of four channels of which the third is a copy of the first.
    fn hessian() -> Hessian {
        let inputs: Vec<f32> = (0..64)
            .flat_map(|token| {
                let at = |k: f32| (token as f32 * k).sin();
                [at(1.7), at(0.9), at(1.7), 0.1 * at(2.3)]
            })
            .collect();
        let mut sum = HessianSum::new(4).unwrap();
        sum.add(&inputs).unwrap();
        sum.finish().unwrap().0
    }

    #[test]
    fn energy_is_the_mean_square_of_what_a_group_adds() {
        let hessian = hessian();
        let weight = [1.0, 2.0, -1.0, 3.0, 0.5, 0.0, 0.0, 1.0];
        let single = energies(&weight, &hessian, 1);
        let mean_square = |channel: usize| 0.5 * hessian.values()[channel * 5];
        let want = 1.25 * mean_square(0);
        assert!((single[0] - want).abs() < 1e-12, "{} {want}", single[0]);
        let pairs = energies(&weight, &hessian, 2);
        let cross = hessian.values()[1];
        let want = single[0] + single[1] + 2.0 * cross;
        assert!((pairs[0] - want).abs() < 1e-9, "{} {want}", pairs[0]);
    }

    #[test]
    fn the_least_energy_goes_and_its_copy_does_its_part() {
        let weight = vec![1.0, 2.0, 0.5, 3.0];
        let choice = choose(weight, &hessian(), 1, 3).unwrap();
        assert_eq!(choice.kept, [0, 1, 2]);
        let weight = vec![1.0, 2.0, 0.1, 9.0];
        let choice = choose(weight, &hessian(), 1, 3).unwrap();
        assert_eq!(choice.kept, [0, 1, 3]);
        assert_eq!(choice.removed.len(), 1);
        let (group, score) = choice.removed[0];
        assert!(group == 2 && score > 0.0 && score < 0.01, "{group} {score}");
        // Damping keeps the copy from taking over all of it.
        assert!(
            (choice.weight[0] - 1.1).abs() < 0.005,
            "{:?}",
            choice.weight
        );
        assert!(choice.weight[2].abs() <= 0.0, "{:?}", choice.weight);
    }

    #[test]
    fn what_adds_nothing_goes_first_and_leaves_the_others_as_they_are() {
        let weight = vec![1.0, 0.0, 0.25, 3.0];
        let choice = choose(weight.clone(), &hessian(), 1, 3).unwrap();
        assert_eq!(choice.removed, [(1, 0.0)]);
        assert_eq!(choice.weight, weight);
    }
}
