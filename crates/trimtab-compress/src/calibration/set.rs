//! The calibration set: sequences of tokens, and their digest.

use super::{
    CalibrationError, Overlap, Passage, bundled_text, find_overlap,
    pack::{NamedText, Packing, divided, sequences, tokens},
};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use trimtab_domain::{Calibration, CalibrationText, DeviceName, Digest};
use trimtab_models::{ModelConfig, ModelFiles, TextTokenizer};

/// Sequences of equal length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalibrationSet {
    sequences: Vec<Vec<u32>>,
    digest: Digest,
}

/// The contents of a stored text, by digest.
pub type ReadText<'a> = dyn Fn(&Digest) -> Option<String> + 'a;

impl CalibrationSet {
    /// Takes sequences as they are.
    ///
    /// # Panics
    ///
    /// If there are none, or their lengths differ.
    pub fn new(sequences: Vec<Vec<u32>>) -> Self {
        let length = sequences.first().map_or(0, Vec::len);
        assert!(length > 0, "a calibration set has tokens");
        let is_alike = |ids: &Vec<u32>| ids.len() == length;
        assert!(sequences.iter().all(is_alike), "sequences differ in length");
        let mut hash = Sha256::new();
        hash.update((length as u64).to_le_bytes());
        for id in sequences.iter().flatten() {
            hash.update(id.to_le_bytes());
        }
        let digest = hex::encode(hash.finalize());
        Self {
            sequences,
            digest: digest.parse().expect("hex of 32 bytes is a digest"),
        }
    }

    /// Reads and cuts the texts of `calibration` for a model. `stored` knows the texts that were
    /// taken over.
    ///
    /// # Errors
    ///
    /// [`CalibrationError`] for a text that is missing, empty or too short, a sequence that the model
    /// cannot read, and a chat form that it does not have.
    pub fn read(
        calibration: &Calibration,
        files: &ModelFiles,
        config: &ModelConfig,
        device: DeviceName,
        stored: &ReadText<'_>,
    ) -> Result<Self, CalibrationError> {
        let (n_sequences, length) = calibration.size(device);
        let (n_sequences, length) = (n_sequences as usize, length as usize);
        let max_len = config.max_len;
        if length > max_len {
            return Err(CalibrationError::TooLong { length, max_len });
        }
        let tokenizer = files.tokenizer()?;
        let sources = calibration.sources();
        let shares: Vec<f64> = sources.iter().map(|source| source.share).collect();
        let mut all = Vec::with_capacity(n_sequences);
        for (source, n_sequences) in sources.iter().zip(divided(n_sequences, &shares)) {
            let (name, text) = contents(&source.text, stored)?;
            if text.trim().is_empty() {
                return Err(CalibrationError::Empty(name.to_owned()));
            }
            let named = NamedText { name, text: &text };
            let ids = tokens(&named, calibration.form, files, &tokenizer)?;
            check_ids(name, &ids, config.vocab_size)?;
            let packing = Packing {
                n_sequences,
                length,
                bos: tokenizer.bos().filter(|_| tokenizer.adds_bos()),
            };
            let order = |n: usize| order_of(n, calibration.seed);
            all.extend(sequences(name, &ids, packing, order)?);
        }
        Ok(Self::new(all))
    }

    /// The sequences.
    pub fn sequences(&self) -> &[Vec<u32>] {
        &self.sequences
    }

    /// Tokens of a sequence.
    pub fn length(&self) -> usize {
        self.sequences[0].len()
    }

    /// SHA-256 of the length of a sequence (64 bits) and of all tokens in order (32 bits each),
    /// little-endian.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The first of `passages` that the set contains in part.
    ///
    /// # Errors
    ///
    /// [`CalibrationError::Tokenizer`] for tokens that are none of the tokenizer's.
    pub fn overlap(
        &self,
        tokenizer: &TextTokenizer,
        passages: &[Passage],
    ) -> Result<Option<Overlap>, CalibrationError> {
        let mut text = String::new();
        for ids in &self.sequences {
            text.push_str(&tokenizer.decode(ids)?);
        }
        Ok(find_overlap(&text, passages))
    }
}

fn contents<'a>(
    text: &'a CalibrationText,
    stored: &ReadText<'_>,
) -> Result<(&'a str, Cow<'static, str>), CalibrationError> {
    match text {
        CalibrationText::Bundled(name) => match bundled_text(name) {
            Some(text) => Ok((name, Cow::Borrowed(text))),
            None => Err(CalibrationError::UnknownText { name: name.clone() }),
        },
        CalibrationText::File(path) => Err(CalibrationError::MissingText(path.clone())),
        CalibrationText::Stored { name, digest } => match stored(digest) {
            Some(text) => Ok((name, Cow::Owned(text))),
            None => Err(CalibrationError::MissingText(name.clone())),
        },
    }
}

fn check_ids(name: &str, ids: &[u32], vocab_size: usize) -> Result<(), CalibrationError> {
    match ids.iter().find(|id| **id as usize >= vocab_size) {
        None => Ok(()),
        Some(id) => Err(CalibrationError::OutsideVocabulary {
            name: name.to_owned(),
            id: *id,
            vocab_size,
        }),
    }
}

/// The numbers below `n`, shuffled where there is a seed.
///
/// Source: Durstenfeld 1964, "Algorithm 235: Random permutation"; the numbers are those of
/// Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators" (`SplitMix64`).
fn order_of(n: usize, seed: Option<u64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let Some(mut state) = seed else {
        return order;
    };
    for idx in (1..n).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        order.swap(idx, (mixed % (idx as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_shuffles_always_in_the_same_way() {
        let mut shuffled = order_of(100, Some(7));
        assert_eq!(shuffled, order_of(100, Some(7)));
        assert_ne!(shuffled, order_of(100, Some(8)));
        assert_ne!(shuffled, order_of(100, None));
        shuffled.sort_unstable();
        assert_eq!(shuffled, order_of(100, None));
    }

    #[test]
    fn the_digest_knows_tokens_their_order_and_the_length_of_sequences() {
        let digest = |sequences: &[&[u32]]| {
            let sequences = sequences.iter().map(|ids| ids.to_vec()).collect();
            CalibrationSet::new(sequences).digest().clone()
        };
        let one = digest(&[&[1, 2], &[3, 4]]);
        assert_eq!(one, digest(&[&[1, 2], &[3, 4]]));
        assert_ne!(one, digest(&[&[1, 2, 3, 4]]));
        assert_ne!(one, digest(&[&[2, 1], &[3, 4]]));
    }
}
