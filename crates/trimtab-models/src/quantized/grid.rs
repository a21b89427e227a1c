//! A weight as codes on a grid, the form that all quantised formats have in common.

use super::QuantizedError;
use rayon::prelude::*;

/// The parts of a [`GridWeight`]: `w = scale · (code − zero_point)`.
#[derive(Clone, Debug, PartialEq)]
pub struct GridParts {
    /// Output channels.
    pub d_out: usize,
    /// Input channels.
    pub d_in: usize,
    /// Width of a code, 2 to 8.
    pub bits: u32,
    /// Consecutive input channels that share a scale; the last group may be shorter.
    pub group_size: usize,
    /// `[d_out, d_in]`, row-major, each below `2^bits`.
    pub codes: Vec<u8>,
    /// `[d_out, n_groups]`
    pub scales: Vec<f32>,
    /// `[d_out, n_groups]`
    pub zero_points: Vec<i32>,
    /// Group of each input channel, `[d_in]`; without it, channel `i` is of group `i / group_size`.
    pub group_idx: Option<Vec<u32>>,
}

/// A weight of codes whose parts fit each other.
#[derive(Clone, Debug, PartialEq)]
pub struct GridWeight {
    parts: GridParts,
}

impl GridWeight {
    /// Checks that the parts fit each other.
    ///
    /// A `group_idx` that only repeats the groups of consecutive channels is dropped.
    ///
    /// # Errors
    ///
    /// [`QuantizedError::Grid`] for a length, code or group that does not fit.
    pub fn new(mut parts: GridParts) -> Result<Self, QuantizedError> {
        let wrong = |reason: String| Err(QuantizedError::Grid(reason));
        if !(2..=8).contains(&parts.bits) {
            return wrong(format!(
                "codes of {} bits are not 2 to 8 bits wide",
                parts.bits
            ));
        }
        if parts.group_size == 0 || parts.d_in == 0 || parts.d_out == 0 {
            return wrong("no channels, or groups of none".to_owned());
        }
        let n_weights = parts.d_out.checked_mul(parts.d_in);
        if n_weights != Some(parts.codes.len()) {
            return wrong(format!(
                "{} codes for {} × {} weights",
                parts.codes.len(),
                parts.d_out,
                parts.d_in
            ));
        }
        let n_groups = parts.d_in.div_ceil(parts.group_size);
        // At most one group a weight: cannot overflow after the check above.
        let n_scales = parts.d_out * n_groups;
        if parts.scales.len() != n_scales || parts.zero_points.len() != n_scales {
            return wrong(format!(
                "{} scales and {} zero points for {} × {n_groups} groups",
                parts.scales.len(),
                parts.zero_points.len(),
                parts.d_out
            ));
        }
        let limit = 1_u16 << parts.bits;
        if let Some(code) = parts.codes.iter().find(|code| u16::from(**code) >= limit) {
            return wrong(format!("code {code} is not below {limit}"));
        }
        if let Some(group_idx) = &parts.group_idx {
            if group_idx.len() != parts.d_in {
                return wrong(format!(
                    "{} group numbers for {} channels",
                    group_idx.len(),
                    parts.d_in
                ));
            }
            if let Some(group) = group_idx.iter().find(|group| **group as usize >= n_groups) {
                return wrong(format!("group {group} of {n_groups}"));
            }
            let is_consecutive = (0..)
                .zip(group_idx)
                .all(|(i, group)| i / parts.group_size == *group as usize);
            if is_consecutive {
                parts.group_idx = None;
            }
        }
        Ok(Self { parts })
    }

    /// The parts, to be read.
    pub fn parts(&self) -> &GridParts {
        &self.parts
    }

    /// The parts, to be kept.
    pub fn into_parts(self) -> GridParts {
        self.parts
    }

    /// Groups a row.
    pub fn n_groups(&self) -> usize {
        self.parts.d_in.div_ceil(self.parts.group_size)
    }

    /// The group of an input channel.
    pub fn group_of(&self, channel: usize) -> usize {
        match &self.parts.group_idx {
            Some(group_idx) => group_idx[channel] as usize,
            None => channel / self.parts.group_size,
        }
    }

    /// The same weight in smaller groups of consecutive channels, scales and zero points repeated.
    ///
    /// # Errors
    ///
    /// [`QuantizedError::Grid`] for a size that does not divide the groups, or groups in activation order.
    pub fn in_groups_of(&self, group_size: usize) -> Result<Self, QuantizedError> {
        let parts = &self.parts;
        if group_size == parts.group_size {
            return Ok(self.clone());
        }
        if parts.group_idx.is_some() {
            let reason = "groups in activation order cannot be divided".to_owned();
            return Err(QuantizedError::Grid(reason));
        }
        let n_groups = self.n_groups();
        let is_divisor = group_size > 0 && parts.group_size.is_multiple_of(group_size);
        if !is_divisor && n_groups > 1 || group_size == 0 {
            let reason = format!(
                "groups of {} cannot become groups of {group_size}",
                parts.group_size
            );
            return Err(QuantizedError::Grid(reason));
        }
        let old_groups: Vec<usize> = (0..parts.d_in)
            .step_by(group_size)
            .map(|channel| self.group_of(channel))
            .collect();
        let indices = (0..parts.d_out).flat_map(|row| {
            let at = move |group: &usize| row * n_groups + group;
            old_groups.iter().map(at)
        });
        let (scales, zero_points) = indices
            .map(|idx| (parts.scales[idx], parts.zero_points[idx]))
            .unzip();
        Self::new(GridParts {
            group_size,
            codes: parts.codes.clone(),
            scales,
            zero_points,
            group_idx: None,
            ..*parts
        })
    }

