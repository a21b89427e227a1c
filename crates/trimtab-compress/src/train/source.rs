//! Where the weights of a model come from that is trained or learned from.

use super::TrainError;
use burn::tensor::Device;
use trimtab_models::{
    Artifact, ModelConfig, ReadWeight, WeightSpec, decoder::Decoder, load_decoder,
    load_float_decoder,
};

/// A model, wherever its weights lie.
#[derive(Clone, Copy)]
pub enum ModelSource<'a> {
    /// A variant; its weights stay in their formats where they are not trained.
    Artifact(&'a Artifact),
    /// Weights that are read as floats.
    Floats(FloatModel<'a>),
}

/// A model whose weights are read as floats.
#[derive(Clone, Copy)]
pub struct FloatModel<'a> {
    /// Sizes and constants.
    pub config: &'a ModelConfig,
    /// Knows its weights.
    pub read: &'a ReadWeight<'a>,
    /// What the weights are known by: a digest.
    pub digest: &'a str,
}

impl std::fmt::Debug for FloatModel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FloatModel")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ModelSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ModelSource").field(&self.name()).finish()
    }
}

impl ModelSource<'_> {
    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        match self {
            Self::Artifact(artifact) => &artifact.header().config,
            Self::Floats(model) => model.config,
        }
    }

    /// What tells it from other models.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Artifact(artifact) => {
                serde_json::to_string(artifact.header()).expect("a header is plain data")
            }
            Self::Floats(model) => model.digest.to_owned(),
        }
    }

    /// A weight as floats, `[d_out, d_in]`.
    pub(super) fn floats(&self, spec: &WeightSpec) -> Result<Vec<f32>, String> {
        match self {
            Self::Artifact(artifact) => artifact.read(spec).map_err(|error| error.to_string()),
            Self::Floats(model) => (model.read)(spec),
        }
    }

    /// The model in memory.
    pub(super) fn load(&self, max_len: usize, device: &Device) -> Result<Decoder, TrainError> {
        Ok(match self {
            Self::Artifact(artifact) => load_decoder(artifact, None, max_len, device)?,
            Self::Floats(model) => load_float_decoder(model.config, model.read, max_len, device)?,
        })
    }
}

/// Refuses models whose gradients would lack a part.
pub(super) fn check_architecture(config: &ModelConfig) -> Result<(), TrainError> {
    if cfg!(feature = "cuda") {
        return Err(TrainError::Build);
    }
    let part = match (&config.experts, &config.latent) {
        (Some(_), _) => "the choice of experts",
        (None, Some(_)) => "absorbed latent attention",
        (None, None) => return Ok(()),
    };
    Err(TrainError::Architecture {
        architecture: config.architecture.model_type(),
        part,
    })
}
