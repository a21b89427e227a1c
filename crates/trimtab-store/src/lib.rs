//! Results in SQLite and artifacts named by their digest.
