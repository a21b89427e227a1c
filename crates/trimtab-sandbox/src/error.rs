//! Why the sandbox could not do its work. Never the fault of the program inside: that is a verdict.

use crate::Language;
use std::path::PathBuf;
use trimtab_domain::Failure;

/// A failure of the sandbox itself.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// bubblewrap is not installed.
    #[error("`bwrap` was not found, and generated programs run only inside it")]
    BubblewrapMissing,
    /// bubblewrap lacks options that the isolation needs.
    #[error("`{}` has version {found}, at least {needed} is needed", path.display())]
    BubblewrapTooOld {
        /// The program found.
        path: PathBuf,
        /// What it calls itself.
        found: String,
        /// The oldest version that does.
        needed: &'static str,
    },
    /// The kernel or a container refuses new namespaces.
    #[error("this system does not let `bwrap` create namespaces: {detail}")]
    NamespacesForbidden {
        /// What bubblewrap said.
        detail: String,
    },
    /// Root needs `setpriv` to give programs a user of their own.
    #[error("`setpriv` was not found, and root needs it to run programs as another user")]
    SetprivMissing,
    /// No Python was found.
    #[error("`python3` was not found")]
    PythonMissing,
    /// A Python was found that cannot be used.
    #[error("`{}` cannot run programs: {detail}", path.display())]
    PythonUnusable {
        /// The program tried.
        path: PathBuf,
        /// What went wrong.
        detail: String,
    },
    /// A language has no compiler or no runtime here. Its problems are not graded.
    #[error("{language} cannot be graded: `{program}` was not found")]
    ToolchainMissing {
        /// The language.
        language: Language,
        /// What was looked for in `PATH`.
        program: &'static str,
    },
    /// A compiler or runtime was found that does not do its work. Its problems are not graded.
    #[error("{language} cannot be graded: {detail}")]
    ToolchainUnusable {
        /// The language.
        language: Language,
        /// What went wrong.
        detail: String,
    },
    /// A file beside a program would lie outside its folder.
    #[error("`{path}` is no path of a file beside a program")]
    FilePath {
        /// The path.
        path: String,
    },
    /// The self-test found a hole, so nothing is run.
    #[error("the sandbox does not isolate programs here: {hole}")]
    NotIsolated {
        /// What a program inside could do.
        hole: String,
    },
    /// The sandbox did not start or ended by itself.
    #[error("the sandbox did not run: {detail}")]
    Broken {
        /// What its parts said.
        detail: String,
    },
    /// The operating system refused something to this process.
    #[error("failed to {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl SandboxError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BubblewrapMissing => Some("apt-get install bubblewrap"),
            Self::BubblewrapTooOld { .. } => {
                Some("install bubblewrap from Debian 12, Ubuntu 24.04 or newer")
            }
            Self::NamespacesForbidden { .. } => Some(
                "allow unprivileged user namespaces (Ubuntu: `sysctl -w \
                 kernel.apparmor_restrict_unprivileged_userns=0`; Debian: `sysctl -w \
                 kernel.unprivileged_userns_clone=1`), or in a container add `--cap-add SYS_ADMIN \
                 --security-opt seccomp=unconfined --security-opt apparmor=unconfined`",
            ),
            Self::SetprivMissing => Some("apt-get install util-linux"),
            Self::PythonMissing | Self::PythonUnusable { .. } => Some("apt-get install python3"),
            Self::ToolchainMissing { language, .. } | Self::ToolchainUnusable { language, .. } => {
                Some(language.hint())
            }
            Self::FilePath { .. } => Some(
                "use letters, digits and `_ - .` in names, and no `..`; Python modules end in `.py`",
            ),
            Self::NotIsolated { .. } | Self::Broken { .. } | Self::Io { .. } => None,
        }
    }

    /// For `map_err`: an operating-system error with what was tried.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        let failure = match &error {
            SandboxError::Io { source, .. } => Self::failed(format_args!("{error}: {source}")),
            _ => Self::failed(&error),
        };
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_bubblewrap_says_how_to_install_it() {
        let failure = Failure::from(SandboxError::BubblewrapMissing);
        assert_eq!(failure.hint.as_deref(), Some("apt-get install bubblewrap"));
    }

    #[test]
    fn the_cause_of_an_operating_system_error_is_told() {
        let source = std::io::Error::from_raw_os_error(libc::EMFILE);
        let failure = Failure::from(SandboxError::Io {
            action: "open a pipe",
            source,
        });
        assert!(
            failure
                .message
                .starts_with("failed to open a pipe: Too many open files")
        );
    }
}
