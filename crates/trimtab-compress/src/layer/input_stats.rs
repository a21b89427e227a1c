//! What a layer's inputs look like channel by channel: all that Wanda and AWQ ask of calibration.

use super::{
    LayerError,
    weight::{check_finite, check_size},
};

/// Mean size of every input channel.
#[derive(Clone, Debug, PartialEq)]
pub struct InputStats {
    /// Tokens seen.
    pub n_tokens: u64,
    /// Mean of |x|, `[d_in]`.
    pub mean_abs: Vec<f64>,
    /// Mean of x², `[d_in]`.
    pub mean_square: Vec<f64>,
}

impl InputStats {
    /// Root of the mean of x², `[d_in]`: the norm of each channel, divided by the same number for all.
    pub fn norms(&self) -> Vec<f64> {
        self.mean_square.iter().map(|mean| mean.sqrt()).collect()
    }
}

/// [`InputStats`] in the making; sums in f64.
#[derive(Clone, Debug)]
pub struct InputStatsSum {
    n_tokens: u64,
    abs: Vec<f64>,
    squares: Vec<f64>,
}

impl InputStatsSum {
    /// No token yet.
    ///
    /// # Errors
    ///
    /// [`LayerError::Empty`] for no channels.
    pub fn new(d_in: usize) -> Result<Self, LayerError> {
        if d_in == 0 {
            return Err(LayerError::Empty("the layer's input"));
        }
        Ok(Self {
            n_tokens: 0,
            abs: vec![0.0; d_in],
            squares: vec![0.0; d_in],
        })
    }

    /// Adds `inputs`, `[n_tokens, d_in]`, row-major.
    ///
    /// # Errors
    ///
    /// [`LayerError`] for a part of a row, NaN or an infinite value; nothing is added then.
    pub fn add(&mut self, inputs: &[f32]) -> Result<(), LayerError> {
        self.check(inputs)?;
        self.add_checked(inputs);
        Ok(())
    }

    /// Means over the tokens that were added.
    ///
    /// # Errors
    ///
    /// [`LayerError::NoTokens`]
    pub fn finish(self) -> Result<InputStats, LayerError> {
        if self.n_tokens == 0 {
            return Err(LayerError::NoTokens);
        }
        let mean = |sum: f64| sum / self.n_tokens as f64;
        Ok(InputStats {
            n_tokens: self.n_tokens,
            mean_abs: self.abs.into_iter().map(mean).collect(),
            mean_square: self.squares.into_iter().map(mean).collect(),
        })
    }

    pub(super) fn check(&self, inputs: &[f32]) -> Result<(), LayerError> {
        let d_in = self.abs.len();
        check_size(
            "the layer's inputs",
            inputs.len() / d_in * d_in,
            inputs.len(),
        )?;
        check_finite("the layer's inputs", inputs)
    }

    pub(super) fn add_checked(&mut self, inputs: &[f32]) {
        for row in inputs.chunks_exact(self.abs.len()) {
            let sums = self.abs.iter_mut().zip(&mut self.squares);
            for ((abs, square), x) in sums.zip(row) {
                let x = f64::from(*x);
                *abs += x.abs();
                *square += x * x;
            }
            self.n_tokens += 1;
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn means_are_taken_over_all_tokens() {
        let mut sum = InputStatsSum::new(2).unwrap();
        sum.add(&[1.0, -2.0, 3.0, 0.0]).unwrap();
        sum.add(&[-5.0, 2.0]).unwrap();
        let stats = sum.finish().unwrap();
        assert_eq!(stats.n_tokens, 3);
        assert_eq!(stats.mean_abs, [3.0, 4.0 / 3.0]);
        assert_eq!(stats.mean_square, [35.0 / 3.0, 8.0 / 3.0]);
        assert_eq!(stats.norms()[1], (8.0_f64 / 3.0).sqrt());
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused() {
        assert!(InputStatsSum::new(0).is_err());
        let mut sum = InputStatsSum::new(2).unwrap();
        assert_eq!(
            sum.add(&[1.0; 3]).unwrap_err().to_string(),
            "the layer's inputs: 3 values where 2 belong"
        );
        assert_eq!(
            sum.add(&[0.0, 1.0, f32::INFINITY, 0.0])
                .unwrap_err()
                .to_string(),
            "the layer's inputs: value 2 is inf, which is not finite"
        );
        assert_eq!(sum.finish(), Err(LayerError::NoTokens));
    }
}
