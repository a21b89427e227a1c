//! What can go wrong with the store, each cause with its name and what to do about it.
//!
//! Source of the result codes: <https://www.sqlite.org/rescode.html>. The low byte is the primary
//! code; the rest says more about it.

use sqlx::migrate::MigrateError;
use std::path::{Path, PathBuf};
use trimtab_domain::{Failure, FailureKind};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file is not a database, or its contents contradict themselves.
    #[error("database `{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// A newer Trimtab has changed the tables.
    #[error(
        "database `{}` was written by a newer version of trimtab (migration {version})",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The first migration that this version does not know.
        version: i64,
    },
    /// The file or its folder cannot be written to.
    #[error("cannot write to `{}`: {reason}", path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// No space is left.
    #[error("the disk that holds `{}` is full", path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// Another process kept the database locked for too long.
    #[error("database `{}` is locked by another process", path.display())]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// A row that this version cannot read.
    #[error("a row of table `{table}` cannot be read: {reason}")]
    BadRow {
        /// The table.
        table: &'static str,
        /// Why.
        reason: String,
    },
    /// A result names a variant that is not there.
    #[error("variant `{0}` is not in the store")]
    UnknownVariant(String),
    /// A variant names a model that is not there.
    #[error("model `{0}` is not in the store")]
    UnknownModel(String),
    /// A statement failed for another reason.
    #[error("database `{}` failed: {source}", path.display())]
    Query {
        /// The database file.
        path: PathBuf,
        /// The cause.
        source: sqlx::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Primary result codes of SQLite that have a name of their own here.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
}

impl StoreError {
    /// Names the cause of a failed statement.
    pub(crate) fn from_sqlx(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        let Some(database_error) = error.as_database_error() else {
            return Self::Query {
                path,
                source: error,
            };
        };
        let extended: Option<i32> = database_error.code().and_then(|text| text.parse().ok());
        let reason = database_error.message().to_owned();
        match extended.map(|number| number & 0xff) {
            Some(code::CORRUPT | code::NOTADB) => Self::Damaged { path, reason },
            Some(code::READONLY | code::CANTOPEN) => Self::NotWritable { path, reason },
            Some(code::FULL) => Self::DiskFull { path },
            Some(code::BUSY | code::LOCKED) => Self::Locked { path },
            _ => Self::Query {
                path,
                source: error,
            },
        }
    }

    /// Names the cause of a failed migration; `newest` is the last one that this version knows.
    pub(crate) fn from_migration(path: &Path, newest: i64, error: MigrateError) -> Self {
        let path = path.to_owned();
        match error {
            MigrateError::VersionMissing(version) if newest < version => {
                Self::Newer { path, version }
            }
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                Self::from_sqlx(&path, source)
            }
            other => Self::Damaged {
                path,
                reason: other.to_string(),
            },
        }
    }

    /// Names the cause of a failed write to a file.
    pub(crate) fn from_write(path: &Path, error: &std::io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path }
            }
            _ => Self::NotWritable {
                path,
                reason: error.to_string(),
            },
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Damaged { .. } => Some(
                "move the file and those beside it that end in `-wal` and `-shm` away; a new \
                 database is made at the next start, and model files stay where they are",
            ),
            Self::Newer { .. } => {
                Some("install that version, or choose another folder with --data-dir")
            }
            Self::NotWritable { .. } => Some(
                "check the owner and the permissions, or choose another folder with --data-dir",
            ),
            Self::DiskFull { .. } => {
                Some("free some space, then try again: what has landed is kept")
            }
            Self::Locked { .. } => Some("try again in a moment"),
            Self::BadRow { .. }
            | Self::UnknownVariant(_)
            | Self::UnknownModel(_)
            | Self::Query { .. }
            | Self::Read { .. } => None,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::BadRow { .. } | StoreError::Query { .. } => FailureKind::Bug,
            StoreError::Newer { .. } => FailureKind::BadInput,
            StoreError::UnknownVariant(_) | StoreError::UnknownModel(_) => FailureKind::NotFound,
            StoreError::Damaged { .. }
            | StoreError::NotWritable { .. }
            | StoreError::DiskFull { .. }
            | StoreError::Locked { .. }
            | StoreError::Read { .. } => FailureKind::Failed,
        };
        let hint = error.hint();
        let failure = Self::new(kind, error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_folder_without_permission() {
        let path = Path::new("/data/trimtab.db");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert!(matches!(
            StoreError::from_write(path, &full),
            StoreError::DiskFull { .. }
        ));
        assert!(matches!(
            StoreError::from_write(path, &denied),
            StoreError::NotWritable { .. }
        ));
    }

    #[test]
    fn failures_keep_the_hint() {
        let failure = Failure::from(StoreError::DiskFull {
            path: "/data/trimtab.db".into(),
        });
        assert_eq!(
            failure.message,
            "the disk that holds `/data/trimtab.db` is full"
        );
        assert!(failure.hint.unwrap().contains("free some space"));
    }
}
