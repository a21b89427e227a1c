//! Grids of codes: which values a group of weights may take.
//!
//! Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization",
//! <https://arxiv.org/abs/2106.08295>, section 2.1 (uniform affine and symmetric grids) and section
//! 3.1 (range setting, by least squared error too).

use super::LayerError;
use half::f16;

/// How the weights of a layer become codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSpec {
    /// Width of a code: 2, 3, 4 or 8.
    pub bits: u32,
    /// Which weights share a scale and a zero point.
    pub grouping: Grouping,
    /// Whether the middle code stands for 0 in every group.
    pub symmetric: bool,
    /// How the range of a grid is found.
    pub search: RangeSearch,
    /// The number format of scales; codes are chosen for the scale as it is stored.
    pub scale_format: ScaleFormat,
}

/// Which weights share a scale and a zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// So many consecutive input channels of a row; the last group of a row may be shorter.
    Size(usize),
    /// All of a row: one grid an output channel.
    Row,
    /// All of the layer.
    Tensor,
}

/// How the range of a grid is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSearch {
    /// From the smallest to the largest weight.
    FullRange,
    /// The part of the full range with the least sum of squared errors.
    SquaredError,
    /// The part of the full range with the least sum of errors to the power of 2.4, which minds
    /// large errors more. Slower than squares.
    PowerError,
}

/// The number format of scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleFormat {
    /// As artifacts store them.
    F16,
    /// As exported folders may store them.
    F32,
    /// Unrounded, to be compared with other implementations.
    F64,
}

impl GridSpec {
    /// Refuses widths without grids and empty groups.
    ///
    /// # Errors
    ///
    /// [`LayerError::Bits`], [`LayerError::GroupSize`]
    pub fn check(&self) -> Result<(), LayerError> {
        if !matches!(self.bits, 2 | 3 | 4 | 8) {
            return Err(LayerError::Bits(self.bits));
        }
        if self.grouping == Grouping::Size(0) {
            return Err(LayerError::GroupSize);
        }
        Ok(())
    }

    /// Input channels of a row that share a grid.
    pub fn group_size(&self, d_in: usize) -> usize {
        match self.grouping {
            Grouping::Size(group_size) => group_size.min(d_in),
            Grouping::Row | Grouping::Tensor => d_in,
        }
    }

    /// The largest code.
    fn max_code(&self) -> f64 {
        f64::from((1_u32 << self.bits) - 1)
    }

    /// The code that stands for 0 on symmetric grids.
    fn middle_code(&self) -> f64 {
        f64::from(1_u32 << (self.bits - 1))
    }
}

/// The codes of one group: `w ≈ scale · (code − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupGrid {
    /// Distance of two values.
    pub scale: f64,
    /// The code that stands for 0; a whole number.
    pub zero_point: f64,
    max_code: f64,
}

/// Ranges that a search looks at: the full one, and less by a hundredth of it each, down to 0.21.
///
/// Source: as in the code published with Frantar et al. 2022, <https://arxiv.org/abs/2210.17323>
/// (`quant.py`: grid 100, largest shrinkage 0.8, norm 2.4); the paper does not describe it.
const N_RANGES: u32 = 80;

/// Steps by which the full range would shrink to nothing.
const STEPS_OF_FULL_RANGE: f64 = 100.0;

/// The power of [`RangeSearch::PowerError`]; source as for [`N_RANGES`].
const ERROR_POWER: f64 = 2.4;

/// Weights after which a search looks whether a range can still win.
const N_BETWEEN_LOOKS: usize = 32;

impl GroupGrid {
    /// The grid of a group of finite weights; 0 is always on it. A group of zeros gets the range −1…1.
    ///
    /// The scale is infinite where `spec.scale_format` cannot hold it.
    pub fn of(values: &[f64], spec: &GridSpec) -> Self {
        let low = values.iter().fold(0.0_f64, |low, w| low.min(*w));
        let high = values.iter().fold(0.0_f64, |high, w| high.max(*w));
        let (low, high) = match (low, high) {
            (0.0, 0.0) => (-1.0, 1.0),
            _ if spec.symmetric => (-high.max(-low), high.max(-low)),
            range => range,
        };
        let full = Self::of_range(low, high, spec);
        match spec.search {
            RangeSearch::FullRange => full,
            RangeSearch::SquaredError => {
                full.least_error(values, [low, high], spec, |error| error * error)
            }
            RangeSearch::PowerError => full.least_error(values, [low, high], spec, |error| {
                error.abs().powf(ERROR_POWER)
            }),
        }
    }

