//! How many weights go, and whether their places follow a pattern.

use crate::layer::LayerError;

/// How many weights are removed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sparsity {
    /// This share, between 0 and 1, wherever the method likes.
    Share(f64),
    /// All but so many of every few consecutive weights of a row.
    Pattern(Pattern),
}

/// n:m sparsity: of every `of` consecutive weights of a row, `kept` stay. 2:4 keeps two of four.
///
/// Source: Zhou et al. 2021, "Learning N:M Fine-grained Structured Sparse Neural Networks From
/// Scratch", <https://arxiv.org/abs/2102.04010>, section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Weights kept of each group.
    pub kept: usize,
    /// Weights in each group.
    pub of: usize,
}

/// The largest group of a pattern: places in it fit a byte.
const MAX_GROUP: usize = 256;

impl Sparsity {
    /// Refuses a sparsity that leaves nothing, removes nothing, or does not fit rows of `d_in` weights.
    ///
    /// # Errors
    ///
    /// [`LayerError::Sparsity`], [`LayerError::Pattern`], [`LayerError::PatternDoesNotFit`]
    pub fn check(self, d_in: usize) -> Result<(), LayerError> {
        match self {
            Self::Share(share) if share > 0.0 && share < 1.0 => Ok(()),
            Self::Share(share) => Err(LayerError::Sparsity(share)),
            Self::Pattern(pattern) => pattern.check(d_in),
        }
    }
}

impl Pattern {
    /// Refuses a pattern that keeps nothing or all, or does not divide rows of `d_in` weights.
    ///
    /// # Errors
    ///
    /// [`LayerError::Pattern`], [`LayerError::PatternDoesNotFit`]
    pub fn check(self, d_in: usize) -> Result<(), LayerError> {
        let Self { kept, of } = self;
        if kept == 0 || kept >= of || of > MAX_GROUP {
            return Err(LayerError::Pattern { kept, of });
        }
        if !d_in.is_multiple_of(of) {
            return Err(LayerError::PatternDoesNotFit { d_in, of });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparsities_that_make_no_sense_are_refused() {
        for share in [0.0, 1.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
            let error = Sparsity::Share(share).check(8).unwrap_err();
            assert!(matches!(error, LayerError::Sparsity(_)), "{share}");
        }
        for (kept, of) in [(5, 4), (4, 4), (0, 4), (0, 0), (1, 1), (1, 257)] {
            let error = Sparsity::Pattern(Pattern { kept, of }).check(8);
            assert_eq!(error, Err(LayerError::Pattern { kept, of }));
        }
        let error = Pattern { kept: 1, of: 3 }.check(8);
        assert_eq!(error, Err(LayerError::PatternDoesNotFit { d_in: 8, of: 3 }));
        assert_eq!(Pattern { kept: 2, of: 4 }.check(8), Ok(()));
        assert_eq!(Sparsity::Share(0.5).check(8), Ok(()));
    }
}
