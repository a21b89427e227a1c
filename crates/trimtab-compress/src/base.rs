//! What the steps of a recipe read: a model as it was published, or what a step before them has
//! made of it, with what an adapter adds.

use crate::CompressError;
use std::path::Path;
use trimtab_domain::{Recipe, Step};
use trimtab_models::{
    Artifact, Checkpoint, CheckpointError, ModelConfig, WeightSpec,
    peft::{PeftAdapter, adaptable_linears},
    quantized::GridWeight,
};

/// A model that the steps of a recipe read.
#[derive(Debug)]
pub struct Base {
    model: Model,
    adapter: Option<PeftAdapter>,
}

#[derive(Debug)]
enum Model {
    Published(Box<Checkpoint>),
    Made(Box<Artifact>),
}

impl Base {
    /// Opens a model's file or folder, or the file that a step before has made. The adapter that
    /// `recipe` merges is taken from the folder `adapter`.
    ///
    /// # Errors
    ///
    /// [`CompressError`] for files that cannot be read, and an adapter that is missing or does not
    /// fit.
    pub fn open(
        path: &Path,
        adapter: Option<&Path>,
        recipe: &Recipe,
    ) -> Result<Self, CompressError> {
        let model = match Artifact::is_artifact(path) {
            Ok(true) => Model::Made(Box::new(Artifact::open(path)?)),
            // A file that cannot be read is told of as a model.
            Ok(false) | Err(_) => Model::Published(Box::new(Checkpoint::open(path)?)),
        };
        let mut base = Self {
            model,
            adapter: None,
        };
        base.adapter = match (recipe.adapter(), adapter) {
            (None, _) => None,
            (Some(digest), None) => return Err(CompressError::AdapterMissing(digest.clone())),
            (Some(_), Some(folder)) => Some(PeftAdapter::open(
                folder,
                &adaptable_linears(base.config()),
            )?),
        };
        Ok(base)
    }

    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        match &self.model {
            Model::Published(checkpoint) => checkpoint.config(),
            Model::Made(artifact) => &artifact.header().config,
        }
    }

    /// The steps that have made it of the published model; none for that model itself.
    pub fn steps(&self) -> &[Step] {
        match &self.model {
            Model::Published(_) => &[],
            Model::Made(artifact) => &artifact.header().recipe.steps,
        }
    }

    /// A weight as floats, with what an adapter adds to it.
    ///
    /// # Shapes
    ///
    /// - result: `[d_out, d_in]`, row-major
    ///
    /// # Errors
    ///
    /// A sentence that says why it cannot be read.
    pub fn read(&self, spec: &WeightSpec) -> Result<Vec<f32>, String> {
        let mut weight = match &self.model {
            Model::Published(checkpoint) => {
                checkpoint.read(spec).map_err(|error| error.to_string())?
            }
            Model::Made(artifact) => artifact.read(spec).map_err(|error| error.to_string())?,
        };
        if let Some(adapter) = &self.adapter {
            let merged = adapter.merge(&spec.name, &mut weight);
            merged.map_err(|error| error.to_string())?;
        }
        Ok(weight)
    }

    /// The codes of a weight that the published model stores as codes.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] for damaged codes.
    pub(crate) fn read_grid(
        &self,
        spec: &WeightSpec,
    ) -> Result<Option<GridWeight>, CheckpointError> {
        match &self.model {
            Model::Published(checkpoint) => checkpoint.read_grid(spec),
            Model::Made(_) => Ok(None),
        }
    }
}
