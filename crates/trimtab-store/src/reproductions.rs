//! Runs that were done again, each compared once.

use crate::database::{from_json, to_json};
use crate::{Store, StoreError};
use trimtab_domain::{Reproduction, RunId};

impl Store {
    /// Keeps a comparison; the run that was done again has none yet, or this one replaces it.
    pub async fn put_reproduction(&self, made: &Reproduction) -> Result<(), StoreError> {
        sqlx::query(
            "insert into reproduction (run_id, by_run_id, format_version, body)
             values (?, ?, ?, ?)
             on conflict (by_run_id) do update
             set run_id = excluded.run_id, format_version = excluded.format_version,
                 body = excluded.body",
        )
        .bind(made.run_id.0)
        .bind(made.by.0)
        .bind(Reproduction::FORMAT_VERSION)
        .bind(to_json(made))
        .execute(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(())
    }

    /// How often a run was done again, and what came of it, oldest first.
    pub async fn reproductions(&self, run_id: RunId) -> Result<Vec<Reproduction>, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select format_version, body from reproduction where run_id = ?
             order by reproduction_id",
        )
        .bind(run_id.0)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        let read = rows.into_iter().map(|(version, body)| {
            if i64::from(Reproduction::FORMAT_VERSION) < version {
                return Err(StoreError::BadRow {
                    table: "reproduction",
                    reason: format!("format version {version} is newer than this program"),
                });
            }
            from_json("reproduction", &body)
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::Timestamp;

    fn made(by: i64, is_reproduced: bool) -> Reproduction {
        Reproduction {
            run_id: RunId(1),
            by: RunId(by),
            at: Timestamp(7),
            is_reproduced,
            numbers: Vec::new(),
            gaps: Vec::new(),
            circumstances: vec!["another machine".to_owned()],
        }
    }

    #[tokio::test]
    async fn a_run_is_compared_once_with_each_that_did_it_again() {
        let store = Store::in_memory().await.unwrap();
        for title in ["first", "second", "third"] {
            sqlx::query(
                "insert into run (title, spec, state, created_at_ms) values (?, '{}', 'done', 0)",
            )
            .bind(title)
            .execute(&store.pool)
            .await
            .unwrap();
        }
        store.put_reproduction(&made(2, false)).await.unwrap();
        store.put_reproduction(&made(3, true)).await.unwrap();
        store.put_reproduction(&made(2, true)).await.unwrap();
        let kept = store.reproductions(RunId(1)).await.unwrap();
        assert_eq!(kept, [made(2, true), made(3, true)]);
        assert!(store.reproductions(RunId(2)).await.unwrap().is_empty());
        assert!(store.put_reproduction(&made(9, true)).await.is_err());
        let newer = "update reproduction set format_version = 2 where by_run_id = 3";
        sqlx::query(newer).execute(&store.pool).await.unwrap();
        let refused = store.reproductions(RunId(1)).await.unwrap_err();
        assert!(refused.to_string().contains("newer than this program"));
    }
}
