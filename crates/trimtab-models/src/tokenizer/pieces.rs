//! Byte strings in one piece of memory, found by their number or by their content: a vocabulary
//! takes a few bytes a token beyond its text.

use std::hash::{BuildHasher, RandomState};

/// Byte strings, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Where each piece ends.
    ends: Vec<u32>,
}

impl Pieces {
    /// Room for `n` pieces.
    pub(super) fn with_capacity(n: usize) -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::with_capacity(n),
        }
    }

    /// Adds a piece; `false`, and no piece more, where all together would have 4 GiB.
    #[must_use]
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let end = self.bytes.len().saturating_add(piece.len());
        let Ok(end) = u32::try_from(end) else {
            return false;
        };
        self.bytes.extend_from_slice(piece);
        self.ends.push(end);
        true
    }

    pub(super) fn get(&self, idx: usize) -> Option<&[u8]> {
        let end = *self.ends.get(idx)?;
        let start = match idx {
            0 => 0,
            _ => self.ends[idx - 1],
        };
        Some(&self.bytes[start as usize..end as usize])
    }

    /// Gives back what was taken for pieces that did not come.
    pub(super) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

/// Numbers of pieces by their content: a table with open addressing that holds nothing but the
/// numbers. It hashes with a secret key, so that no file can be made to slow it down.
#[derive(Debug)]
pub(super) struct PieceIndex {
    /// A power of two; at most seven of eight are taken.
    slots: Vec<u32>,
    hasher: RandomState,
}

const EMPTY: u32 = u32::MAX;

impl PieceIndex {
    /// Room for `n` pieces, and no more.
    pub(super) fn with_capacity(n: usize) -> Self {
        Self {
            slots: vec![EMPTY; (n + n / 7 + 1).next_power_of_two()],
            hasher: RandomState::new(),
        }
    }

    /// The number of a piece.
    pub(super) fn find(&self, pieces: &Pieces, piece: &[u8]) -> Option<u32> {
        match self.slots[self.place(pieces, piece)] {
            EMPTY => None,
            idx => Some(idx),
        }
    }

    /// Notes the number of a piece that is not in it yet.
    pub(super) fn insert(&mut self, pieces: &Pieces, idx: u32) {
        let piece = pieces.get(idx as usize).expect("the piece is there");
        let place = self.place(pieces, piece);
        self.slots[place] = idx;
    }

    /// Where a piece is, or would be.
    fn place(&self, pieces: &Pieces, piece: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = self.hasher.hash_one(piece) as usize & mask;
        while self.slots[place] != EMPTY {
            if pieces.get(self.slots[place] as usize) == Some(piece) {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_by_number_and_by_content() {
        for n in [0, 1, 2, 7, 8, 1000] {
            let texts: Vec<String> = (0..n).map(|idx| format!("piece {idx}")).collect();
            let (mut pieces, mut index) = (Pieces::default(), PieceIndex::with_capacity(n));
            for (idx, text) in (0..).zip(&texts) {
                assert_eq!(index.find(&pieces, text.as_bytes()), None);
                assert!(pieces.push(text.as_bytes()));
                index.insert(&pieces, idx);
            }
            pieces.shrink_to_fit();
            for (idx, text) in (0..).zip(&texts) {
                assert_eq!(index.find(&pieces, text.as_bytes()), Some(idx));
                assert_eq!(pieces.get(idx as usize), Some(text.as_bytes()));
            }
            assert_eq!(pieces.get(n), None);
        }
    }
}
