//! Reads the steps of a pickle one after the other.

use super::PickleError;

/// A place in a pickle.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn take(&mut self, n_bytes: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.offset..];
        let Some(taken) = rest.get(..n_bytes) else {
            return Err(PickleError::Truncated(self.offset));
        };
        self.offset += n_bytes;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PickleError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text of this many bytes.
    pub(super) fn text(&mut self, n_bytes: u64) -> Result<&'a str, PickleError> {
        let start = self.offset;
        let n_bytes = usize::try_from(n_bytes).map_err(|_| PickleError::Truncated(start))?;
        let bytes = self.take(n_bytes)?;
        str::from_utf8(bytes).map_err(|_| PickleError::BadText(start))
    }

    /// A text up to the end of its line.
    pub(super) fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = &self.bytes[self.offset..];
        let Some(n_bytes) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(PickleError::Truncated(self.offset));
        };
        let line = self.text(n_bytes as u64)?;
        self.offset += 1;
        Ok(line)
    }
}
