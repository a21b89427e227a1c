//! Numbers for expressions: equal ones get equal numbers.

use crate::keyed_hash::Keyed;

/// No expression.
const FREE: u32 = u32::MAX;
/// Places of an empty table.
const FEWEST_PLACES: usize = 512;

/// The expressions of the texts of one comparison, numbered from 0 in order of appearance.
///
/// They lie one behind the other, since most are a few numbers long and would cost more to allocate
/// than to read.
#[derive(Debug)]
pub(super) struct Expressions {
    keyed: Keyed,
    parts: Vec<u32>,
    /// By number: hash, and where the expression ends in `parts`.
    known: Vec<(u64, usize)>,
    /// Numbers at the places that their hashes tell, or behind; at least half are free.
    places: Vec<u32>,
}

impl Default for Expressions {
    fn default() -> Self {
        Self {
            keyed: Keyed::default(),
            parts: Vec::new(),
            known: Vec::new(),
            places: vec![FREE; FEWEST_PLACES],
        }
    }
}

impl Expressions {
    /// The number of an expression.
    pub(super) fn number(&mut self, expression: &[u32]) -> u32 {
        let hash = self.keyed.hash_of(expression);
        let mut place = self.first_place(hash);
        loop {
            match self.places[place] {
                FREE => break,
                number if self.is(number, hash, expression) => return number,
                _ => place = (place + 1) & (self.places.len() - 1),
            }
        }
        let number = self.known.len() as u32;
        self.places[place] = number;
        self.parts.extend(expression);
        self.known.push((hash, self.parts.len()));
        if self.known.len() * 2 >= self.places.len() {
            self.grow();
        }
        number
    }

    /// How many expressions there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    fn first_place(&self, hash: u64) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn is(&self, number: u32, hash: u64, expression: &[u32]) -> bool {
        let idx = number as usize;
        let (known_hash, end) = self.known[idx];
        let start = idx.checked_sub(1).map_or(0, |before| self.known[before].1);
        known_hash == hash && self.parts[start..end] == *expression
    }

    fn grow(&mut self) {
        self.places = vec![FREE; self.places.len() * 2];
        for number in 0..self.known.len() {
            let mut place = self.first_place(self.known[number].0);
            while self.places[place] != FREE {
                place = (place + 1) & (self.places.len() - 1);
            }
            self.places[place] = number as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::HashMap;

    /// The same by the maps of the standard library.
    fn number_reference(known: &mut HashMap<Vec<u32>, u32>, expression: &[u32]) -> u32 {
        let next = known.len() as u32;
        *known.entry(expression.to_vec()).or_insert(next)
    }

    #[test]
    fn numbers_are_those_of_a_map() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut expressions = Expressions::default();
        let mut known = HashMap::new();
        for _ in 0..20_000 {
            let length = random.random_range(0..5);
            let expression: Vec<u32> = (0..length).map(|_| random.random_range(0..9)).collect();
            let expected = number_reference(&mut known, &expression);
            assert_eq!(expressions.number(&expression), expected, "{expression:?}");
        }
        assert!(known.len() > 4 * FEWEST_PLACES, "the table has grown");
    }
}
