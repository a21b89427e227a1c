//! Finds bubblewrap and writes its command line.
//!
//! Two ways to give programs a user of their own, because the kernel exempts root's processes
//! from the process limit:
//!
//! * an ordinary user gets a user namespace, in which the kernel counts processes anew;
//! * root gets none: bubblewrap keeps just the capability to change user, and `setpriv` spends it
//!   at once on a user id that no person has. That also works in containers whose `/proc` is
//!   masked and on systems that forbid user namespaces.
//!
//! No `/proc` is mounted: programs rarely need it, and what is absent cannot leak.

use crate::SandboxError;
use crate::launch;
use crate::version::major_minor;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The first version with `--size` for temporary file systems.
const MIN_VERSION: (u32, u32) = (0, 7);
const MIN_VERSION_TEXT: &str = "0.7.0";

/// User ids that systemd hands to services while they run, so never a person's.
/// Source: <https://systemd.io/UIDS-GIDS/>.
const THROWAWAY_USERS: std::ops::RangeInclusive<u32> = 61184..=65519;

/// The program as it was found, and how it is used here.
#[derive(Clone, Debug)]
pub(crate) struct Bubblewrap {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
    identity: Identity,
}

/// How programs get a user of their own.
#[derive(Clone, Debug)]
enum Identity {
    UserNamespace,
    ThrowawayUser { setpriv: PathBuf },
}

/// What differs from run to run.
pub(crate) struct Wrapping<'a> {
    /// Folders outside `/usr` that are shown read-only.
    pub(crate) folders: &'a [PathBuf],
    /// Links that are shown: where they point, and where they lie.
    pub(crate) links: &'a [[&'a str; 2]],
    pub(crate) tmp_bytes: u64,
    pub(crate) seccomp_fd: RawFd,
    pub(crate) info_fd: RawFd,
    /// The command inside.
    pub(crate) command: &'a [OsString],
}

impl Bubblewrap {
    /// Finds a recent enough `bwrap` in `PATH`.
    pub(crate) fn find() -> Result<Self, SandboxError> {
        let path = find_in_path("bwrap").ok_or(SandboxError::BubblewrapMissing)?;
        let answer = launch::read_output(&path, &["--version"])?;
        let version = answer.trim().trim_start_matches("bubblewrap ").to_owned();
        if major_minor(&version).is_none_or(|version| version < MIN_VERSION) {
            let (found, needed) = (version, MIN_VERSION_TEXT);
            return Err(SandboxError::BubblewrapTooOld {
                path,
                found,
                needed,
            });
        }
        // SAFETY: the call reads the caller's own user id and cannot fail.
        let is_root = unsafe { libc::geteuid() } == 0;
        let identity = if is_root {
            let setpriv = system_program("setpriv").ok_or(SandboxError::SetprivMissing)?;
            Identity::ThrowawayUser { setpriv }
        } else {
            Identity::UserNamespace
        };
        Ok(Self {
            path,
            version,
            identity,
        })
    }

    /// The whole command line after the program's name.
    pub(crate) fn arguments(&self, wrapping: &Wrapping<'_>) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        arguments.add(&[
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
        ]);
        arguments.add(&["--unshare-cgroup-try", "--hostname", "sandbox"]);
        // As process 1 the supervisor takes every other process with it when it ends.
        arguments.add(&["--die-with-parent", "--new-session", "--as-pid-1"]);
        match &self.identity {
            Identity::UserNamespace => {
                arguments.add(&["--unshare-user", "--uid", "65534", "--gid", "65534"]);
                arguments.add(&["--cap-drop", "ALL"]);
            }
            Identity::ThrowawayUser { .. } => arguments.add(&[
                "--cap-drop",
                "ALL",
                "--cap-add",
                "CAP_SETUID",
                "--cap-add",
                "CAP_SETGID",
            ]),
        }
        arguments.add_system();
        for folder in wrapping.folders {
            arguments.add_shown(folder);
        }
        for [target, place] in wrapping.links {
            arguments.add_folders_above(Path::new(place));
            arguments.add(&["--symlink", target, place]);
        }
        let tmp_bytes = wrapping.tmp_bytes.max(4096).to_string();
        arguments.add(&["--perms", "1777", "--size", &tmp_bytes, "--tmpfs", "/tmp"]);
        // The root itself is a writable file system in memory until here.
        arguments.add(&["--remount-ro", "/", "--chdir", "/tmp"]);
        arguments.add(&["--seccomp", &wrapping.seccomp_fd.to_string()]);
        arguments.add(&["--info-fd", &wrapping.info_fd.to_string(), "--"]);
        if let Identity::ThrowawayUser { setpriv } = &self.identity {
            arguments.0.push(setpriv.into());
            let user = throwaway_user().to_string();
            arguments.add(&["--reuid", &user, "--regid", &user, "--clear-groups"]);
            arguments.add(&["--inh-caps=-all", "--"]);
        }
        arguments.0.extend_from_slice(wrapping.command);
        arguments.0
    }
}

/// A growing command line.
#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    /// The read-only system: `/usr`, the links into it, and three devices.
    fn add_system(&mut self) {
        self.add(&["--ro-bind", "/usr", "/usr"]);
        for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
            match std::fs::read_link(name) {
                Ok(target) => {
                    self.0
                        .extend(["--symlink".into(), target.into(), OsString::from(name)]);
                }
                Err(_) if Path::new(name).is_dir() => self.add(&["--ro-bind", name, name]),
                Err(_) => {}
            }
        }
        self.add_folder(Path::new("/dev"));
        for device in ["/dev/null", "/dev/zero", "/dev/urandom"] {
            self.add(&["--dev-bind", device, device]);
        }
    }

    /// A folder outside `/usr`, read-only, and nothing else of the folders above it.
    fn add_shown(&mut self, shown: &Path) {
        self.add_folders_above(shown);
        self.0
            .extend(["--ro-bind".into(), shown.into(), shown.into()]);
    }

    fn add_folders_above(&mut self, place: &Path) {
        let parents = place.ancestors().skip(1).collect::<Vec<_>>();
        for folder in parents
            .into_iter()
            .rev()
            .filter(|folder| folder.parent().is_some())
        {
            self.add_folder(folder);
        }
    }

    /// Folders that bubblewrap makes on the way to a target may be closed to other users.
    fn add_folder(&mut self, folder: &Path) {
        self.add(&["--perms", "0755", "--dir"]);
        self.0.push(folder.into());
    }
}

/// The first executable file of this name in `PATH`.
pub(crate) fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// The program in `/usr`, which the sandbox shows.
fn system_program(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Another one for every run, so that two programs at a time do not share a process count.
fn throwaway_user() -> u32 {
    static N_RUNS: AtomicU32 = AtomicU32::new(0);
    let n_users = THROWAWAY_USERS.end() - THROWAWAY_USERS.start() + 1;
    // Several processes of this program start at different places.
    let start = std::process::id().wrapping_mul(97);
    let offset = start.wrapping_add(N_RUNS.fetch_add(1, Ordering::Relaxed)) % n_users;
    THROWAWAY_USERS.start() + offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_a_row_have_different_users() {
        let (first, second) = (throwaway_user(), throwaway_user());
        assert_ne!(first, second);
        assert!(THROWAWAY_USERS.contains(&first) && THROWAWAY_USERS.contains(&second));
    }
}
