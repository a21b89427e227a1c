//! An output matrix of which every thread writes its own columns.

/// `[n_tokens, d_out]`, shared by threads that write disjoint columns.
#[derive(Debug)]
pub(crate) struct SharedOut<'a> {
    start: *mut f32,
    n_tokens: usize,
    d_out: usize,
    _borrowed: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `write`, whose callers keep to disjoint columns.
unsafe impl Sync for SharedOut<'_> {}

impl<'a> SharedOut<'a> {
    pub(crate) fn new(out: &'a mut [f32], d_out: usize) -> Self {
        Self {
            start: out.as_mut_ptr(),
            n_tokens: out.len() / d_out,
            d_out,
            _borrowed: std::marker::PhantomData,
        }
    }

    /// Writes neighbouring columns of one token.
    ///
    /// # Safety
    ///
    /// No other thread writes these columns meanwhile.
    ///
    /// # Panics
    ///
    /// If they lie outside the matrix.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, token: usize, first_column: usize, values: &[f32]) {
        assert!(token < self.n_tokens && first_column + values.len() <= self.d_out);
        // SAFETY: the assertion keeps the columns inside the matrix; the caller keeps others away.
        unsafe {
            let to = self.start.add(token * self.d_out + first_column);
            to.copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
    }
}
