//! Files and folders named by their SHA-256: written under another name, synced, renamed, never
//! changed.
//!
//! The digest of a folder is that of the list of its files, a line `digest  name` each, sorted by
//! name: what `sha256sum * | sha256sum` prints for a folder without subfolders.

use crate::StoreError;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use trimtab_domain::{Bytes, Digest};

/// A folder of files named `<sha256>.<extension>`.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
    extension: &'static str,
}

impl Artifacts {
    /// The files in `folder` that end in `.extension`; the folder is made if it is not there.
    pub fn open(folder: &Path, extension: &'static str) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|error| StoreError::from_write(folder, &error))?;
        Ok(Self {
            folder: folder.to_owned(),
            extension,
        })
    }

    /// Where the file or folder with `digest` is, or the file would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let folder = self.folder_path(digest);
        if folder.is_dir() {
            return folder;
        }
        self.folder.join(format!("{digest}.{}", self.extension))
    }

    fn folder_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.as_str())
    }

    /// Whether a file or folder of that digest and size is there. Its contents are not read.
    pub fn contains(&self, digest: &Digest, size: Bytes) -> bool {
        let path = self.path(digest);
        if path.is_dir() {
            let files = files_of(&path).unwrap_or_default();
            return files.iter().map(|(_, n_bytes)| n_bytes).sum::<u64>() == size.0;
        }
        fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size.0)
    }

    /// Moves a finished file into the folder under the name of its digest.
    ///
    /// The file must be on the same file system. After this returns, the file survives a power
    /// cut. If a file of that digest is already there, it is replaced by its equal.
    pub fn adopt(&self, finished: &Path) -> Result<(Digest, Bytes), StoreError> {
        let (digest, size) = digest_of_file(finished, &mut |_| ())?;
        self.adopt_verified(finished, &digest)?;
        Ok((digest, size))
    }

    /// As [`Self::adopt`], for a file whose digest was computed while it was written.
    pub fn adopt_verified(&self, finished: &Path, digest: &Digest) -> Result<(), StoreError> {
        let target = self.path(digest);
        File::open(finished)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(finished, &target))
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(|error| StoreError::from_write(&target, &error))
    }

    /// As [`Self::adopt_verified`], for a folder of files without subfolders.
    pub fn adopt_folder(&self, finished: &Path, digest: &Digest) -> Result<(), StoreError> {
        let target = self.folder_path(digest);
        if target.is_dir() {
            return Ok(());
        }
        let sync = |path: &Path| File::open(path)?.sync_all();
        files_of(finished)
            .and_then(|files| {
                files
                    .iter()
                    .try_for_each(|(name, _)| sync(&finished.join(name)))
            })
            .and_then(|()| sync(finished))
            .and_then(|()| fs::rename(finished, &target))
            .and_then(|()| sync(&self.folder))
            .map_err(|error| StoreError::from_write(&target, &error))
    }

    /// Whether the file or folder with `digest` still has that digest.
    pub fn verify(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        let (found, _) = match path.is_dir() {
            true => digest_of_folder(&path)?,
            false => digest_of_file(&path, &mut |_| ())?,
        };
        Ok(found == *digest)
    }

    /// Removes the file or folder with `digest`; one that is not there is fine.
    pub fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::from_write(&path, &error))
            }
            _ => Ok(()),
        }
    }
}

/// Names and sizes of the files of a folder, sorted by name; what is no file is left out.
fn files_of(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = fs::metadata(entry.path())?;
        if meta.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), meta.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// Digest of the list of a folder's files, and their size in all.
pub fn digest_of_folder(folder: &Path) -> Result<(Digest, Bytes), StoreError> {
    use std::fmt::Write as _;

    let files = files_of(folder).map_err(|source| StoreError::Read {
        path: folder.to_owned(),
        source,
    })?;
    let (mut list, mut size) = (String::new(), 0);
    for (name, n_bytes) in files {
        let (digest, _) = digest_of_file(&folder.join(&name), &mut |_| ())?;
        writeln!(list, "{digest}  {name}").expect("a string takes everything");
        size += n_bytes;
    }
    let mut hash = DigestWriter::new(io::sink());
    hash.count_existing(list.as_bytes());
    Ok((hash.finish().0, Bytes(size)))
}

