//! Which weights of a layer stay.

use super::Pattern;
use crate::layer::{LayerError, weight::check_size};

/// Which weights of a layer stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepMask {
    d_in: usize,
    /// `[d_out, d_in]`, row-major.
    keeps: Vec<bool>,
}

impl KeepMask {
    /// All weights of a layer stay.
    pub(super) fn all(d_out: usize, d_in: usize) -> Self {
        Self {
            d_in,
            keeps: vec![true; d_out * d_in],
        }
    }

    /// Which weights stay, `[d_out, d_in]`, row-major.
    pub fn keeps(&self) -> &[bool] {
        &self.keeps
    }

    pub(super) fn keeps_mut(&mut self) -> &mut [bool] {
        &mut self.keeps
    }

    /// Input channels.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// How many weights stay.
    pub fn n_kept(&self) -> usize {
        self.keeps.iter().filter(|keep| **keep).count()
    }

    /// Share of the weights that go.
    pub fn sparsity(&self) -> f64 {
        1.0 - self.n_kept() as f64 / self.keeps.len() as f64
    }

    /// Sets the weights that go to 0.
    ///
    /// # Errors
    ///
    /// [`LayerError::Size`] for a weight of another size; it is not changed then.
    pub fn apply(&self, weight: &mut [f32]) -> Result<(), LayerError> {
        check_size("the weight", self.keeps.len(), weight.len())?;
        for (w, keep) in weight.iter_mut().zip(&self.keeps) {
            if !keep {
                *w = 0.0;
            }
        }
        Ok(())
    }
}

/// Removes the `n` weights of the lowest scores; of equal ones, those that come first.
pub(super) fn remove_lowest(scores: &[f64], n: usize, keeps: &mut [bool]) {
    if n == 0 {
        return;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if n < order.len() {
        let by_score = |a: &usize, b: &usize| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b));
        order.select_nth_unstable_by(n, by_score);
    }
    for idx in &order[..n] {
        keeps[*idx] = false;
    }
}

/// Removes the lowest scores of every group of one row.
pub(super) fn remove_by_pattern(scores: &[f64], pattern: Pattern, keeps: &mut [bool]) {
    let groups = scores.chunks_exact(pattern.of);
    for (scores, keeps) in groups.zip(keeps.chunks_exact_mut(pattern.of)) {
        remove_lowest(scores, pattern.of - pattern.kept, keeps);
    }
}

/// How many of `n_weights` are a share of them, rounded down.
pub(super) fn share_of(n_weights: usize, share: f64) -> usize {
    (n_weights as f64 * share) as usize
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_go_and_the_first_of_equals() {
        let mut mask = KeepMask::all(1, 6);
        remove_lowest(&[2.0, 1.0, 3.0, 1.0, 1.0, 0.5], 3, mask.keeps_mut());
        assert_eq!(mask.keeps(), [true, false, true, false, true, false]);
        assert_eq!((mask.n_kept(), mask.sparsity()), (3, 0.5));
        let mut weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        mask.apply(&mut weight).unwrap();
        assert_eq!(weight, [1.0, 0.0, 3.0, 0.0, 5.0, 0.0]);
        assert!(mask.apply(&mut [0.0; 5]).is_err());
        remove_lowest(&[0.0; 6], 6, mask.keeps_mut());
        assert_eq!(mask.n_kept(), 0);
    }

    #[test]
    fn a_pattern_holds_in_every_group() {
        let mut mask = KeepMask::all(1, 6);
        let pattern = Pattern { kept: 1, of: 3 };
        remove_by_pattern(&[3.0, 2.0, 1.0, 7.0, 7.0, 7.0], pattern, mask.keeps_mut());
        assert_eq!(mask.keeps(), [true, false, false, false, false, true]);
    }
}
