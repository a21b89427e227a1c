//! Packed rows to blocks without rounding anything, where the block type can say the same.
//!
//! A packed weight is `scale · (code − zero_point)`, with a scale of 16 bits and groups of a
//! multiple of 64 channels, so that 32 channels never have two scales. What each type can say:
//! - `Q8_0`, `scale · q` with `q` in −128…127: every 8-bit and every 4-bit row;
//! - `Q4_0`, `scale · (q − 8)`: 4-bit rows whose `code − zero_point` lies in −8…7, which it always
//!   does when the zero point is 8;
//! - `Q4_1`, `scale · q + m`: 4-bit rows whose `scale · zero_point` is a 16-bit float; otherwise `m`
//!   is that product rounded, if the caller lets it be;
//! - `Q4_K`, `d · a · q − e · b` for every 32 of 256 channels, with `d` and `e` for all of them and
//!   `a` and `b` in 0…63: 4-bit rows in which the eight scales are such multiples of one number, and
//!   the eight `scale · zero_point` of another. Groups of a multiple of 256 channels always are:
//!   `a` is 1 and `b` the zero point. Smaller groups hardly ever are.
//!
//! Products of an f16 and a code are exact in f32, so both sides are equal bit for bit but for the
//! sign of zero.

use crate::gguf::{
    GgmlType,
    encode::put_nibbles,
    encode_k::{MAX_FACTOR, assemble},
};
use half::f16;
use trimtab_kernels::GridRow;

/// What a block type cannot say of a packed row.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Unmappable {
    /// A code that is out of the type's range.
    #[error("weight {weight} is {steps} steps from zero, and {ggml_type} has {low} to {high}")]
    Range {
        /// Which weight of the row.
        weight: usize,
        /// Its code minus the zero point.
        steps: i16,
        /// The type.
        ggml_type: GgmlType,
        /// Its smallest step.
        low: i16,
        /// Its largest step.
        high: i16,
    },
    /// A zero point times scale that f16 cannot say.
    #[error("the minimum of group {group}, {minimum}, is not a 16-bit float")]
    Minimum {
        /// Which group of the row.
        group: usize,
        /// Scale times zero point, negative.
        minimum: f32,
    },
    /// Scales or minima that are no small multiples of one number.
    #[error("{what} of weights {start} to {end} are not 0 to 63 times one 16-bit float")]
    Factors {
        /// Scales or minima.
        what: &'static str,
        /// First weight of the block.
        start: usize,
        /// One past its last weight.
        end: usize,
    },
    /// A scale that is infinite or no number.
    #[error("the scale of group {group} is {scale}")]
    Scale {
        /// Which group of the row.
        group: usize,
        /// The scale.
        scale: f32,
    },
    /// A type that packed rows are not turned into.
    #[error("{0} has no blocks of these codes")]
    Type(GgmlType),
}

/// Whether minima may be rounded to f16, which moves a group by at most 0.4 % of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Minima {
    /// They have to be equal.
    Exact,
    /// The nearest f16 is good enough.
    Rounded,
}

/// Turns a row into whole blocks of `ggml_type`.
///
/// # Panics
///
/// If the row does not divide into blocks, or `stored` has another length.
pub(super) fn blocks_from_grid_row(
    ggml_type: GgmlType,
    row: &GridRow,
    minima: Minima,
    stored: &mut [u8],
) -> Result<(), Unmappable> {
    if let Some(group) = row.scales.iter().position(|scale| !scale.is_finite()) {
        let scale = row.scales[group].to_f32();
        return Err(Unmappable::Scale { group, scale });
    }
    match ggml_type {
        GgmlType::Q8_0 => each(row, stored, q8_0),
        GgmlType::Q4_0 => each(row, stored, q4_0),
        GgmlType::Q4_1 => each(row, stored, |part| q4_1(part, minima)),
        GgmlType::Q4K => {
            let (blocks, rest) = stored.as_chunks_mut::<144>();
            assert!(rest.is_empty() && blocks.len() * 256 == row.codes.len());
            for (idx, block) in blocks.iter_mut().enumerate() {
                *block = q4_k(row, idx * 256)?;
            }
            Ok(())
        }
        other => Err(Unmappable::Type(other)),
    }
}

/// 32 codes with their scale and zero point.
struct Part<'a> {
    start: usize,
    group: usize,
    codes: &'a [i16; 32],
    scale: f16,
    zero_point: u8,
}

impl<'a> Part<'a> {
    fn new(row: &'a GridRow, start: usize) -> Self {
        let group = start / row.group_size;
        Self {
            start,
            group,
            codes: row.codes[start..start + 32]
                .try_into()
                .expect("32 codes were sliced"),
            scale: row.scales[group],
            zero_point: row.zero_points[group],
        }
    }

    /// The code of each weight when 0 is stored as `zero`, if it lies in `low..=high`.
    fn steps(&self, ggml_type: GgmlType, low: i16, high: i16) -> Result<[i16; 32], Unmappable> {
        let steps = self.codes.map(|code| code - i16::from(self.zero_point));
        match steps.iter().position(|step| !(low..=high).contains(step)) {
            None => Ok(steps),
            Some(idx) => Err(Unmappable::Range {
                weight: self.start + idx,
                steps: steps[idx],
                ggml_type,
                low,
                high,
            }),
        }
    }
}

