//! What is asked of values that base and variant have on the same problems.
//!
//! Each function takes the pairs in any order and may reorder them, as
//! [`bootstrap`](crate::bootstrap) allows; `None` means that the value is undefined.

/// One problem's value on both sides: a latency, a CodeBLEU score, a BLEU score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedValues {
    /// The base's value.
    pub base: f64,
    /// The variant's value.
    pub variant: f64,
}

/// Mean of variant − base.
pub fn mean_difference(pairs: &mut [PairedValues]) -> Option<f64> {
    let sum: f64 = pairs.iter().map(|pair| pair.variant - pair.base).sum();
    (!pairs.is_empty()).then(|| sum / pairs.len() as f64)
}

/// Mean of the variant / mean of the base; undefined unless the base's mean is positive.
pub fn ratio_of_means(pairs: &mut [PairedValues]) -> Option<f64> {
    let base: f64 = pairs.iter().map(|pair| pair.base).sum();
    let variant: f64 = pairs.iter().map(|pair| pair.variant).sum();
    (base > 0.0).then(|| variant / base)
}

/// Median of the variant / median of the base; undefined unless the base's median is positive.
pub fn ratio_of_medians(pairs: &mut [PairedValues]) -> Option<f64> {
    let base = median_by(pairs, |pair| pair.base)?;
    let variant = median_by(pairs, |pair| pair.variant)?;
    (base > 0.0).then(|| variant / base)
}

/// The median without sorting all: of an even number, halfway between the middle two.
fn median_by(pairs: &mut [PairedValues], value: fn(&PairedValues) -> f64) -> Option<f64> {
    if pairs.is_empty() {
        return None;
    }
    let (middle, is_even) = (pairs.len() / 2, pairs.len().is_multiple_of(2));
    let by_value = |a: &PairedValues, b: &PairedValues| value(a).total_cmp(&value(b));
    let (below, upper, _) = pairs.select_nth_unstable_by(middle, by_value);
    let upper = value(upper);
    if !is_even {
        return Some(upper);
    }
    let lower = below.iter().map(value).max_by(f64::total_cmp)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(values: &[(f64, f64)]) -> Vec<PairedValues> {
        let pair = |&(base, variant): &(f64, f64)| PairedValues { base, variant };
        values.iter().map(pair).collect()
    }

    #[test]
    fn agree_with_a_small_table() {
        let mut table = pairs(&[(4.0, 1.0), (1.0, 2.0), (2.0, 6.0), (3.0, 4.0)]);
        assert_eq!(mean_difference(&mut table), Some(0.75));
        assert_eq!(ratio_of_means(&mut table), Some(1.3));
        assert_eq!(ratio_of_medians(&mut table), Some(3.0 / 2.5));
        table.pop();
        assert!(ratio_of_medians(&mut table).is_some());
        let mut odd = pairs(&[(5.0, 9.0), (1.0, 2.0), (2.0, 6.0)]);
        assert_eq!(ratio_of_medians(&mut odd), Some(3.0));
    }

    #[test]
    fn nothing_and_a_base_of_zero_have_no_value() {
        assert_eq!(mean_difference(&mut []), None);
        assert_eq!(ratio_of_means(&mut []), None);
        assert_eq!(ratio_of_medians(&mut []), None);
        let mut zero = pairs(&[(0.0, 1.0), (0.0, 2.0)]);
        assert_eq!(ratio_of_means(&mut zero), None);
        assert_eq!(ratio_of_medians(&mut zero), None);
    }
}
