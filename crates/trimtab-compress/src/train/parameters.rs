//! What is trained of a model, and the gradients of it, added over the batches of a step and limited.

use super::adamw::Trained;
use burn::tensor::Gradients;
use rayon::prelude::*;
use std::collections::BTreeMap;
use trimtab_models::{
    ModelConfig, WeightSpec,
    decoder::{Decoder, TrainedValues, TrainedWeight},
    peft::{LoraSettings, PeftAdapter},
};

/// What is trained.
#[derive(Debug)]
pub(super) enum Parameters {
    /// The factors of an adapter, beside frozen weights.
    Factors(PeftAdapter, LoraSettings),
    /// The weights of all blocks and the last norm.
    Weights(Box<ModelConfig>),
}

/// Names of the factors of a layer.
pub(super) fn factor_names(layer: &str) -> [String; 2] {
    ["lora_A", "lora_B"].map(|factor| format!("{layer}.{factor}"))
}

/// Name of a parameter that holds several weights.
pub(super) fn joint_name(members: &[WeightSpec]) -> String {
    let names: Vec<&str> = members.iter().map(|spec| spec.name.as_str()).collect();
    names.join("+")
}

impl Parameters {
    /// The parameters of the model, by name.
    pub(super) fn of<'a>(&self, model: &'a mut Decoder) -> Vec<(String, TrainedValues<'a>)> {
        match self {
            Self::Factors(..) => model
                .adapters_mut()
                .flat_map(|part| {
                    let [down, up] = factor_names(&part.layer);
                    let values = (&mut part.down, &mut part.up);
                    [
                        (down, TrainedValues::Matrix(values.0)),
                        (up, TrainedValues::Matrix(values.1)),
                    ]
                })
                .collect(),
            Self::Weights(config) => {
                let weights = model.trained_weights_mut(config).into_iter();
                let named = |TrainedWeight { members, values }| (joint_name(&members), values);
                weights.map(named).collect()
            }
        }
    }
}

/// Gradients of all batches of a step.
#[derive(Debug, Default)]
pub(super) struct GradientSums {
    by_name: BTreeMap<String, Vec<f32>>,
}

impl GradientSums {
    /// Adds what a pass found; parameters that it did not go through are left as they are.
    pub(super) fn add(&mut self, parameters: Vec<(String, TrainedValues<'_>)>, grads: &Gradients) {
        for (name, values) in parameters {
            let Some(gradient) = values.gradient(grads) else {
                continue;
            };
            match self.by_name.get_mut(&name) {
                None => {
                    self.by_name.insert(name, gradient);
                }
                Some(sums) => {
                    for (sum, value) in sums.iter_mut().zip(gradient) {
                        *sum += value;
                    }
                }
            }
        }
    }

    pub(super) fn norm(&self) -> f64 {
        // Summed tensor by tensor, so that the number is the same every time.
        let tensors: Vec<&Vec<f32>> = self.by_name.values().collect();
        let squares: Vec<f64> = tensors
            .par_iter()
            .map(|values| values.iter().map(|v| f64::from(*v).powi(2)).sum())
            .collect();
        squares.iter().sum::<f64>().sqrt()
    }

    /// Scales all gradients so that their norm is `limit` at most.
    pub(super) fn limit(&mut self, norm: f64, limit: f64) {
        // As `torch.nn.utils.clip_grad_norm_` does it.
        let factor = (limit / (norm + 1e-6)) as f32;
        if factor < 1.0 {
            for value in self.by_name.values_mut().flatten() {
                *value *= factor;
            }
        }
    }

    /// The gradient of a parameter, zeros where no pass went through it.
    pub(super) fn take(&mut self, name: &str, trained: &Trained) -> Vec<f32> {
        let gradient = self.by_name.remove(name);
        gradient.unwrap_or_else(|| vec![0.0; trained.values.len()])
    }
}
