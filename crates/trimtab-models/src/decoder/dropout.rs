//! Inputs of an adapter that are left out at random while it is trained.
//!
//! Source: Srivastava et al. 2014, <https://jmlr.org/papers/v15/srivastava14a.html>, section 4. The
//! mask is a function of its seed alone, so that training can be resumed and gives the same numbers
//! on any number of threads.

use burn::tensor::{Device, Tensor, TensorData};

/// Which inputs are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of inputs that are left out, from 0 to below 1.
    pub probability: f32,
    /// What the choice is made from.
    pub seed: u64,
}

impl Dropout {
    /// 0 for inputs that are left out, and for the others what keeps the mean.
    pub(super) fn mask(&self, dims: [usize; 3], device: &Device) -> Tensor<3> {
        let values = (0..dims.iter().product()).map(|idx: usize| self.factor(idx as u64));
        let data = TensorData::new(values.collect::<Vec<f32>>(), dims);
        Tensor::from_data(data, device)
    }

    fn factor(&self, idx: u64) -> f32 {
        const STEPS: f32 = (1 << 24) as f32;
        let uniform = (mixed(self.seed.wrapping_add(mixed(idx))) >> 40) as f32 / STEPS;
        if uniform < self.probability {
            0.0
        } else {
            1.0 / (1.0 - self.probability)
        }
    }
}

/// A number whose bits all depend on all bits of `value` (Steele et al. 2014, "Fast splittable
/// pseudorandom number generators", figure 14).
fn mixed(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_leave_out_their_share_keep_the_mean_and_follow_the_seed() {
        let factors = |seed| -> Vec<f32> {
            let dropout = Dropout {
                probability: 0.3,
                seed,
            };
            (0..20_000).map(|idx| dropout.factor(idx)).collect()
        };
        let mask = factors(1);
        let n_left_out = mask.iter().filter(|factor| **factor == 0.0).count();
        assert!(
            (n_left_out as f32 / 20_000.0 - 0.3).abs() < 0.02,
            "{n_left_out}"
        );
        let mean = mask.iter().sum::<f32>() / 20_000.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert_eq!(mask, factors(1));
        assert_ne!(mask, factors(2));
    }
}
