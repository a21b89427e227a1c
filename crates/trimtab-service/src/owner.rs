//! Which process holds what: identities that survive the reuse of process ids, and the lock of
//! the data folder.

use crate::DataPaths;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use trimtab_domain::Failure;
use trimtab_store::Owner;

/// This process.
pub(crate) fn this_process() -> Owner {
    let pid = std::process::id();
    Owner {
        pid,
        start_ticks: start_ticks(pid).unwrap_or_default(),
    }
}

/// Whether the process still runs, and is not a later one with the same id.
pub(crate) fn is_alive(owner: Owner) -> bool {
    start_ticks(owner.pid) == Some(owner.start_ticks)
}

/// When a process started, in clock ticks since boot; `None` if it is gone or a zombie.
///
/// Source: `proc_pid_stat(5)`. The command name in parentheses may hold blanks and parentheses, so
/// fields are counted from its last closing one.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // State is field 3, the start time is field 22.
    fields.nth(18)?.parse().ok()
}

/// Held by the one server of a data folder; the system lets go of it when the process ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock and leaves this process's id in the file.
    pub(crate) fn take(paths: &DataPaths) -> Result<Self, Failure> {
        let path = paths.lock_file();
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot lock `{}`: {error}", path.display()))
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The message only loses the number if the file cannot be read.
                let _ = file.read_to_string(&mut holder);
                return Err(in_use(paths, holder.trim()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn in_use(paths: &DataPaths, holder: &str) -> Failure {
    let holder = if holder.is_empty() { "another" } else { holder };
    Failure::conflict(format!(
        "data folder `{}` is in use by process {holder}",
        paths.data_dir().display()
    ))
    .with_hint("stop that server, or choose another folder with --data-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_with_another_start_time_does_not() {
        let owner = this_process();
        assert!(is_alive(owner));
        assert!(!is_alive(Owner {
            start_ticks: owner.start_ticks + 1,
            ..owner
        }));
        assert!(!is_alive(Owner {
            pid: u32::MAX - 1,
            ..owner
        }));
    }

    #[test]
    fn a_locked_folder_names_its_holder_until_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let paths = DataPaths::new(folder.path());
        let lock = FolderLock::take(&paths).unwrap();
        let failure = FolderLock::take(&paths).unwrap_err();
        let expected = format!("is in use by process {}", std::process::id());
        assert!(failure.message.ends_with(&expected), "{failure}");
        drop(lock);
        FolderLock::take(&paths).unwrap();
    }
}
