//! One answer: a batch with a single place.

use crate::{
    Batch, BatchOptions, Engine, Generation, GenerationRequest, RuntimeError, answer::Listener,
};

impl Engine {
    /// Answers a prompt.
    ///
    /// `on_text` sees the answer piece by piece, each a whole number of characters, and ends it by
    /// returning `false`; it then counts as stopped.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] for an empty prompt, one that does not fit the context, or bad settings.
    pub fn generate(
        &self,
        request: &GenerationRequest<'_>,
        on_text: &mut Listener<'_>,
    ) -> Result<Generation, RuntimeError> {
        request.check(self.max_len(), self.config().vocab_size)?;
        let options = BatchOptions {
            kv_cache: self.kv_cache_format(),
            min_shared_prefix: None,
            ..BatchOptions::new(1, request.prompt_ids.len() + request.max_tokens)
        };
        let mut batch = Batch::new(self, options)?;
        batch.submit(request, Box::new(on_text))?;
        let ended = batch.run().pop();
        ended.expect("what was submitted ends").outcome
    }
}
