//! The weight of a layer, as the methods see it.

use super::LayerError;
use rayon::prelude::*;

/// A number that weights consist of: f32 in models, f64 where exact values are compared.
pub trait WeightFloat: Copy + Into<f64> + Send + Sync {}

impl WeightFloat for f32 {}
impl WeightFloat for f64 {}

/// A weight matrix of finite numbers, `[d_out, d_in]`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct WeightView<'a, T> {
    d_out: usize,
    d_in: usize,
    values: &'a [T],
}

impl<'a, T: WeightFloat> WeightView<'a, T> {
    /// Sees `values` as a matrix.
    ///
    /// # Errors
    ///
    /// [`LayerError`] if it has no rows or columns, another size, or a value that is not finite.
    pub fn new(d_out: usize, d_in: usize, values: &'a [T]) -> Result<Self, LayerError> {
        if d_out == 0 || d_in == 0 {
            return Err(LayerError::Empty("the weight"));
        }
        let expected = d_out.saturating_mul(d_in);
        if values.len() != expected {
            return Err(LayerError::Size {
                what: "the weight",
                expected,
                got: values.len(),
            });
        }
        check_finite("the weight", values)?;
        Ok(Self {
            d_out,
            d_in,
            values,
        })
    }

    /// Output channels.
    pub fn d_out(&self) -> usize {
        self.d_out
    }

    /// Input channels.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// All values.
    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// One output channel.
    pub fn row(&self, row_idx: usize) -> &'a [T] {
        &self.values[row_idx * self.d_in..][..self.d_in]
    }

    /// Refuses a weight whose input channels are not `d_in`.
    pub(super) fn check_d_in(&self, what: &'static str, d_in: usize) -> Result<(), LayerError> {
        check_size(what, self.d_in, d_in)
    }
}

/// Refuses another number of values than `expected`.
pub(super) fn check_size(
    what: &'static str,
    expected: usize,
    got: usize,
) -> Result<(), LayerError> {
    if got == expected {
        return Ok(());
    }
    Err(LayerError::Size {
        what,
        expected,
        got,
    })
}

/// Refuses NaN and infinite values, naming the first.
pub(super) fn check_finite<T: WeightFloat>(
    what: &'static str,
    values: &[T],
) -> Result<(), LayerError> {
    /// Values that are looked at without a branch.
    const CHUNK: usize = 4096;
    let is_finite = |value: &T| (*value).into().is_finite();
    let are_finite = |chunk: &[T]| chunk.iter().fold(true, |all, value| all & is_finite(value));
    let chunks = values.par_chunks(CHUNK);
    let Some(chunk_idx) = chunks.position_first(|chunk| !are_finite(chunk)) else {
        return Ok(());
    };
    let rest = values.iter().enumerate().skip(chunk_idx * CHUNK);
    let mut wrong = rest.filter(|(_, value)| !is_finite(value));
    match wrong.next() {
        None => Ok(()),
        Some((index, value)) => Err(LayerError::NotFinite {
            what,
            index,
            value: (*value).into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_are_no_finite_matrix_are_refused() {
        assert!(WeightView::new(2, 2, &[1.0_f32; 4]).is_ok());
        let refused = |d_out, d_in, values: &[f32]| {
            WeightView::new(d_out, d_in, values)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refused(0, 2, &[]), "the weight is empty");
        assert_eq!(
            refused(2, 2, &[0.0; 3]),
            "the weight: 3 values where 4 belong"
        );
        assert_eq!(
            refused(1, 2, &[0.0, f32::NAN]),
            "the weight: value 1 is NaN, which is not finite"
        );
        let mut long = vec![0.0_f32; 3 * 4096 + 7];
        (long[9_000], long[12_294]) = (f32::INFINITY, f32::NAN);
        assert_eq!(
            refused(1, long.len(), &long),
            "the weight: value 9000 is inf, which is not finite"
        );
        assert!(refused(usize::MAX, 2, &[0.0]).starts_with("the weight: 1 values"));
    }
}
