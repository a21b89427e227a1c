//! An answer while it grows: tokens to text, stop strings and end-of-text tokens.

use crate::{Engine, GenerationRequest, RuntimeError, StopStrings};
use trimtab_domain::FinishReason;
use trimtab_models::{ControlTokens, TokenStream};

/// Sees an answer piece by piece, each a whole number of characters; `false` ends the answer.
pub(crate) type Listener<'a> = dyn FnMut(&str) -> bool + Send + 'a;

/// An answer while it grows.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    stream: TokenStream<'a>,
    end_of_text: Vec<u32>,
    stop: StopStrings,
    text: String,
    token_ids: Vec<u32>,
    token_ends: Vec<usize>,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(engine: &'a Engine, request: &GenerationRequest<'_>) -> Self {
        let tokenizer = engine.tokenizer();
        let end_of_text = match request.stops_at_end_of_text {
            true => tokenizer.eos_ids().to_vec(),
            false => Vec::new(),
        };
        Self {
            stream: tokenizer.continuation(ControlTokens::Hide),
            end_of_text,
            stop: StopStrings::new(request.stop.clone()),
            text: String::new(),
            token_ids: Vec::new(),
            token_ends: Vec::new(),
        }
    }

    /// Takes a token; whether the answer is over.
    pub(crate) fn push(
        &mut self,
        id: u32,
        on_text: &mut Listener<'_>,
    ) -> Result<bool, RuntimeError> {
        if self.end_of_text.contains(&id) {
            return Ok(true);
        }
        self.token_ids.push(id);
        let (shown, found) = self.stop.push(&self.stream.push(id)?);
        self.text.push_str(&shown);
        self.token_ends.push(self.text.len());
        let goes_on = shown.is_empty() || on_text(&shown);
        Ok(found || !goes_on)
    }

    /// Text, tokens and where each of them ends; shows what was held back unless a stop string swallowed it.
    pub(crate) fn finish(
        mut self,
        finish_reason: FinishReason,
        on_text: &mut Listener<'_>,
    ) -> (String, Vec<u32>, Vec<usize>) {
        let mut rest = self.stop.finish();
        if finish_reason == FinishReason::Length {
            rest.push_str(&self.stream.finish());
        }
        if !rest.is_empty() {
            on_text(&rest);
            self.text.push_str(&rest);
            if let Some(end) = self.token_ends.last_mut() {
                *end = self.text.len();
            }
        }
        (self.text, self.token_ids, self.token_ends)
    }
}
