//! In which order examples are learned, and which of them stand side by side in a batch.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

/// How far training has come through the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// Times that all examples were learned.
    pub(super) epoch: u64,
    /// Examples of the epoch that were learned.
    pub(super) n_done: usize,
}

/// Examples in an order that is drawn anew for every epoch, from the seed and the epoch alone.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Tokens of each example.
    lens: Vec<usize>,
    batch_tokens: usize,
    seed: u64,
    position: Position,
    /// The examples of the epoch in their order.
    epoch: Vec<usize>,
}

impl Order {
    pub(super) fn new(lens: Vec<usize>, batch_tokens: usize, seed: u64) -> Self {
        let mut order = Self {
            lens,
            batch_tokens,
            seed,
            position: Position::default(),
            epoch: Vec::new(),
        };
        order.draw();
        order
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Goes to a position.
    pub(super) fn seek(&mut self, position: Position) {
        self.position = position;
        self.draw();
    }

    /// The next examples: as many as fit, one at least; a batch does not reach over an epoch's end.
    pub(super) fn next_batch(&mut self) -> Vec<usize> {
        if self.position.n_done >= self.epoch.len() {
            self.seek(Position {
                epoch: self.position.epoch.saturating_add(1),
                n_done: 0,
            });
        }
        let (mut batch, mut n_tokens) = (Vec::new(), 0);
        for example in &self.epoch[self.position.n_done..] {
            n_tokens += self.lens[*example];
            if n_tokens > self.batch_tokens && !batch.is_empty() {
                break;
            }
            batch.push(*example);
        }
        self.position.n_done += batch.len();
        batch
    }

    /// Fisher and Yates's shuffle.
    fn draw(&mut self) {
        let mut random = ChaCha12Rng::seed_from_u64(self.seed);
        random.set_stream(self.position.epoch);
        self.epoch = (0..self.lens.len()).collect();
        for last in (1..self.epoch.len()).rev() {
            self.epoch.swap(last, random.random_range(0..=last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_each_example_once_in_batches_that_fit() {
        let lens = vec![3, 5, 2, 9, 4, 4, 1];
        let mut order = Order::new(lens.clone(), 8, 7);
        let mut epochs = Vec::new();
        for epoch in 0..3 {
            let mut seen = Vec::new();
            while seen.len() < lens.len() {
                let batch = order.next_batch();
                let n_tokens: usize = batch.iter().map(|idx| lens[*idx]).sum();
                assert!(n_tokens <= 8 || batch.len() == 1, "{batch:?}");
                assert_eq!(order.position().epoch, epoch);
                seen.extend(batch);
            }
            epochs.push(seen.clone());
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        }
        assert_ne!(epochs[0], epochs[1]);
    }

    #[test]
    fn an_order_goes_on_from_any_position() {
        let mut order = Order::new(vec![2; 11], 5, 3);
        for _ in 0..8 {
            order.next_batch();
        }
        let mut other = Order::new(vec![2; 11], 5, 3);
        other.seek(order.position());
        for _ in 0..9 {
            assert_eq!(order.next_batch(), other.next_batch());
        }
    }
}
