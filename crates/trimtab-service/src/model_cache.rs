//! A folder of model files shared between data folders, by the file name that the hub uses.
//!
//! It spares test machines and people with several data folders the second download. A file of
//! it is taken only if it has the catalog's digest, and never changed.

use crate::disk;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use trimtab_domain::{CatalogModel, Failure};
use trimtab_store::digest_of_file;

/// A copy of the cached file in `folder`, if the cache has it with the right digest.
pub(crate) fn look_up(
    cache: &Path,
    entry: &CatalogModel,
    folder: &Path,
) -> Result<Option<PathBuf>, Failure> {
    let cached = cache.join(&entry.hub_file);
    if !fs::metadata(&cached).is_ok_and(|meta| meta.len() == entry.size.0) {
        return Ok(None);
    }
    let copy = folder.join("cached.gguf");
    link_or_copy(&cached, &copy).map_err(|error| disk::write_failure(&copy, &error))?;
    let (digest, _) = digest_of_file(&copy, &mut |_| ())?;
    if digest == entry.sha256 {
        return Ok(Some(copy));
    }
    fs::remove_file(&copy).map_err(|error| disk::write_failure(&copy, &error))?;
    Ok(None)
}

/// Puts a verified file into the cache, unless one of that name and size is there.
pub(crate) fn fill(cache: &Path, entry: &CatalogModel, file: &Path) -> io::Result<()> {
    let target = cache.join(&entry.hub_file);
    if fs::metadata(&target).is_ok_and(|meta| meta.len() == entry.size.0) {
        return Ok(());
    }
    fs::create_dir_all(cache)?;
    let unfinished = tempfile::Builder::new()
        .tempfile_in(cache)?
        .into_temp_path();
    link_or_copy(file, &unfinished)?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, &target)
}

/// On one file system a second name costs nothing; elsewhere the bytes are copied.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}
