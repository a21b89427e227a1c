//! Opening the database: settings, migrations, and a check that the file is whole.

use crate::StoreError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};
use std::path::{Path, PathBuf};
use std::time::Duration;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The database. Cheap to clone; all clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: SqlitePool,
    path: PathBuf,
}

impl Store {
    /// Opens the database at `path`, makes it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// A damaged file, a database of a newer version, a folder without permission and a full disk
    /// each have their variant of [`StoreError`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A result that was announced must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(4);
        let store = Self::connect(pool, options, path).await?;
        store.check_file().await?;
        store.migrate().await?;
        Ok(store)
    }

    /// A database that lives as long as the value, for tests.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(":memory:")
            .in_memory(true)
            .foreign_keys(true);
        // Each connection would have a database of its own, so there is one, and it stays.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None);
        let store = Self::connect(pool, options, Path::new(":memory:")).await?;
        store.migrate().await?;
        Ok(store)
    }

    async fn connect(
        pool: SqlitePoolOptions,
        options: SqliteConnectOptions,
        path: &Path,
    ) -> Result<Self, StoreError> {
        let pool = pool
            .connect_with(options)
            .await
            .map_err(|error| StoreError::from_sqlx(path, error))?;
        Ok(Self {
            pool,
            path: path.to_owned(),
        })
    }

    async fn check_file(&self) -> Result<(), StoreError> {
        let verdict: String = sqlx::query_scalar("pragma quick_check(1)")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.named(error))?;
        if verdict == "ok" {
            Ok(())
        } else {
            Err(StoreError::Damaged {
                path: self.path.clone(),
                reason: verdict,
            })
        }
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let newest = MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or(0);
        MIGRATIONS
            .run(&self.pool)
            .await
            .map_err(|error| StoreError::from_migration(&self.path, newest, error))
    }

    /// Waits for running statements and closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that takes the write lock at once, so that what it reads cannot change
    /// before it writes.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.pool
            .begin_with("begin immediate")
            .await
            .map_err(|error| self.named(error))
    }

    pub(crate) async fn commit(
        &self,
        transaction: Transaction<'static, Sqlite>,
    ) -> Result<(), StoreError> {
        transaction
            .commit()
            .await
            .map_err(|error| self.named(error))
    }

    /// Names the cause of a failed statement.
    pub(crate) fn named(&self, error: sqlx::Error) -> StoreError {
        StoreError::from_sqlx(&self.path, error)
    }
}

/// Reads a JSON column.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    table: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::BadRow {
        table,
        reason: error.to_string(),
    })
}

/// Writes a JSON column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("wire types have string keys and no failing serializer")
}

/// Reads a column that holds a checked text, for example a name or a digest.
pub(crate) fn parsed<T>(table: &'static str, text: String) -> Result<T, StoreError>
where
    T: TryFrom<String>,
    T::Error: std::fmt::Display,
{
    T::try_from(text).map_err(|error| StoreError::BadRow {
        table,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_cannot_grow_is_named_as_a_full_disk() {
        let store = Store::in_memory().await.unwrap();
        // SQLite never sets the limit below the pages in use.
        sqlx::query("pragma max_page_count = 1")
            .execute(&store.pool)
            .await
            .unwrap();
        let error = sqlx::query(
            "insert into run (title, spec, state, created_at_ms) values (?, '{}', 'queued', 0)",
        )
        .bind("x".repeat(1_000_000))
        .execute(&store.pool)
        .await
        .unwrap_err();
        let error = store.named(error);
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        let runs = store.runs(trimtab_domain::RunKind::Evaluation).await;
        assert!(runs.unwrap().is_empty());
    }
}