    /// Whether every zero point is the middle code `2^(bits − 1)`.
    pub fn is_symmetric(&self) -> bool {
        let middle = 1_i32 << (self.parts.bits - 1);
        self.parts
            .zero_points
            .iter()
            .all(|zero_point| *zero_point == middle)
    }

    /// The weight as floats.
    ///
    /// # Shapes
    ///
    /// - result: `[d_out, d_in]`, row-major
    ///
    /// # Numerics
    ///
    /// The difference of code and zero point is exact, its product with the scale is rounded to f32 once.
    pub fn dequantize(&self) -> Vec<f32> {
        let n_groups = self.n_groups();
        let parts = &self.parts;
        let mut values = vec![0.0; parts.codes.len()];
        values
            .par_chunks_exact_mut(parts.d_in)
            .zip(parts.codes.par_chunks_exact(parts.d_in))
            .enumerate()
            .for_each(|(row_idx, (values, codes))| {
                let scales = &parts.scales[row_idx * n_groups..][..n_groups];
                let zero_points = &parts.zero_points[row_idx * n_groups..][..n_groups];
                for (channel, (value, code)) in values.iter_mut().zip(codes).enumerate() {
                    let group = self.group_of(channel);
                    let steps = i64::from(*code) - i64::from(zero_points[group]);
                    *value = scales[group] * steps as f32;
                }
            });
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> GridParts {
        GridParts {
            d_out: 1,
            d_in: 3,
            bits: 2,
            group_size: 2,
            codes: vec![0, 3, 1],
            scales: vec![0.5, 2.0],
            zero_points: vec![2, 0],
            group_idx: None,
        }
    }

    #[test]
    fn a_weight_is_scale_times_distance_from_the_zero_point() {
        let weight = GridWeight::new(parts()).unwrap();
        assert_eq!(weight.dequantize(), [-1.0, 0.5, 2.0]);
        let in_other_order = GridParts {
            group_idx: Some(vec![1, 0, 0]),
            ..parts()
        };
        let weight = GridWeight::new(in_other_order).unwrap();
        assert_eq!(weight.dequantize(), [0.0, 0.5, -0.5]);
        assert!(!weight.is_symmetric());
    }

    #[test]
    fn group_numbers_in_order_are_dropped() {
        let parts = GridParts {
            group_idx: Some(vec![0, 0, 1]),
            ..parts()
        };
        assert_eq!(GridWeight::new(parts).unwrap().parts().group_idx, None);
    }

    #[test]
    fn groups_are_divided_without_changing_the_weight() {
        let weight = GridWeight::new(parts()).unwrap();
        let divided = weight.in_groups_of(1).unwrap();
        assert_eq!(divided.parts().scales, [0.5, 0.5, 2.0]);
        assert_eq!(divided.dequantize(), weight.dequantize());
        assert!(weight.in_groups_of(3).is_err() && weight.in_groups_of(0).is_err());
        let one_group = GridParts {
            group_size: 5,
            scales: vec![0.5],
            zero_points: vec![1],
            ..parts()
        };
        let weight = GridWeight::new(one_group).unwrap();
        let divided = weight.in_groups_of(2).unwrap();
        assert_eq!(divided.dequantize(), weight.dequantize());
        let sorted = GridParts {
            group_idx: Some(vec![1, 0, 0]),
            ..parts()
        };
        assert!(GridWeight::new(sorted).unwrap().in_groups_of(1).is_err());
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut GridParts), message: &str) {
        let mut parts = parts();
        change(&mut parts);
        let error = GridWeight::new(parts).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        check_refused(|p| p.bits = 9, "9 bits");
        check_refused(|p| p.bits = 1, "1 bits");
        check_refused(|p| p.group_size = 0, "groups of none");
        check_refused(|p| p.d_out = usize::MAX, "3 codes");
        check_refused(|p| p.codes[0] = 4, "code 4");
        check_refused(|p| p.scales.push(1.0), "3 scales");
        check_refused(|p| p.zero_points.clear(), "0 zero points");
        check_refused(|p| p.group_idx = Some(vec![0; 2]), "2 group numbers");
        check_refused(|p| p.group_idx = Some(vec![0, 2, 1]), "group 2 of 2");
    }
}