/// Digest and size of a file, read in pieces; `on_bytes` hears the bytes read so far.
pub fn digest_of_file(
    path: &Path,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(Digest, Bytes), StoreError> {
    let read_error = |source| StoreError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(read_error)?;
    let mut hash = DigestWriter::new(io::sink());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(read_error)? {
            0 => break,
            n_read => hash.write_all(&buffer[..n_read]).map_err(read_error)?,
        }
        on_bytes(hash.n_bytes());
    }
    let (digest, size, _) = hash.finish();
    Ok((digest, size))
}

/// Computes the digest of what passes through.
#[derive(Debug)]
pub struct DigestWriter<W> {
    inner: W,
    hash: Sha256,
    n_bytes: u64,
}

impl<W: Write> DigestWriter<W> {
    /// Passes everything on to `inner`.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            n_bytes: 0,
        }
    }

    /// Counts `bytes` as written although they already lie where `inner` writes to.
    pub fn count_existing(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.n_bytes += bytes.len() as u64;
    }

    /// Bytes that have passed so far.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// The digest and number of all bytes, and the writer behind.
    pub fn finish(self) -> (Digest, Bytes, W) {
        let text = hex::encode(self.hash.finalize());
        let digest = text.parse().expect("hex of 32 bytes is a digest");
        (digest, Bytes(self.n_bytes), self.inner)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_written = self.inner.write(bytes)?;
        self.count_existing(&bytes[..n_written]);
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn an_adopted_file_is_named_by_its_digest_and_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(&folder.path().join("artifacts"), "trimtab").unwrap();
        let finished = folder.path().join("new");
        fs::write(&finished, "abc").unwrap();
        let (digest, size) = artifacts.adopt(&finished).unwrap();
        assert_eq!((digest.as_str(), size), (DIGEST_OF_ABC, Bytes(3)));
        assert!(!finished.exists());
        assert!(artifacts.contains(&digest, Bytes(3)));
        assert!(!artifacts.contains(&digest, Bytes(4)));
        assert!(artifacts.verify(&digest).unwrap());
        fs::write(artifacts.path(&digest), "abd").unwrap();
        assert!(!artifacts.verify(&digest).unwrap());
        artifacts.remove(&digest).unwrap();
        artifacts.remove(&digest).unwrap();
        assert!(!artifacts.contains(&digest, Bytes(3)));
    }

    #[test]
    fn a_folder_is_named_by_the_digest_of_its_list() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(&folder.path().join("models"), "gguf").unwrap();
        let finished = folder.path().join("new");
        fs::create_dir(&finished).unwrap();
        fs::write(finished.join("b.json"), "{}").unwrap();
        fs::write(finished.join("a.bin"), "abc").unwrap();
        let (digest, size) = digest_of_folder(&finished).unwrap();
        // `sha256sum * | sha256sum` of GNU coreutils 9.1.
        let want = "59d5949d8bdfa86ef0230a087b03b93769a45ea1ce416475cdeb4b8ac2c1a7c0";
        assert_eq!((digest.as_str(), size), (want, Bytes(5)));
        artifacts.adopt_folder(&finished, &digest).unwrap();
        assert!(!finished.exists());
        assert!(artifacts.contains(&digest, Bytes(5)));
        assert!(!artifacts.contains(&digest, Bytes(6)));
        assert!(artifacts.verify(&digest).unwrap());
        fs::write(artifacts.path(&digest).join("a.bin"), "abd").unwrap();
        assert!(!artifacts.verify(&digest).unwrap());
        artifacts.remove(&digest).unwrap();
        assert!(!artifacts.contains(&digest, Bytes(5)));
    }

    #[test]
    fn adopting_the_same_contents_twice_leaves_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(&folder.path().join("artifacts"), "trimtab").unwrap();
        for name in ["one", "two"] {
            fs::write(folder.path().join(name), "abc").unwrap();
            artifacts.adopt(&folder.path().join(name)).unwrap();
        }
        assert_eq!(
            fs::read_dir(folder.path().join("artifacts"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn a_digest_goes_on_from_what_is_already_written() {
        let mut hash = DigestWriter::new(Vec::new());
        hash.count_existing(b"a");
        hash.write_all(b"bc").unwrap();
        let (digest, size, written) = hash.finish();
        assert_eq!((digest.as_str(), size), (DIGEST_OF_ABC, Bytes(3)));
        assert_eq!(written, b"bc");
    }

    #[test]
    fn a_file_where_the_folder_should_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("artifacts");
        fs::write(&path, "").unwrap();
        let error = Artifacts::open(&path, "trimtab").unwrap_err();
        assert!(error.to_string().contains("artifacts"), "{error}");
    }
}
