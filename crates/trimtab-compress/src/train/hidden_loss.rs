//! How far a student's hidden states are from its teacher's, and the gradient of that.
//!
//! Of two states s and t of a token, the loss is ‖s − t‖² / ‖t‖²: the teacher's few very large
//! channels count as much as its own size says. After Sanh et al. 2019,
//! <https://arxiv.org/abs/1910.01108>, section 3, and Jiao et al. 2019,
//! <https://arxiv.org/abs/1909.10351>, section 3.1, which map layers to layers.

use super::TrainError;
use trimtab_models::ModelConfig;

/// Added to ‖t‖².
const EPSILON: f32 = 1e-6;

/// Which states are compared, and how much that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct HiddenLoss {
    /// What the mean over pairs is multiplied by before it is added to the loss.
    pub weight: f32,
    /// Blocks of the student and of the teacher, counted from 0, whose outputs should be alike.
    pub pairs: Vec<(usize, usize)>,
}

impl HiddenLoss {
    /// Compares evenly spaced blocks, the last with the last.
    pub fn evenly(weight: f32, n_student: usize, n_teacher: usize) -> Self {
        let of_teacher = |idx: usize| (idx + 1) * n_teacher / n_student - 1;
        let pairs = (0..n_student)
            .filter(|idx| (idx + 1) * n_teacher >= n_student)
            .map(|idx| (idx, of_teacher(idx)));
        Self {
            weight,
            pairs: pairs.collect(),
        }
    }

    /// # Errors
    ///
    /// [`TrainError`] for models of other widths, and blocks that are not there.
    pub(super) fn check(
        &self,
        student: &ModelConfig,
        teacher: &ModelConfig,
    ) -> Result<(), TrainError> {
        if student.d_model != teacher.d_model {
            return Err(TrainError::TeacherWidth {
                teacher: teacher.d_model,
                student: student.d_model,
            });
        }
        let is_there = |(s, t): &(usize, usize)| *s < student.n_layers && *t < teacher.n_layers;
        let wrong = |name, value, wanted| {
            Err(TrainError::Setting {
                name,
                value,
                wanted,
            })
        };
        if !(self.weight.is_finite() && self.weight > 0.0) {
            let value = self.weight.to_string();
            return wrong("weight of hidden states", value, "a number above 0");
        }
        match self.pairs.iter().find(|pair| !is_there(pair)) {
            Some(pair) => {
                let value = format!("{pair:?}");
                wrong("pair of blocks", value, "blocks of student and teacher")
            }
            None if self.pairs.is_empty() => {
                let value = "none".to_owned();
                wrong("pairs of blocks", value, "one at least")
            }
            None => Ok(()),
        }
    }

    /// Sum of the losses of one pair at some tokens; adds the gradient of `factor` times that sum.
    ///
    /// # Shapes
    ///
    /// - `student`, `slope`: `[n_tokens, d_model]`; `rows`: `[n_rows]`, of the former
    /// - `teacher`: `[n_rows, d_model]`
    pub(super) fn add(
        &self,
        (student, rows): (&[f32], &[i32]),
        teacher: &[f32],
        factor: f32,
        slope: &mut [f32],
    ) -> f64 {
        let d_model = teacher.len() / rows.len().max(1);
        let share = self.weight / self.pairs.len() as f32;
        let mut loss = 0.0;
        for (row, teacher) in rows.iter().zip(teacher.chunks_exact(d_model)) {
            let place = *row as usize * d_model..(*row as usize + 1) * d_model;
            let size = teacher.iter().map(|t| t * t).sum::<f32>() + EPSILON;
            let slope = &mut slope[place.clone()];
            for ((slope, s), t) in slope.iter_mut().zip(&student[place]).zip(teacher) {
                let difference = s - t;
                loss += f64::from(share * difference * difference / size);
                *slope += factor * share * 2.0 * difference / size;
            }
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_agree_with_finite_differences() {
        let hidden = HiddenLoss {
            weight: 0.7,
            pairs: vec![(0, 0), (1, 2)],
        };
        let wave = |n: usize, speed: f32| -> Vec<f32> {
            (0..n).map(|i| (i as f32 * speed).sin() + 0.3).collect()
        };
        let (student, teacher, rows) = (wave(12, 0.9), wave(8, 1.3), [0, 2]);
        let loss = |student: &[f32]| hidden.add((student, &rows), &teacher, 1.0, &mut [0.0; 12]);
        let mut slope = [1.0; 12];
        hidden.add((&student, &rows), &teacher, 0.5, &mut slope);
        for idx in 0..12 {
            let moved = |by: f32| {
                let mut moved = student.clone();
                moved[idx] += by;
                loss(&moved)
            };
            let want = 1.0 + 0.5 * (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((want - f64::from(slope[idx])).abs() < 1e-4, "{idx}");
        }
        // The second token is not learned.
        assert_eq!(slope[4..8], [1.0; 4]);
    }

    #[test]
    fn layers_are_compared_evenly_and_the_last_with_the_last() {
        let pairs = |s, t| HiddenLoss::evenly(1.0, s, t).pairs;
        assert_eq!(pairs(2, 6), [(0, 2), (1, 5)]);
        assert_eq!(pairs(3, 4), [(0, 0), (1, 1), (2, 3)]);
        assert_eq!(pairs(3, 3), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(pairs(4, 2), [(1, 0), (2, 0), (3, 1)]);
    }
}
