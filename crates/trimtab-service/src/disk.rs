//! Free space, asked before a large file is written, and full disks told as such.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use trimtab_domain::{Bytes, Failure};

/// Kept free beyond what a file needs, for the database and its log.
const RESERVE: u64 = 32 << 20;

/// Space that an unprivileged process may still use on the file system of `path`.
pub(crate) fn free_space(path: &Path) -> io::Result<Bytes> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `statvfs` is a plain C struct for which all-zero bytes are a value.
    let mut stats: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends in a zero byte and `stats` is writable for the length of the call.
    let status = unsafe { libc::statvfs(path.as_ptr(), &raw mut stats) };
    if status == 0 {
        Ok(Bytes(stats.f_bavail * stats.f_frsize))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Fails if fewer than `needed` bytes, and a reserve, are free where `folder` is.
pub(crate) fn require_space(folder: &Path, needed: Bytes, purpose: &str) -> Result<(), Failure> {
    let free = free_space(folder).map_err(|error| {
        Failure::failed(format!(
            "cannot ask for free space in `{}`: {error}",
            folder.display()
        ))
    })?;
    check_space(folder, free, needed, purpose)
}

/// Whether `needed` bytes and a reserve fit into `free`.
pub(crate) fn has_space(free: Bytes, needed: Bytes) -> bool {
    needed.0.saturating_add(RESERVE) <= free.0
}

fn check_space(folder: &Path, free: Bytes, needed: Bytes, purpose: &str) -> Result<(), Failure> {
    if has_space(free, needed) {
        return Ok(());
    }
    let wanted = Bytes(needed.0.saturating_add(RESERVE));
    Err(Failure::failed(format!(
        "not enough disk space to {purpose}: {wanted} are needed in `{}`, {free} are free",
        folder.display()
    ))
    .with_hint("free some space, or choose another folder with --data-dir"))
}

/// Tells a failed write to `path`; a full disk is named as such.
pub(crate) fn write_failure(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => disk_full(path),
        _ => Failure::failed(format!("cannot write `{}`: {error}", path.display())),
    }
}

/// The failure of a full disk.
pub(crate) fn disk_full(path: &Path) -> Failure {
    Failure::failed(format!("the disk that holds `{}` is full", path.display()))
        .with_hint("free some space, then try again: what has landed is kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_says_what_is_needed_and_what_is_there() {
        let folder = Path::new("/data");
        assert!(check_space(folder, Bytes(1 << 30), Bytes(1 << 20), "x").is_ok());
        let failure =
            check_space(folder, Bytes(1_000_000), Bytes(491_400_064), "fetch `m`").unwrap_err();
        assert_eq!(
            failure.message,
            "not enough disk space to fetch `m`: 525 MB are needed in `/data`, 1.00 MB are free"
        );
        assert!(failure.hint.unwrap().contains("--data-dir"));
    }

    #[test]
    fn a_request_beyond_any_disk_fails_on_the_real_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(require_space(folder.path(), Bytes(u64::MAX), "x").is_err());
        assert!(require_space(folder.path(), Bytes(0), "x").is_ok());
    }
}
