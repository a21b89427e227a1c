//! A quick hash for small keys, whose secret is drawn anew by each process.
//!
//! Words, n-grams and subtrees are counted by the hundred thousand, and the hash of the standard
//! library takes longer than the rest of the counting. This one multiplies each piece with a secret
//! and folds the double-width product. Texts come from anyone: who does not know the secret cannot
//! choose texts whose hashes collide.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::OnceLock,
};

/// Makes hashers with the secret of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    start: u64,
    factor: u64,
}

static SECRET: OnceLock<Keyed> = OnceLock::new();

impl Default for Keyed {
    fn default() -> Self {
        *SECRET.get_or_init(|| {
            let random = RandomState::new();
            Self {
                start: random.hash_one(0_u8),
                // An odd factor loses no bit of what it is multiplied with.
                factor: random.hash_one(1_u8) | 1,
            }
        })
    }
}

impl Keyed {
    /// The hash of a list of numbers.
    pub(crate) fn hash_of(self, numbers: &[u32]) -> u64 {
        let mut hasher = self.build_hasher();
        let pairs = numbers.chunks_exact(2);
        if let [last] = pairs.remainder() {
            hasher.write_u32(*last);
        }
        for pair in pairs {
            hasher.write_u64((u64::from(pair[0]) << 32) | u64::from(pair[1]));
        }
        hasher.write_usize(numbers.len());
        hasher.finish()
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher;

    fn build_hasher(&self) -> FoldHasher {
        FoldHasher {
            state: self.start,
            factor: self.factor,
        }
    }
}

/// The state of one hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoldHasher {
    state: u64,
    factor: u64,
}

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        let words = bytes.chunks_exact(8);
        let rest = words.remainder();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words {
            self.write_u64(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        // Seven bytes at most remain: the eighth tells how many.
        last[7] = rest.len() as u8;
        self.write_u64(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.state ^ value) * u128::from(self.factor);
        self.state = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn what_differs_a_little_has_another_hash() {
        let keyed = Keyed::default();
        let mut hashes = HashSet::new();
        for length in 0..40_usize {
            let bytes = vec![0_u8; length];
            assert!(hashes.insert(keyed.hash_one(&*bytes)), "{length} bytes");
        }
        let mut hashes = HashSet::new();
        for first in 0..30 {
            for second in 0..30 {
                assert!(hashes.insert(keyed.hash_of(&[first, second])));
                assert!(hashes.insert(keyed.hash_of(&[first, second, 0])));
            }
            assert!(hashes.insert(keyed.hash_of(&[first])));
        }
    }

    #[test]
    fn low_and_high_bits_are_spread() {
        let keyed = Keyed::default();
        let n = 4096;
        let hashes: Vec<u64> = (0..n).map(|number| keyed.hash_of(&[number])).collect();
        // Of 4096 throws into as many places, 63 % of the places are hit on average.
        for shift in [0, 52] {
            let places: HashSet<u64> = hashes.iter().map(|hash| (hash >> shift) & 0xfff).collect();
            assert!(places.len() > 2000, "{} places", places.len());
        }
    }

    #[test]
    fn a_process_keeps_its_secret() {
        let one = Keyed::default().hash_one("word");
        assert_eq!(Keyed::default().hash_one("word"), one);
    }
}