fn each<const B: usize>(
    row: &GridRow,
    stored: &mut [u8],
    encode: impl Fn(&Part<'_>) -> Result<[u8; B], Unmappable>,
) -> Result<(), Unmappable> {
    let (blocks, rest) = stored.as_chunks_mut::<B>();
    assert!(rest.is_empty() && blocks.len() * 32 == row.codes.len());
    for (idx, block) in blocks.iter_mut().enumerate() {
        *block = encode(&Part::new(row, idx * 32))?;
    }
    Ok(())
}

fn q8_0(part: &Part<'_>) -> Result<[u8; 34], Unmappable> {
    let steps = part.steps(GgmlType::Q8_0, -128, 127)?;
    let mut block = [0; 34];
    block[..2].copy_from_slice(&part.scale.to_le_bytes());
    for (byte, step) in block[2..].iter_mut().zip(steps) {
        *byte = step as i8 as u8;
    }
    Ok(block)
}

fn q4_0(part: &Part<'_>) -> Result<[u8; 18], Unmappable> {
    let steps = part.steps(GgmlType::Q4_0, -8, 7)?;
    let mut block = [0; 18];
    block[..2].copy_from_slice(&part.scale.to_le_bytes());
    put_nibbles(&mut block[2..], &steps.map(|step| (step + 8) as u8));
    Ok(block)
}

fn q4_1(part: &Part<'_>, minima: Minima) -> Result<[u8; 20], Unmappable> {
    let codes = nibbles(part, GgmlType::Q4_1)?;
    let minimum = -part.scale.to_f32() * f32::from(part.zero_point);
    let stored = f16::from_f32(minimum);
    let is_equal = stored.to_f32().to_bits() == minimum.to_bits();
    let may_differ = minima == Minima::Rounded && stored.is_finite();
    if !is_equal && !may_differ {
        let group = part.group;
        return Err(Unmappable::Minimum { group, minimum });
    }
    let mut block = [0; 20];
    block[..2].copy_from_slice(&part.scale.to_le_bytes());
    block[2..4].copy_from_slice(&stored.to_le_bytes());
    put_nibbles(&mut block[4..], &codes);
    Ok(block)
}

/// The codes as they are, if none is out of 0…15.
fn nibbles(part: &Part<'_>, ggml_type: GgmlType) -> Result<[u8; 32], Unmappable> {
    let (low, high) = (0, 15);
    match part
        .codes
        .iter()
        .position(|code| !(low..=high).contains(code))
    {
        None => Ok(part.codes.map(|code| code as u8)),
        Some(idx) => Err(Unmappable::Range {
            weight: part.start + idx,
            steps: part.codes[idx],
            ggml_type,
            low,
            high,
        }),
    }
}

fn q4_k(row: &GridRow, start: usize) -> Result<[u8; 144], Unmappable> {
    let mut codes = [0; 256];
    let (mut scales, mut minima) = ([0_i64; 8], [0_i64; 8]);
    for idx in 0..8 {
        let part = Part::new(row, start + idx * 32);
        codes[idx * 32..][..32].copy_from_slice(&nibbles(&part, GgmlType::Q4K)?);
        scales[idx] = units_from_half(part.scale);
        minima[idx] = scales[idx] * i64::from(part.zero_point);
    }
    let refused = |what| Unmappable::Factors {
        what,
        start,
        end: start + 256,
    };
    let (d, scales) = common_step(&scales).ok_or_else(|| refused("the scales"))?;
    let (d_min, minima) = common_step(&minima).ok_or_else(|| refused("the minima"))?;
    let factors = std::array::from_fn(|idx| (scales[idx], minima[idx]));
    Ok(assemble(
        d.to_le_bytes(),
        d_min.to_le_bytes(),
        &factors,
        &codes,
    ))
}

/// An f16 as a multiple of the smallest one, 2⁻²⁴.
fn units_from_half(value: f16) -> i64 {
    // At most 65,504 · 2²⁴, well within the integers that f64 says exactly.
    (f64::from(value) * f64::from(1 << 24)) as i64
}

/// The f16 that is `units` times 2⁻²⁴, if there is one.
fn half_from_units(units: i64) -> Option<f16> {
    let value = units as f64 / f64::from(1 << 24);
    let half = f16::from_f64(value);
    (half.is_finite() && units_from_half(half) == units).then_some(half)
}

/// A step and, for every value, how many of it make the value, at most 63.
fn common_step(values: &[i64; 8]) -> Option<(f16, [u8; 8])> {
    let divisor = values
        .iter()
        .fold(0, |divisor, &value| gcd(divisor, value.unsigned_abs()));
    if divisor == 0 {
        return Some((f16::ZERO, [0; 8]));
    }
    // Factors have no sign, so all values share that of the step.
    let sign = match (
        values.iter().all(|&v| v >= 0),
        values.iter().all(|&v| v <= 0),
    ) {
        (true, _) => 1,
        (_, true) => -1,
        (false, false) => return None,
    };
    // The divisor itself may have too many digits for f16 where a part of it has not.
    for part in 1..=u64::from(MAX_FACTOR) {
        if !divisor.is_multiple_of(part) {
            continue;
        }
        let step = sign * (divisor / part).cast_signed();
        let Some(half) = half_from_units(step) else {
            continue;
        };
        let factors = values.map(|value| value / step);
        let fit = factors
            .iter()
            .all(|factor| (0..=i64::from(MAX_FACTOR)).contains(factor));
        return fit.then(|| (half, factors.map(|factor| factor as u8)));
    }
    None
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
