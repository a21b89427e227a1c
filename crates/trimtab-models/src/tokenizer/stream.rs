//! Turns token ids into text one at a time, never cutting a character in two.

use super::{TextTokenizer, TokenizerError};

/// What becomes of control tokens in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlTokens {
    /// They appear as their names, as in [`TextTokenizer::decode`].
    Show,
    /// They give no text: for answers that are shown to people.
    Hide,
}

/// Text as it comes: bytes of a character that is not complete yet are held back.
///
/// All pieces together, the last from [`finish`](Self::finish), are exactly what
/// [`TextTokenizer::decode`] gives for all ids, where [`TextTokenizer::stream`] made it.
#[derive(Debug)]
pub struct TokenStream<'a> {
    tokenizer: &'a TextTokenizer,
    control: ControlTokens,
    /// The beginning of one character.
    held_back: Vec<u8>,
    /// Whether a space that comes now is one that encoding put before the text.
    drops_space: bool,
}

impl<'a> TokenStream<'a> {
    pub(super) fn new(
        tokenizer: &'a TextTokenizer,
        control: ControlTokens,
        drops_space: bool,
    ) -> Self {
        Self {
            tokenizer,
            control,
            held_back: Vec::new(),
            drops_space,
        }
    }

    /// The text that is complete with this id; often empty inside a character of several tokens.
    ///
    /// # Errors
    ///
    /// An id that is not in the vocabulary.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        let bytes = self.tokenizer.token_bytes(id)?;
        if self.control == ControlTokens::Hide && self.tokenizer.is_control(id) {
            return Ok(String::new());
        }
        let shown = match self.drops_space {
            true => bytes.strip_prefix(b" ").unwrap_or(bytes),
            false => bytes,
        };
        self.drops_space &= bytes.is_empty();
        self.held_back.extend(shown);
        Ok(self.take_complete())
    }

    /// What is held back at the end: nothing, or U+FFFD for an unfinished character.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held_back).into_owned()
    }

    fn take_complete(&mut self) -> String {
        let n_incomplete = match self.held_back.utf8_chunks().last() {
            Some(chunk) if is_beginning(chunk.invalid()) => chunk.invalid().len(),
            _ => 0,
        };
        let incomplete = self
            .held_back
            .split_off(self.held_back.len() - n_incomplete);
        let complete = std::mem::replace(&mut self.held_back, incomplete);
        String::from_utf8_lossy(&complete).into_owned()
    }
}

/// Whether more bytes could make these a character.
fn is_beginning(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => error.error_len().is_none(),
    }
}
