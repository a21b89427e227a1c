//! What is learned from: tokens, of which some are read and the others learned.

use super::TrainError;

/// One text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// First token that is learned; those before it are only read. The first token of a text is
    /// never learned, since nothing stands before it.
    pub first_learned: usize,
}

impl Example {
    /// A text of which everything is learned.
    pub fn text(ids: Vec<u32>) -> Self {
        Self {
            ids,
            first_learned: 0,
        }
    }

    /// Tokens that go into the model: all but the last, which nothing follows.
    pub(super) fn inputs(&self) -> &[u32] {
        &self.ids[..self.ids.len().saturating_sub(1)]
    }

    /// Positions whose next token is learned.
    pub(super) fn learned(&self) -> std::ops::Range<usize> {
        let end = self.inputs().len();
        self.first_learned.max(1).min(end + 1) - 1..end
    }
}

/// What [`prepare`] did to the examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExampleCounts {
    /// Examples that are left.
    pub n_examples: usize,
    /// Examples that were cut.
    pub n_cut: usize,
    /// Examples that were dropped because no token of theirs can be learned.
    pub n_dropped: usize,
    /// Tokens that go into the model, over all examples.
    pub n_tokens: usize,
    /// Tokens of these that are learned.
    pub n_learned: usize,
}

/// Cuts examples to `max_len` tokens and drops those without a token to learn.
///
/// # Errors
///
/// Tokens that the model does not have, and data of which nothing is left.
pub(super) fn prepare(
    examples: Vec<Example>,
    max_len: usize,
    vocab_size: usize,
) -> Result<(Vec<Example>, ExampleCounts), TrainError> {
    let (mut kept, mut counts) = (Vec::new(), ExampleCounts::default());
    for (idx, mut example) in examples.into_iter().enumerate() {
        if let Some(id) = example.ids.iter().find(|id| **id as usize >= vocab_size) {
            return Err(TrainError::Token {
                example: idx,
                id: *id,
                vocab_size,
            });
        }
        if example.ids.len() > max_len {
            example.ids.truncate(max_len);
            counts.n_cut += 1;
        }
        if example.learned().is_empty() {
            counts.n_dropped += 1;
            continue;
        }
        counts.n_tokens += example.inputs().len();
        counts.n_learned += example.learned().len();
        kept.push(example);
    }
    counts.n_examples = kept.len();
    match kept.is_empty() {
        true => Err(TrainError::NothingToLearn),
        false => Ok((kept, counts)),
    }
}

/// Where learned positions stand among the tokens of a batch, and what follows them.
pub(super) fn learned_rows(examples: &[&Example]) -> (Vec<i32>, Vec<u32>) {
    let (mut rows, mut labels, mut first) = (Vec::new(), Vec::new(), 0);
    for example in examples {
        let learned = example.learned();
        rows.extend(learned.clone().map(|position| (first + position) as i32));
        labels.extend_from_slice(&example.ids[learned.start + 1..=learned.end]);
        first += example.inputs().len();
    }
    (rows, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(n: u32, first_learned: usize) -> Example {
        Example {
            ids: (0..n).collect(),
            first_learned,
        }
    }

    #[test]
    fn learned_positions_lie_before_the_tokens_that_are_learned() {
        assert_eq!(example(5, 3).learned(), 2..4);
        assert_eq!(example(5, 0).learned(), 0..4);
        assert_eq!(example(5, 5).learned(), 4..4);
        assert_eq!(example(5, 99).learned(), 4..4);
        assert!(example(1, 0).learned().is_empty());
        assert!(example(0, 0).learned().is_empty());
    }

    #[test]
    fn examples_are_cut_dropped_and_counted() {
        let examples = vec![example(9, 2), example(9, 7), example(4, 1), example(1, 0)];
        let (kept, counts) = prepare(examples, 6, 100).unwrap();
        assert_eq!(kept, [example(6, 2), example(4, 1)]);
        let want = ExampleCounts {
            n_examples: 2,
            n_cut: 2,
            n_dropped: 2,
            n_tokens: 5 + 3,
            n_learned: 4 + 3,
        };
        assert_eq!(counts, want);
    }

    #[test]
    fn foreign_tokens_and_empty_data_are_refused() {
        let error = prepare(vec![example(3, 0), example(9, 0)], 20, 8).unwrap_err();
        assert_eq!(
            error.to_string(),
            "example 1 has token 8, and the model only 8"
        );
        assert!(matches!(
            prepare(vec![example(3, 9)], 20, 8),
            Err(TrainError::NothingToLearn)
        ));
    }
}
