//! Byte-pair encoding: a word is cut into characters, and the two neighbours whose merge stands
//! first in the file become one token, as long as there are such.
//!
//! The work is that of the model `BPE` of the tokenizers library, against which it is tested; its
//! tables take a tenth of the memory.
//!
//! Source: Sennrich et al. 2016, <https://arxiv.org/abs/1508.07909>, section 3.2.

use super::{
    TokenizerError,
    merges::{Merge, MergeTable},
    vocabulary::Vocabulary,
};
use std::{cmp::Reverse, collections::BinaryHeap};

/// How words are encoded, beside the merges.
#[derive(Debug, Default)]
pub(super) struct BpeOptions {
    /// Whether a word that is a token is taken as it is.
    pub(super) takes_whole_words: bool,
    /// Whether a character without a token becomes the tokens `<0x00>` to `<0xFF>` of its bytes.
    pub(super) has_byte_tokens: bool,
    /// What becomes of a character without a token; without it, nothing does.
    pub(super) unknown: Option<UnknownToken>,
    /// Ids that no merge and no word leads to, ascending.
    pub(super) outside: Vec<u32>,
}

/// The token of what has none.
#[derive(Debug)]
pub(super) struct UnknownToken {
    pub(super) text: String,
    /// `None` where the file names a token that it does not have.
    pub(super) id: Option<u32>,
    /// Whether neighbours become one.
    pub(super) is_fused: bool,
}

/// The tables of a model.
#[derive(Debug)]
pub(super) struct Bpe {
    merges: MergeTable,
    /// Tokens of one character, in the order of the characters.
    characters: Vec<(char, u32)>,
    /// Tokens of bytes; empty where they are not used.
    byte_tokens: Vec<Option<u32>>,
    options: BpeOptions,
}

impl Bpe {
    pub(super) fn new(vocabulary: &Vocabulary, merges: &[Merge], options: BpeOptions) -> Self {
        let mut characters: Vec<(char, u32)> = vocabulary
            .tokens()
            .filter_map(|(text, id, _)| Some((only_char(text)?, id)))
            .filter(|(_, id)| !options.is_outside(*id))
            .collect();
        characters.sort_unstable();
        let byte_token = |byte: u8| {
            let id = vocabulary.id(&format!("<0x{byte:02X}>"));
            id.filter(|id| !options.is_outside(*id))
        };
        let byte_tokens = match options.has_byte_tokens {
            true => (0..=255).map(byte_token).collect(),
            false => Vec::new(),
        };
        Self {
            merges: MergeTable::new(merges, vocabulary.len()),
            characters,
            byte_tokens,
            options,
        }
    }

    /// Whether text without a token becomes the unknown token.
    pub(super) fn has_unknown(&self) -> bool {
        self.options.unknown.is_some()
    }

    /// Adds the tokens of a word to `ids`; characters without any are left out.
    ///
    /// # Errors
    ///
    /// A character that needs the unknown token where the vocabulary has none.
    pub(super) fn encode(
        &self,
        word: &str,
        vocabulary: &Vocabulary,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        if self.options.takes_whole_words
            && let Some(id) = vocabulary.id(word)
            && !self.options.is_outside(id)
        {
            ids.push(id);
            return Ok(());
        }
        let mut parts = Parts::new(self.first_parts(word)?);
        parts.merge(&self.merges);
        ids.extend(parts.ids());
        Ok(())
    }

    /// The tokens of the characters.
    fn first_parts(&self, word: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut parts = Vec::with_capacity(word.len());
        let mut unknown = None;
        for character in word.chars() {
            if let Some(id) = self.character(character) {
                parts.extend(unknown.take());
                parts.push(id);
            } else if let Some(bytes) = self.bytes(character) {
                parts.extend(bytes);
            } else if let Some(token) = &self.options.unknown {
                let missing = || TokenizerError::UnknownNamedToken {
                    key: "unk_token",
                    token: token.text.clone(),
                };
                let id = token.id.ok_or_else(missing)?;
                if !token.is_fused {
                    parts.extend(unknown.take());
                }
                unknown = Some(id);
            }
        }
        parts.extend(unknown);
        Ok(parts)
    }

    fn character(&self, character: char) -> Option<u32> {
        let key = |entry: &(char, u32)| entry.0;
        let place = self.characters.binary_search_by_key(&character, key);
        place.ok().map(|place| self.characters[place].1)
    }

    /// The tokens of the bytes of a character, where each has one.
    fn bytes(&self, character: char) -> Option<Vec<u32>> {
        let mut buffer = [0; 4];
        let bytes = character.encode_utf8(&mut buffer).bytes();
        let token = |byte: u8| *self.byte_tokens.get(usize::from(byte))?;
        bytes.map(token).collect()
    }
}

impl BpeOptions {
    fn is_outside(&self, id: u32) -> bool {
        self.outside.binary_search(&id).is_ok()
    }
}

fn only_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// A word on its way, as a list of tokens that knows its neighbours.
struct Parts {
    parts: Vec<Part>,
}

#[derive(Clone, Copy)]
struct Part {
    id: u32,
    previous: u32,
    next: u32,
}

/// No neighbour, or the id of a part that has become part of the one before it.
const NONE: u32 = u32::MAX;

/// A merge that may be done: its rank, the place of the left part, and what it makes.
type Candidate = Reverse<(u32, u32, u32)>;

impl Parts {
    fn new(ids: Vec<u32>) -> Self {
        let n_parts = ids.len() as u32;
        let part = |(place, id)| Part {
            id,
            // The first has no place before it, which wraps to `NONE`.
            previous: u32::wrapping_sub(place, 1),
            next: if place + 1 < n_parts { place + 1 } else { NONE },
        };
        Self {
            parts: (0..).zip(ids).map(part).collect(),
        }
    }

    /// Does all merges, the lowest rank first, and of the same rank the first in the word.
    fn merge(&mut self, merges: &MergeTable) {
        let places = 0..self.parts.len() as u32;
        let mut queue: BinaryHeap<Candidate> = places
            .filter_map(|place| self.candidate(merges, place))
            .collect();
        while let Some(Reverse((_, place, union))) = queue.pop() {
            // Either part may have become part of another since this was noted.
            let now = self.candidate(merges, place);
            if now.is_none_or(|Reverse((_, _, id))| id != union) {
                continue;
            }
            let left = self.parts[place as usize];
            let right = self.parts[left.next as usize];
            self.parts[left.next as usize].id = NONE;
            self.parts[place as usize] = Part {
                id: union,
                next: right.next,
                ..left
            };
            if right.next != NONE {
                self.parts[right.next as usize].previous = place;
            }
            if left.previous != NONE {
                queue.extend(self.candidate(merges, left.previous));
            }
            queue.extend(self.candidate(merges, place));
        }
    }

    /// The merge of a part with the one after it.
    fn candidate(&self, merges: &MergeTable, place: u32) -> Option<Candidate> {
        let left = self.parts[place as usize];
        if left.id == NONE || left.next == NONE {
            return None;
        }
        let union = merges.get(left.id, self.parts[left.next as usize].id)?;
        Some(Reverse((union.rank, place, union.id)))
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        let ids = self.parts.iter().map(|part| part.id);
        ids.filter(|id| *id != NONE)
    }
}
