//! A reading position in untrusted bytes: every step is checked against what is left.

use super::GgufError;

/// Reads little-endian values in order.
///
/// Invariant: `offset <= bytes.len()`.
#[derive(Debug)]
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

    pub(super) fn n_left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The next `length` bytes, borrowed.
    pub(super) fn take(&mut self, length: u64, what: &'static str) -> Result<&'a [u8], GgufError> {
        let left = self.n_left();
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                let taken = &self.bytes[self.offset..self.offset + length];
                self.offset += length;
                Ok(taken)
            }
            _ => Err(GgufError::Truncated {
                what,
                offset: self.offset,
                needed: length,
                left,
            }),
        }
    }

    /// The next `N` bytes, copied.
    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], GgufError> {
        let taken = self.take(N as u64, what)?;
        Ok(taken
            .try_into()
            .expect("take returns exactly the length asked for"))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A count of things that take at least `min_size` bytes each, refused if they cannot all be
    /// in the bytes left.
    pub(super) fn count(
        &mut self,
        min_size: usize,
        what: &'static str,
    ) -> Result<usize, GgufError> {
        let claimed = self.u64(what)?;
        let left = self.n_left();
        let most = left / min_size;
        match usize::try_from(claimed) {
            Ok(count) if count <= most => Ok(count),
            _ => Err(GgufError::ImpossibleCount {
                what,
                claimed,
                most,
                left,
            }),
        }
    }

    /// A length and as many bytes of UTF-8, borrowed.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let length = self.u64(what)?;
        let offset = self.offset;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| GgufError::InvalidUtf8 { what, offset })
    }

    /// Like [`text`](Self::text), with a limit that the format sets.
    pub(super) fn name(&mut self, limit: u64, what: &'static str) -> Result<&'a str, GgufError> {
        let mut ahead = Cursor {
            bytes: self.bytes,
            offset: self.offset,
        };
        let length = ahead.u64(what)?;
        if length > limit {
            return Err(GgufError::NameTooLong {
                what,
                length,
                limit,
            });
        }
        self.text(what)
    }
}