    fn of_range(low: f64, high: f64, spec: &GridSpec) -> Self {
        let max_code = spec.max_code();
        let scale = stored_scale((high - low) / max_code, spec);
        let zero_point = if spec.symmetric {
            spec.middle_code()
        } else {
            (-low / scale).round_ties_even().clamp(0.0, max_code)
        };
        Self {
            scale,
            zero_point,
            max_code,
        }
    }

    /// Of `self`, the grid of the full range, and those of shrunk ranges, the first with the least error.
    fn least_error(
        self,
        values: &[f64],
        [low, high]: [f64; 2],
        spec: &GridSpec,
        error_of: impl Fn(f64) -> f64,
    ) -> Self {
        let mut best = self;
        let mut least = best.error(values, f64::INFINITY, &error_of);
        for step in 1..N_RANGES {
            let share = 1.0 - f64::from(step) / STEPS_OF_FULL_RANGE;
            let grid = Self::of_range(share * low, share * high, spec);
            let error = grid.error(values, least, &error_of);
            if error < least {
                (best, least) = (grid, error);
            }
        }
        best
    }

    /// Sum of errors, or any number that is not below `limit` if the sum is not.
    fn error(self, values: &[f64], limit: f64, error_of: &impl Fn(f64) -> f64) -> f64 {
        let mut sum = 0.0;
        for part in values.chunks(N_BETWEEN_LOOKS) {
            sum += part
                .iter()
                .map(|w| error_of(self.value(self.code(*w)) - w))
                .sum::<f64>();
            if sum >= limit {
                break;
            }
        }
        sum
    }

    /// The code nearest to a weight, a whole number from 0 to the largest code.
    pub fn code(self, weight: f64) -> f64 {
        let steps = (weight / self.scale).clamp(-self.zero_point, self.max_code - self.zero_point);
        nearest_even(steps) + self.zero_point
    }

    /// The weight that a code stands for.
    pub fn value(self, code: f64) -> f64 {
        self.scale * (code - self.zero_point)
    }
}

/// The nearest whole number, ties to even, of a number between −2⁵¹ and 2⁵¹.
///
/// Adding and taking away 1.5 · 2⁵² leaves no bits for a fraction; unlike the library function it
/// is two instructions on every processor, many values at once.
fn nearest_even(value: f64) -> f64 {
    const NO_FRACTION: f64 = 6_755_399_441_055_744.0;
    (value + NO_FRACTION) - NO_FRACTION
}

