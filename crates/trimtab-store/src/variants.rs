//! Variants: packed artifacts and how they were made.

use crate::database::{from_json, parsed, to_json};
use crate::{Store, StoreError};
use sqlx::AssertSqlSafe;
use trimtab_domain::{
    Bytes, Digest, LayerReport, ModelName, Recipe, StageReport, Timestamp, VariantName, VariantView,
};

/// A variant whose artifact is in place.
#[derive(Clone, Debug, PartialEq)]
pub struct NewVariant {
    /// Its name.
    pub name: VariantName,
    /// The model it was made of.
    pub model: ModelName,
    /// How.
    pub recipe: Recipe,
    /// Digest of the artifact.
    pub digest: Digest,
    /// Size of the artifact.
    pub size: Bytes,
    /// Weights in all.
    pub n_parameters: u64,
    /// What compressing did to each layer.
    pub layers: Vec<LayerReport>,
    /// What its steps that make another model have done.
    pub stages: Vec<StageReport>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A variant as stored, and whether its artifact was removed since.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVariant {
    /// The variant.
    pub view: VariantView,
    /// Whether its artifact was removed; such a variant only explains former results.
    pub is_removed: bool,
}

#[derive(sqlx::FromRow)]
struct VariantRow {
    name: String,
    model_name: String,
    recipe: String,
    digest: String,
    size_bytes: i64,
    n_parameters: i64,
    stages: String,
    created_at_ms: i64,
    removed_at_ms: Option<i64>,
}

const SELECT_VARIANT: &str = "select variant.name, model.name as model_name, recipe, \
     variant.digest, variant.size_bytes, n_parameters, stages, variant.created_at_ms, \
     variant.removed_at_ms \
     from variant join model using (model_id)";

impl VariantRow {
    fn into_variant(self) -> Result<StoredVariant, StoreError> {
        let recipe: Recipe = from_json("variant", &self.recipe)?;
        let stages: Vec<StageReport> = from_json("variant", &self.stages)?;
        let n_parameters = self.n_parameters as u64;
        let size = Bytes(self.size_bytes as u64);
        Ok(StoredVariant {
            is_removed: self.removed_at_ms.is_some(),
            view: VariantView {
                name: parsed("variant", self.name)?,
                model: parsed("variant", self.model_name)?,
                scheme: recipe.scheme(),
                recipe,
                stages,
                digest: parsed("variant", self.digest)?,
                size,
                n_parameters,
                bits_per_weight: 8.0 * size.0 as f64 / n_parameters.max(1) as f64,
                created_at: Timestamp(self.created_at_ms),
            },
        })
    }
}

impl Store {
    /// Records a variant; the name's former artifact, if another, is replaced.
    pub async fn put_variant(&self, variant: &NewVariant) -> Result<(), StoreError> {
        let outcome = sqlx::query(
            "insert into variant (model_id, name, recipe, digest, size_bytes, n_parameters,
                                  layers, stages, created_at_ms)
             select model_id, ?, ?, ?, ?, ?, ?, ?, ? from model where name = ?
             on conflict (name) do update set
                 model_id = excluded.model_id,
                 recipe = excluded.recipe,
                 digest = excluded.digest,
                 size_bytes = excluded.size_bytes,
                 n_parameters = excluded.n_parameters,
                 layers = excluded.layers,
                 stages = excluded.stages,
                 removed_at_ms = null",
        )
        .bind(variant.name.as_str())
        .bind(to_json(&variant.recipe))
        .bind(variant.digest.as_str())
        .bind(variant.size.0 as i64)
        .bind(variant.n_parameters as i64)
        .bind(to_json(&variant.layers))
        .bind(to_json(&variant.stages))
        .bind(variant.created_at.0)
        .bind(variant.model.as_str())
        .execute(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        if outcome.rows_affected() == 0 {
            return Err(StoreError::UnknownModel(variant.model.to_string()));
        }
        Ok(())
    }

    /// The variant of that name, removed or not.
    pub async fn variant(&self, name: &VariantName) -> Result<Option<StoredVariant>, StoreError> {
        let rows = self
            .select_variants("where variant.name = ?", Some(name.as_str()))
            .await?;
        Ok(rows.into_iter().next())
    }

    /// Variants in place whose artifact's digest starts with `prefix`.
    pub async fn variants_by_digest(&self, prefix: &str) -> Result<Vec<VariantView>, StoreError> {
        let found = self
            .select_variants(
                "where substr(variant.digest, 1, length(?1)) = ?1
                 and variant.removed_at_ms is null",
                Some(prefix),
            )
            .await?;
        Ok(found.into_iter().map(|variant| variant.view).collect())
    }

    /// All variants in place, oldest first.
    pub async fn variants(&self) -> Result<Vec<VariantView>, StoreError> {
        let found = self
            .select_variants(
                "where variant.removed_at_ms is null order by variant_id",
                None,
            )
            .await?;
        Ok(found.into_iter().map(|variant| variant.view).collect())
    }

    async fn select_variants(
        &self,
        condition: &'static str,
        argument: Option<&str>,
    ) -> Result<Vec<StoredVariant>, StoreError> {
        // Both parts are literals of this file; what comes from outside is bound.
        let mut query = sqlx::query_as(AssertSqlSafe(format!("{SELECT_VARIANT} {condition}")));
        if let Some(argument) = argument {
            query = query.bind(argument);
        }
        let rows: Vec<VariantRow> = query
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.named(error))?;
        rows.into_iter().map(VariantRow::into_variant).collect()
    }

    /// What compressing did to each layer of a variant; empty for an unknown one.
    pub async fn layers(&self, name: &VariantName) -> Result<Vec<LayerReport>, StoreError> {
        let layers: Option<String> =
            sqlx::query_scalar("select layers from variant where name = ?")
                .bind(name.as_str())
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| self.named(error))?;
        layers.map_or(Ok(Vec::new()), |text| from_json("variant", &text))
    }
}
