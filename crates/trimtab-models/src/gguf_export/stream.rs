//! A GGUF file that grows tensor by tensor under another name and takes its own once complete.

use super::GgufExportError;
use crate::gguf::write::padding;
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// A file in the making; what is left of it is removed if it is not finished.
#[derive(Debug)]
pub(super) struct FileStream {
    file: BufWriter<File>,
    path: PathBuf,
    temporary: PathBuf,
    is_finished: bool,
}

impl FileStream {
    /// Begins a file that is to become `path`.
    pub(super) fn create(path: &Path, header: &[u8]) -> Result<Self, GgufExportError> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        let temporary = path.with_file_name(name);
        let failed = |source| io_error(&temporary, source);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(failed)?;
        let mut stream = Self {
            file: BufWriter::new(file),
            path: path.to_owned(),
            temporary,
            is_finished: false,
        };
        let written = stream.file.write_all(header);
        written.map_err(|source| io_error(path, source))?;
        Ok(stream)
    }

    /// Adds the next tensor.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), GgufExportError> {
        let zeros = [0; 32];
        let written = self
            .file
            .write_all(bytes)
            .and_then(|()| self.file.write_all(&zeros[..padding(bytes.len())]));
        written.map_err(|source| io_error(&self.path, source))
    }

    /// Waits until all is on disk and gives the file its name; returns its bytes.
    pub(super) fn finish(mut self) -> Result<u64, GgufExportError> {
        let n_bytes = self
            .settle()
            .map_err(|source| io_error(&self.path, source))?;
        self.is_finished = true;
        Ok(n_bytes)
    }

    fn settle(&mut self) -> std::io::Result<u64> {
        self.file.flush()?;
        let file = self.file.get_ref();
        file.sync_all()?;
        let n_bytes = file.metadata()?.len();
        std::fs::rename(&self.temporary, &self.path)?;
        // The name itself is on disk once its folder is.
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(n_bytes)
    }
}

impl Drop for FileStream {
    fn drop(&mut self) {
        if !self.is_finished {
            // Nothing more can be done about what cannot be removed.
            std::fs::remove_file(&self.temporary).ok();
        }
    }
}

fn io_error(path: &Path, source: std::io::Error) -> GgufExportError {
    GgufExportError::Io {
        path: path.to_owned(),
        source,
    }
}
