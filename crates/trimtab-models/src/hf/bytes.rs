//! The bytes of a file: mapped, so that only what is read takes memory, or owned.

use memmap2::Mmap;
use std::{fmt, fs::File, io, path::Path};

pub(super) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps a file into memory.
    ///
    /// The file must not be changed while it is open: model files are moved into place once
    /// complete, and never written to again.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            // An empty file cannot be mapped.
            return Ok(Self::Owned(vec![]));
        }
        // SAFETY: the map is read-only, and the contract above keeps the file from changing.
        unsafe { Mmap::map(&file) }.map(Self::Mapped)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes")
            .field("n_bytes", &self.as_slice().len())
            .finish_non_exhaustive()
    }
}
