//! The stretch of an axis: all values with some air, ends on round numbers.

/// From where to where an axis runs.
///
/// Invariant: both ends are finite and `low < high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxisRange {
    low: f64,
    high: f64,
}

/// Share of the span that is left free at both ends.
const AIR: f64 = 0.06;

/// About so many steps lie between the ends.
const N_STEPS: f64 = 6.0;

/// Beyond this, differences between neighbours get lost in rounding.
const LARGEST: f64 = 1e15;

impl AxisRange {
    /// The range that shows all `values`; values that are not finite are left out.
    ///
    /// Nothing at all gives `0..1`; a single value gets room on both sides.
    /// A range of values without a negative one never starts below zero.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let ends = finite
            .map(|v| v.clamp(-LARGEST, LARGEST))
            .fold(None, |ends, v| match ends {
                None => Some((v, v)),
                Some((low, high)) => Some((f64::min(low, v), f64::max(high, v))),
            });
        let Some((low, high)) = ends else {
            return Self {
                low: 0.0,
                high: 1.0,
            };
        };
        let least_span = f64::max(low.abs().max(high.abs()) * 0.1, 1e-6);
        let span = f64::max(high - low, least_span);
        let middle = f64::midpoint(low, high);
        let half = span * (0.5 + AIR);
        let step = round_step(2.0 * half / N_STEPS);
        let padded_low = ((middle - half) / step).floor() * step;
        let padded_high = ((middle + half) / step).ceil() * step;
        let low = if low >= 0.0 {
            padded_low.max(0.0)
        } else {
            padded_low
        };
        Self {
            low,
            high: padded_high,
        }
    }

    /// Where the axis starts.
    pub fn low(self) -> f64 {
        self.low
    }

    /// Where the axis ends.
    pub fn high(self) -> f64 {
        self.high
    }
}

/// The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let magnitude = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .find(|f| step <= f * magnitude * 1.000_001);
    factor.unwrap_or(10.0) * magnitude
}

/// A tick's number with as few decimals as it needs.
pub(crate) fn tick_label(value: f64) -> String {
    let text = if value.abs() < 1e-9 {
        "0".to_owned()
    } else {
        format!("{value:.4}")
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_round_and_hold_all_values() {
        let range = AxisRange::around([161.3, 508.0, 988.7]);
        assert_eq!((range.low(), range.high()), (0.0, 1200.0));
    }

    #[test]
    fn nothing_one_value_and_equal_values_still_have_a_span() {
        for values in [
            vec![],
            vec![0.0],
            vec![7.0, 7.0],
            vec![-3.0],
            vec![1e-9],
            vec![1e300],
        ] {
            let range = AxisRange::around(values.iter().copied());
            assert!(range.low() < range.high(), "{values:?}");
            assert!(
                range.low().is_finite() && range.high().is_finite(),
                "{values:?}"
            );
        }
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let with = AxisRange::around([1.0, f64::NAN, 2.0, f64::INFINITY]);
        assert_eq!(with, AxisRange::around([1.0, 2.0]));
    }

    #[test]
    fn a_share_never_starts_below_zero() {
        assert!(AxisRange::around([0.0, 2.0, 100.0]).low() >= 0.0);
        assert!(AxisRange::around([-1.0, 5.0]).low() < 0.0);
    }

    #[test]
    fn tick_labels_carry_no_idle_zeros() {
        let shown: Vec<String> = [0.0, 0.5, 12.0, 1200.0, -2.25].map(tick_label).into();
        assert_eq!(shown, ["0", "0.5", "12", "1200", "-2.25"]);
    }
}
