//! The right to measure on a device: one process of this user at a time, whatever its data folder.
//!
//! A lease is a lock that the system holds on an open file (`flock`), so it ends with its process,
//! however that ends. The file stays: one that is removed could be locked twice.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use trimtab_domain::DeviceName;

/// Names the folder of leases in place of the usual one.
const FOLDER_ENV: &str = "TRIMTAB_LEASES";

/// How often a waiting process looks again.
const POLL: Duration = Duration::from_millis(100);

/// How often it says that it still waits.
const SAY: Duration = Duration::from_secs(5);

/// What is read of the holder's note.
const MAX_NOTE: u64 = 200;

/// Why a lease cannot be taken, however long one waits.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The folder cannot be made or looked at.
    #[error("cannot use the folder of leases `{}`: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could put files or links in the folder.
    #[error("the folder of leases `{}` is not a folder that only this user may write to", .0.display())]
    Unsafe(PathBuf),
    /// The file cannot be opened, locked or written.
    #[error("cannot take the lease `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LeaseError {
    /// What the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unsafe(_) => {
                "remove it, or name a folder of your own with mode 700 in TRIMTAB_LEASES"
            }
            Self::Folder { .. } | Self::File { .. } => {
                "name a folder that you may write to in TRIMTAB_LEASES, the same for all processes"
            }
        }
    }
}

/// The right to measure on a device; given back when it is dropped.
#[derive(Debug)]
pub struct DeviceLease {
    file: File,
    device: DeviceName,
}

impl DeviceLease {
    /// Waits until no other process measures on `device`. `purpose` is what those who wait are told;
    /// `on_wait` hears at once, and every few seconds, who is waited for.
    ///
    /// # Errors
    ///
    /// [`LeaseError`] if the lock cannot be made at all.
    pub fn take(
        device: DeviceName,
        purpose: &str,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Self, LeaseError> {
        let folder = match std::env::var_os(FOLDER_ENV).filter(|value| !value.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            // Not by TMPDIR or XDG_RUNTIME_DIR: processes that differ in those would not see each other.
            None => PathBuf::from(format!("/tmp/trimtab-{}", user_id())),
        };
        Self::take_in(&folder, device, purpose, on_wait)
    }

    /// As [`Self::take`], with the lock in `folder`, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub fn take_in(
        folder: &Path,
        device: DeviceName,
        purpose: &str,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Self, LeaseError> {
        require_own_folder(folder)?;
        let path = folder.join(format!("{}.lease", device.to_string().replace(':', "-")));
        let failed = |source: io::Error| LeaseError::File {
            path: path.clone(),
            source,
        };
        let mut file = open(&path).map_err(failed)?;
        let mut since_said: Option<Instant> = None;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            if since_said.is_none_or(|said| said.elapsed() >= SAY) {
                since_said = Some(Instant::now());
                on_wait(&format!("waiting for `{device}`: {}", holder(&mut file)));
            }
            std::thread::sleep(POLL);
        }
        let note = format!("process {} ({purpose})", std::process::id());
        write_note(&mut file, &note).map_err(failed)?;
        Ok(Self { file, device })
    }

    /// The device.
    pub fn device(&self) -> DeviceName {
        self.device
    }
}

impl Drop for DeviceLease {
    fn drop(&mut self) {
        // So that nobody is told of a process that has finished; the lock ends when the file closes.
        let _ = self.file.set_len(0);
    }
}

fn user_id() -> u32 {
    // SAFETY: the call reads a number of this process and cannot fail.
    unsafe { libc::geteuid() }
}

/// Makes the folder, and refuses one in which another user could put a link in the lock's place.
fn require_own_folder(folder: &Path) -> Result<(), LeaseError> {
    let failed = |source| LeaseError::Folder {
        folder: folder.to_owned(),
        source,
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let found = folder.symlink_metadata().map_err(failed)?;
    let is_own = found.is_dir() && found.uid() == user_id() && found.mode() & 0o022 == 0;
    match is_own {
        true => Ok(()),
        false => Err(LeaseError::Unsafe(folder.to_owned())),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn write_note(file: &mut File, note: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(note.as_bytes())
}

/// Who holds the lease, in words.
fn holder(file: &mut File) -> String {
    let mut note = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(MAX_NOTE).read_to_end(&mut note));
    let note: String = String::from_utf8_lossy(&note)
        .chars()
        .filter(|sign| !sign.is_control())
        .collect();
    match (read, note.is_empty()) {
        (Ok(_), false) => format!("{note} measures there"),
        _ => "another process measures there".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::PermissionsExt, sync::mpsc};

    const CPU: DeviceName = DeviceName::Cpu;

    fn take(folder: &Path, purpose: &str) -> DeviceLease {
        DeviceLease::take_in(folder, CPU, purpose, &mut |words| panic!("{words}")).unwrap()
    }

    #[test]
    fn a_lease_is_held_by_one_and_told_to_those_who_wait() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("leases");
        let first = take(&folder, "bench of m:int8");
        assert_eq!(first.device(), CPU);
        let (said, heard) = mpsc::channel();
        let (taken, landed) = mpsc::channel();
        let place = folder.clone();
        let waiting = std::thread::spawn(move || {
            let mut tell = |words: &str| said.send(words.to_owned()).unwrap();
            let second = DeviceLease::take_in(&place, CPU, "second", &mut tell).unwrap();
            taken.send(()).unwrap();
            drop(second);
        });
        let words = heard.recv().unwrap();
        let id = std::process::id();
        assert_eq!(
            words,
            format!("waiting for `cpu`: process {id} (bench of m:int8) measures there")
        );
        assert!(landed.try_recv().is_err(), "two hold the lease");
        drop(first);
        landed.recv().unwrap();
        waiting.join().unwrap();
        // Free again, and nothing is left that names a holder.
        drop(take(&folder, "third"));
        assert_eq!(std::fs::read(folder.join("cpu.lease")).unwrap(), b"");
    }

    #[test]
    fn devices_are_leased_apart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("leases");
        let _first = take(&folder, "first");
        let card: DeviceName = "cuda:0".parse().unwrap();
        let other = DeviceLease::take_in(&folder, card, "second", &mut |words| panic!("{words}"));
        assert_eq!(other.unwrap().device(), card);
        assert!(folder.join("cuda-0.lease").exists());
    }

    #[test]
    fn folders_and_links_of_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |folder: &Path| {
            DeviceLease::take_in(folder, CPU, "test", &mut |_| {})
                .unwrap_err()
                .to_string()
        };
        let open_to_all = dir.path().join("open");
        std::fs::create_dir(&open_to_all).unwrap();
        std::fs::set_permissions(&open_to_all, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(refused(&open_to_all).contains("only this user"));
        let own = dir.path().join("own");
        drop(take(&own, "test"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(refused(&link).contains("only this user"));
        // A link in the place of the lock would let the holder's note overwrite a file.
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "kept").unwrap();
        std::fs::remove_file(own.join("cpu.lease")).unwrap();
        std::os::unix::fs::symlink(&victim, own.join("cpu.lease")).unwrap();
        assert!(refused(&own).contains("cannot take the lease"));
        assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
        assert!(refused(&dir.path().join("no/such")).contains("cannot use the folder"));
    }
}
