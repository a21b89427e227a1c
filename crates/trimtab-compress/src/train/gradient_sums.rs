//! Gradients of the factors, added over the batches of a step and limited.

use super::adamw::Trained;
use burn::tensor::Gradients;
use std::collections::BTreeMap;
use trimtab_models::decoder::{AdapterPart, Decoder};

/// Names of the factors of a layer.
pub(super) fn factor_names(layer: &str) -> [String; 2] {
    ["lora_A", "lora_B"].map(|factor| format!("{layer}.{factor}"))
}

/// Gradients of all batches of a step.
pub(super) struct GradientSums {
    pub(super) by_name: BTreeMap<String, Vec<f32>>,
}

impl GradientSums {
    pub(super) fn new(trained: &BTreeMap<String, Trained>) -> Self {
        let zeros =
            |(name, trained): (&String, &Trained)| (name.clone(), vec![0.0; trained.values.len()]);
        Self {
            by_name: trained.iter().map(zeros).collect(),
        }
    }

    pub(super) fn add(&mut self, model: &mut Decoder, grads: &Gradients) {
        for part in model.adapters_mut() {
            self.add_part(part, grads);
        }
    }

    fn add_part(&mut self, part: &AdapterPart, grads: &Gradients) {
        let factors = [part.down.val(), part.up.val()];
        for (name, factor) in factor_names(&part.layer).iter().zip(factors) {
            // A part of the model that another pass has run.
            let Some(gradient) = factor.grad(grads) else {
                continue;
            };
            let values = gradient.into_data().try_into_vec::<f32>();
            let values = values.expect("the model computes in f32");
            let sums = self.by_name.get_mut(name).expect("every factor is trained");
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        }
    }

    pub(super) fn norm(&self) -> f64 {
        let values = self.by_name.values().flatten();
        values.map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
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
}
