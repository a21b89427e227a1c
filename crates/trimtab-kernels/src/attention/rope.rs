//! Rotary position embedding of channel pairs `(i, i + half)`, as in the checkpoints of Hugging Face.
//!
//! Source: Su et al. 2021, <https://arxiv.org/abs/2104.09864>.

/// Cosines and sines of the rotary embedding.
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// `[max_len, d_rotary / 2]`
    pub cos: Vec<f32>,
    /// `[max_len, d_rotary / 2]`
    pub sin: Vec<f32>,
}

impl RopeTable {
    /// Angles `position · theta^(−2i / d_rotary)`, computed in f64.
    pub fn new(max_len: usize, d_rotary: usize, theta: f64) -> Self {
        let angles = (0..max_len).flat_map(|position| {
            (0..d_rotary / 2)
                .map(move |i| position as f64 * theta.powf(-2.0 * i as f64 / d_rotary as f64))
        });
        let (sin, cos) = angles
            .map(|angle| (angle.sin() as f32, angle.cos() as f32))
            .unzip();
        Self { cos, sin }
    }
}

/// Turns channel pairs `(i, i + half)` by the position's angles, and scales by their amplitude.
///
/// # Shapes
///
/// - `channels`: `[2 · half]`; `cos`, `sin`: `[half]`
pub(super) fn rotate(channels: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = channels.split_at_mut(channels.len() / 2);
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