/// A scale as it is stored, never 0.
///
/// The ends of a symmetric grid lie half a step beyond a code. With a scale rounded up, the lowest
/// weight would lose its code; rounded down, it keeps it (SmolLM2-135M, 4 bits in groups of 128,
/// perplexity: 11.57 and 11.2).
fn stored_scale(scale: f64, spec: &GridSpec) -> f64 {
    match spec.scale_format {
        ScaleFormat::F16 => {
            let mut stored = f16::from_f64(scale);
            if spec.symmetric && stored.to_f64() > scale {
                stored = f16::from_bits(stored.to_bits().saturating_sub(1));
            }
            stored.max(f16::MIN_POSITIVE_SUBNORMAL).to_f64()
        }
        ScaleFormat::F32 => f64::from((scale as f32).max(f32::from_bits(1))),
        ScaleFormat::F64 => scale.max(f64::MIN_POSITIVE),
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    fn spec(bits: u32, symmetric: bool, search: RangeSearch) -> GridSpec {
        GridSpec {
            bits,
            grouping: Grouping::Row,
            symmetric,
            search,
            scale_format: ScaleFormat::F64,
        }
    }

    #[test]
    fn symmetric_grids_are_centred_on_the_middle_code() {
        for (bits, middle) in [(2, 2.0), (3, 4.0), (4, 8.0), (8, 128.0)] {
            let spec = spec(bits, true, RangeSearch::FullRange);
            let grid = GroupGrid::of(&[-0.5, 1.0], &spec);
            assert_eq!(grid.zero_point, middle);
            assert_eq!(grid.scale, 2.0 / (2.0 * middle - 1.0));
            assert_eq!((grid.code(-1.0), grid.code(0.0)), (0.0, middle));
            assert_eq!(grid.code(9.0), 2.0 * middle - 1.0);
        }
    }

    #[test]
    fn the_lowest_weight_has_the_lowest_code_whatever_its_scale_rounds_to() {
        let spec = GridSpec {
            scale_format: ScaleFormat::F16,
            ..spec(4, true, RangeSearch::FullRange)
        };
        for idx in 1..2000 {
            let low = -0.001 * f64::from(idx) - 1e-6;
            let grid = GroupGrid::of(&[low, 0.5 * low], &spec);
            assert!(grid.code(low) < 0.5, "{low}");
            let stored = f16::from_f64(grid.scale).to_f64();
            assert_eq!(stored.to_bits(), grid.scale.to_bits());
        }
    }

    #[test]
    fn asymmetric_grids_reach_from_the_smallest_to_the_largest_weight() {
        let spec = spec(4, false, RangeSearch::FullRange);
        let grid = GroupGrid::of(&[-0.5, 1.0, 0.2], &spec);
        assert_eq!((grid.scale, grid.zero_point), (0.1, 5.0));
        assert_eq!(
            (grid.code(-0.5), grid.code(1.0), grid.code(0.2)),
            (0.0, 15.0, 7.0)
        );
        let positive = GroupGrid::of(&[3.0, 15.0], &spec);
        assert_eq!((positive.scale, positive.zero_point), (1.0, 0.0));
    }

    #[test]
    fn groups_of_zeros_and_tiny_weights_keep_zero() {
        for scale_format in [ScaleFormat::F16, ScaleFormat::F32, ScaleFormat::F64] {
            for symmetric in [true, false] {
                for values in [[0.0, 0.0], [0.0, -f64::MIN_POSITIVE], [1e-320, 0.0]] {
                    let spec = GridSpec {
                        scale_format,
                        ..spec(4, symmetric, RangeSearch::PowerError)
                    };
                    let grid = GroupGrid::of(&values, &spec);
                    assert_eq!(grid.value(grid.code(0.0)), 0.0, "{spec:?}, {values:?}");
                }
            }
        }
    }

    #[test]
    fn a_scale_is_what_its_format_holds() {
        let spec = GridSpec {
            scale_format: ScaleFormat::F16,
            ..spec(4, false, RangeSearch::FullRange)
        };
        let grid = GroupGrid::of(&[0.0, 1.0], &spec);
        assert_eq!(grid.scale, f16::from_f64(1.0 / 15.0).to_f64());
        assert!(GroupGrid::of(&[0.0, 1e6], &spec).scale.is_infinite());
    }

    #[test]
    fn the_search_finds_the_least_error_of_all_ranges() {
        let values: Vec<f64> = (0..128)
            .map(|i| (f64::from(i) * 0.731).sin().powi(3) + if i == 5 { 3.0 } else { 0.0 })
            .collect();
        for (symmetric, power) in [(true, 2.0), (false, 2.0), (true, 2.4), (false, 2.4)] {
            let search = match power {
                2.0 => RangeSearch::SquaredError,
                _ => RangeSearch::PowerError,
            };
            let spec = spec(3, symmetric, search);
            let found = GroupGrid::of(&values, &spec);
            let error = |grid: GroupGrid| -> f64 {
                let errors = values.iter().map(|w| grid.value(grid.code(*w)) - w);
                errors.map(|error| error.abs().powf(power)).sum()
            };
            let range = |f: fn(f64, f64) -> f64| values.iter().fold(0.0, |a, b| f(a, *b));
            let (mut low, high) = (range(f64::min), range(f64::max));
            if symmetric {
                low = -high;
            }
            let least = (0..80)
                .map(|i| 1.0 - f64::from(i) / 100.0)
                .map(|share| error(GroupGrid::of_range(share * low, share * high, &spec)))
                .fold(f64::INFINITY, f64::min);
            // The same sums in another order.
            assert!((error(found) - least).abs() <= 1e-12 * least, "{spec:?}");
            let full = GroupGrid::of_range(low, high, &spec);
            assert!(error(found) < error(full), "an outlier is clipped");
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_and_to_even() {
        for value in [-7.5, -2.5, -0.5, -0.49, 0.0, 0.5, 1.5, 2.5, 254.5, 255.0] {
            assert_eq!(nearest_even(value), value.round_ties_even(), "{value}");
        }
    }

    #[test]
    fn widths_and_groups_without_grids_are_refused() {
        for bits in [0, 1, 5, 6, 7, 9, 32] {
            let error = spec(bits, true, RangeSearch::FullRange).check();
            assert_eq!(error, Err(LayerError::Bits(bits)));
        }
        let no_group = GridSpec {
            grouping: Grouping::Size(0),
            ..spec(4, true, RangeSearch::FullRange)
        };
        assert_eq!(no_group.check(), Err(LayerError::GroupSize));
    }
}
