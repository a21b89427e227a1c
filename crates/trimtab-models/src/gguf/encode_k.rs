//! Floats to `Q4_K` blocks: for every 32 elements the grid of least squared error, then all grids
//! of a block in terms of two f16 numbers.
//!
//! The layout is fixed by [`super::k_blocks`]; how a grid is chosen is free. Ours tries a few steps
//! and, for the codes that each gives, solves for the scale and minimum of least squares.

use super::encode::half_bytes;
use half::f16;

/// `w ≈ scale · code − minimum`, both at least 0.
#[derive(Clone, Copy, Debug, Default)]
struct Grid {
    scale: f32,
    minimum: f32,
}

/// The largest of the 6-bit factors of scales and minima.
pub(crate) const MAX_FACTOR: u8 = 63;

/// Steps tried for a part: 15 codes of the smallest to largest range, give or take two.
const N_TRIALS: u8 = 21;

pub(super) fn q4_k(elements: &[f32; 256]) -> Option<[u8; 144]> {
    let (parts, _) = elements.as_chunks::<32>();
    let mut grids = [Grid::default(); 8];
    for (grid, part) in grids.iter_mut().zip(parts) {
        *grid = best_grid(part);
    }
    let largest = |of: fn(&Grid) -> f32| grids.iter().map(of).fold(0.0, f32::max);
    let d = half_bytes(largest(|grid| grid.scale) / f32::from(MAX_FACTOR))?;
    let d_min = half_bytes(largest(|grid| grid.minimum) / f32::from(MAX_FACTOR))?;
    let (step, min_step) = (
        f16::from_le_bytes(d).to_f32(),
        f16::from_le_bytes(d_min).to_f32(),
    );

    let mut factors = [(0, 0); 8];
    let mut codes = [0; 256];
    let (code_parts, _) = codes.as_chunks_mut::<32>();
    for (idx, (codes, part)) in code_parts.iter_mut().zip(parts).enumerate() {
        let pair = (
            factor(grids[idx].scale, step),
            factor(grids[idx].minimum, min_step),
        );
        let grid = Grid {
            scale: step * f32::from(pair.0),
            minimum: min_step * f32::from(pair.1),
        };
        for (code, &element) in codes.iter_mut().zip(part) {
            *code = grid.code(element);
        }
        factors[idx] = pair;
    }
    Some(assemble(d, d_min, &factors, &codes))
}

/// A block out of its parts: factors below 64, codes below 16.
pub(crate) fn assemble(
    d: [u8; 2],
    d_min: [u8; 2],
    factors: &[(u8, u8); 8],
    codes: &[u8; 256],
) -> [u8; 144] {
    let mut block = [0; 144];
    block[..2].copy_from_slice(&d);
    block[2..4].copy_from_slice(&d_min);
    for idx in 0..4 {
        let ((scale, minimum), (scale_high, minimum_high)) = (factors[idx], factors[idx + 4]);
        block[4 + idx] = scale | (scale_high >> 4 << 6);
        block[8 + idx] = minimum | (minimum_high >> 4 << 6);
        block[12 + idx] = (scale_high & 15) | (minimum_high << 4);
    }
    let (pairs, _) = codes.as_chunks::<64>();
    let (bytes, _) = block[16..].as_chunks_mut::<32>();
    for (bytes, pair) in bytes.iter_mut().zip(pairs) {
        for (idx, byte) in bytes.iter_mut().enumerate() {
            *byte = pair[idx] | (pair[idx + 32] << 4);
        }
    }
    block
}

fn factor(value: f32, step: f32) -> u8 {
    if step == 0.0 {
        return 0;
    }
    (value / step).round().clamp(0.0, f32::from(MAX_FACTOR)) as u8
}

fn best_grid(part: &[f32; 32]) -> Grid {
    // A grid reaches at least down to 0, since its minimum is not negative.
    let low = part.iter().copied().fold(0.0, f32::min);
    let high = part.iter().copied().fold(low, f32::max);
    let plain = Grid {
        scale: (high - low) / 15.0,
        minimum: -low,
    };
    if plain.scale == 0.0 || !plain.scale.is_finite() {
        return plain;
    }
    let trials = (0..N_TRIALS).map(|trial| {
        let n_steps = 13.0 + 0.2 * f32::from(trial);
        let trial = Grid {
            scale: (high - low) / n_steps,
            ..plain
        };
        let codes = part.map(|element| trial.code(element));
        Grid::least_squares(part, &codes)
    });
    let (mut best, mut least) = (plain, plain.squared_error(part));
    for grid in trials.flatten() {
        let error = grid.squared_error(part);
        if error < least {
            (best, least) = (grid, error);
        }
    }
    best
}

impl Grid {
    fn code(self, element: f32) -> u8 {
        if self.scale == 0.0 {
            return 0;
        }
        ((element + self.minimum) / self.scale)
            .round()
            .clamp(0.0, 15.0) as u8
    }

    fn squared_error(self, part: &[f32; 32]) -> f64 {
        let error = |&element: &f32| {
            let value = self.scale * f32::from(self.code(element)) - self.minimum;
            f64::from(value - element).powi(2)
        };
        part.iter().map(error).sum()
    }

    /// The grid closest to `part` when its codes are these; `None` where they fix none.
    fn least_squares(part: &[f32; 32], codes: &[u8; 32]) -> Option<Self> {
        let n = part.len() as f64;
        let (mut sum_q, mut sum_qq, mut sum_w, mut sum_qw) = (0.0, 0.0, 0.0, 0.0);
        for (&element, &code) in part.iter().zip(codes) {
            let (w, q) = (f64::from(element), f64::from(code));
            sum_q += q;
            sum_qq += q * q;
            sum_w += w;
            sum_qw += q * w;
        }
        let determinant = n * sum_qq - sum_q * sum_q;
        if determinant <= 0.0 {
            return None;
        }
        let scale = (n * sum_qw - sum_q * sum_w) / determinant;
        let minimum = (sum_q * sum_qw - sum_qq * sum_w) / determinant;
        let (scale, minimum) = if minimum < 0.0 {
            // Beyond what the block can say: the best without a minimum.
            (sum_qw / sum_qq, 0.0)
        } else {
            (scale, minimum)
        };
        (scale > 0.0).then_some(Self {
            scale: scale as f32,
            minimum: minimum as f32,
        })
    }
}
