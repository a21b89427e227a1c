//! Model files that are, or were, on this machine.

use crate::database::parsed;
use crate::{Store, StoreError};
use trimtab_domain::{Bytes, Digest, ModelName, Timestamp};

/// A model with a verified file on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModel {
    /// The name.
    pub name: ModelName,
    /// Digest of the file.
    pub digest: Digest,
    /// Size of the file.
    pub size: Bytes,
    /// Architecture that the file names.
    pub architecture: Option<String>,
    /// When it came here.
    pub created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct ModelRow {
    name: String,
    digest: String,
    size_bytes: i64,
    architecture: Option<String>,
    created_at_ms: i64,
}

impl ModelRow {
    fn into_model(self) -> Result<StoredModel, StoreError> {
        Ok(StoredModel {
            name: parsed("model", self.name)?,
            digest: parsed("model", self.digest)?,
            size: Bytes(self.size_bytes as u64),
            architecture: self.architecture,
            created_at: Timestamp(self.created_at_ms),
        })
    }
}

impl Store {
    /// Records a verified model file; the name's former file, if another, is replaced.
    pub async fn put_model(&self, model: &StoredModel) -> Result<(), StoreError> {
        sqlx::query(
            "insert into model (name, digest, size_bytes, architecture, created_at_ms)
             values (?, ?, ?, ?, ?)
             on conflict (name) do update set
                 digest = excluded.digest,
                 size_bytes = excluded.size_bytes,
                 architecture = excluded.architecture,
                 created_at_ms = iif(removed_at_ms is null, created_at_ms, excluded.created_at_ms),
                 removed_at_ms = null",
        )
        .bind(model.name.as_str())
        .bind(model.digest.as_str())
        .bind(model.size.0 as i64)
        .bind(&model.architecture)
        .bind(model.created_at.0)
        .execute(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(())
    }

    /// The model of that name, unless it was removed.
    pub async fn model(&self, name: &ModelName) -> Result<Option<StoredModel>, StoreError> {
        let row: Option<ModelRow> = sqlx::query_as(
            "select name, digest, size_bytes, architecture, created_at_ms
             from model where name = ? and removed_at_ms is null",
        )
        .bind(name.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        row.map(ModelRow::into_model).transpose()
    }

    /// All models that were not removed, oldest first.
    pub async fn models(&self) -> Result<Vec<StoredModel>, StoreError> {
        let rows: Vec<ModelRow> = sqlx::query_as(
            "select name, digest, size_bytes, architecture, created_at_ms
             from model where removed_at_ms is null order by model_id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        rows.into_iter().map(ModelRow::into_model).collect()
    }

    /// Records that the model's file and the artifacts made of it are gone.
    ///
    /// Rows stay, so that results of former runs keep the size and recipe of their variants.
    pub async fn remove_model(&self, name: &ModelName, at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "update variant set removed_at_ms = ?
             where removed_at_ms is null
               and model_id = (select model_id from model where name = ?)",
        )
        .bind(at.0)
        .bind(name.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.named(error))?;
        sqlx::query("update model set removed_at_ms = ? where name = ? and removed_at_ms is null")
            .bind(at.0)
            .bind(name.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.named(error))?;
        self.commit(transaction).await
    }
}
