//! How far a student answers as its teacher does, measured on text that it was not trained on.

use super::{teacher::scores, trainer::HEAD_TOKENS};
use rayon::prelude::*;
use trimtab_domain::{Agreement, Measured};
use trimtab_kernels::KvFormat;
use trimtab_models::decoder::{Decoder, SequenceStep};

/// Tokens among which the teacher's first choice is looked for.
const N_TOP: usize = 5;

/// What was measured at one token, or its mean over a sequence: agreement in the first choice and in
/// the first five, divergence, and both cross-entropies.
type Row = [f64; 5];

/// Lets both models read `sequences`, of equal length, and compares what they expect after each
/// token. Tells how many sequences are done.
///
/// Standard errors are those of the means of sequences: tokens of one sequence are not independent.
///
/// # Panics
///
/// If there are fewer than two sequences, or they have fewer than two tokens.
pub fn agreement(
    teacher: &Decoder,
    student: &Decoder,
    sequences: &[Vec<u32>],
    on_sequence: &mut dyn FnMut(usize),
) -> Agreement {
    assert!(sequences.len() > 1, "a standard error needs two sequences");
    let mut means: Vec<Row> = Vec::with_capacity(sequences.len());
    for ids in sequences {
        means.push(rayon::scope(|_| sequence_mean(teacher, student, ids)));
        on_sequence(means.len());
    }
    let measured = |idx: usize| measured(&means.iter().map(|row| row[idx]).collect::<Vec<_>>());
    let perplexity = |idx: usize| {
        let mean = measured(idx);
        Measured {
            value: mean.value.exp(),
            // The slope of exp at the mean.
            standard_error: mean.value.exp() * mean.standard_error,
        }
    };
    Agreement {
        n_tokens: sequences.iter().map(|ids| ids.len() as u64 - 1).sum(),
        n_sequences: sequences.len() as u64,
        top1: measured(0),
        top5: measured(1),
        kl: measured(2),
        teacher_perplexity: perplexity(3),
        student_perplexity: perplexity(4),
    }
}

fn measured(means: &[f64]) -> Measured {
    let n = means.len() as f64;
    let value = means.iter().sum::<f64>() / n;
    let squares: f64 = means.iter().map(|mean| (mean - value).powi(2)).sum();
    Measured {
        value,
        standard_error: (squares / (n - 1.0) / n).sqrt(),
    }
}

fn sequence_mean(teacher: &Decoder, student: &Decoder, ids: &[u32]) -> Row {
    let inputs = &ids[..ids.len() - 1];
    let hidden = |model: &Decoder| {
        let mut cache = model.new_cache(1, inputs.len(), KvFormat::F32);
        let step = SequenceStep {
            slot: 0,
            ids: inputs,
        };
        model.hidden(&[step], &mut cache)
    };
    let (teacher_hidden, student_hidden) = (hidden(teacher), hidden(student));
    let mut sums = Row::default();
    for start in (0..inputs.len()).step_by(HEAD_TOKENS) {
        let rows = start..(start + HEAD_TOKENS).min(inputs.len());
        let theirs = scores(teacher, &teacher_hidden, rows.clone());
        let ours = scores(student, &student_hidden, rows.clone());
        let labels = &ids[rows.start + 1..=rows.end];
        let vocab = theirs.len() / labels.len();
        let tokens: Vec<Row> = theirs
            .par_chunks_exact(vocab)
            .zip(ours.par_chunks_exact(vocab))
            .zip(labels)
            .map(|((theirs, ours), label)| token(theirs, ours, *label as usize))
            .collect();
        for row in tokens {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
    sums.map(|sum| sum / inputs.len() as f64)
}

fn token(teacher: &[f32], student: &[f32], label: usize) -> Row {
    let first = (0..teacher.len()).fold(0, |best, id| match teacher[id] > teacher[best] {
        true => id,
        false => best,
    });
    let is_before = |id: usize| {
        let (score, of_first) = (student[id], student[first]);
        score.total_cmp(&of_first).then(first.cmp(&id)).is_gt()
    };
    let rank = (0..student.len()).filter(|id| is_before(*id)).count();
    let (log_p, log_q) = (log_sum(teacher), log_sum(student));
    let pairs = teacher.iter().zip(student);
    let kl = pairs.map(|(y, z)| {
        let (p, q) = (f64::from(*y) - log_p, f64::from(*z) - log_q);
        p.exp() * (p - q)
    });
    [
        f64::from(u8::from(rank == 0)),
        f64::from(u8::from(rank < N_TOP)),
        kl.sum(),
        log_p - f64::from(teacher[label]),
        log_q - f64::from(student[label]),
    ]
}

/// ln Σ exp(scores)
fn log_sum(scores: &[f32]) -> f64 {
    let largest = f64::from(scores.iter().copied().fold(f32::MIN, f32::max));
    let powers = scores.iter().map(|s| (f64::from(*s) - largest).exp());
    largest + powers.sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_by_rank_divergence_and_likelihood() {
        let teacher = [0.0, 3.0, 1.0, 2.0, -1.0, 0.5, 0.2];
        let same = token(&teacher, &teacher, 3);
        assert_eq!(same[..2], [1.0, 1.0]);
        assert!(same[2].abs() < 1e-12 && (same[3] - same[4]).abs() < 1e-12);
        // The first choice comes sixth: after five that are likelier.
        let student = [5.0, 0.0, 4.0, 3.0, 2.0, 1.0, -1.0];
        let other = token(&teacher, &student, 3);
        assert_eq!(other[..2], [0.0, 0.0]);
        // Equal scores: the first of them stands before.
        let tied = token(&teacher, &[1.0; 7], 3);
        assert_eq!(tied[..2], [0.0, 1.0]);
        assert!((tied[4] - 7_f64.ln()).abs() < 1e-6, "{}", tied[4]);
        let p: Vec<f64> = teacher
            .iter()
            .map(|y| (f64::from(*y) - log_sum(&teacher)).exp())
            .collect();
        let want: f64 = p.iter().map(|p| p * (p * 7.0).ln()).sum();
        assert!((tied[2] - want).abs() < 1e-6, "{} {want}", tied[2]);
    }

    #[test]
    fn standard_errors_are_those_of_sequences() {
        let got = measured(&[1.0, 2.0, 3.0, 6.0]);
        assert!((got.value - 3.0).abs() < 1e-12);
        assert!((got.standard_error - (14.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }
}
