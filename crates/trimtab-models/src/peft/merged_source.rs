//! A checkpoint whose weights come with an adapter already added.

use super::{AdapterError, PeftAdapter};
use crate::{
    Layout,
    tensor_source::{StoredType, TensorError, TensorSource, check_finite},
};
use std::collections::HashMap;

/// The tensors of a base model, those of adapted layers changed as they are read.
#[derive(Debug)]
pub struct MergedSource<'a> {
    base: &'a dyn TensorSource,
    adapter: &'a PeftAdapter,
    /// Which layer a tensor is the weight of.
    layer_from_tensor: HashMap<String, String>,
}

impl<'a> MergedSource<'a> {
    /// Puts `adapter` over `base`, whose weights are named as their layers, with `.weight` at the
    /// end or not.
    ///
    /// # Errors
    ///
    /// [`AdapterError::BaseWeight`] where the base has no weight of the right shape for a layer.
    pub fn new(base: &'a dyn TensorSource, adapter: &'a PeftAdapter) -> Result<Self, AdapterError> {
        let mut layer_from_tensor = HashMap::new();
        for (layer, (part, layout)) in adapter.parts() {
            let expected = match layout {
                Layout::Transposed => [part.d_in, part.d_out],
                _ => [part.d_out, part.d_in],
            };
            let names = [format!("{layer}.weight"), layer.clone()];
            let fits = |name: &String| base.shape(name).is_some_and(|shape| shape == expected);
            let Some(name) = names.into_iter().find(fits) else {
                let layer = layer.clone();
                return Err(AdapterError::BaseWeight { layer, expected });
            };
            layer_from_tensor.insert(name, layer.clone());
        }
        Ok(Self {
            base,
            adapter,
            layer_from_tensor,
        })
    }
}

impl TensorSource for MergedSource<'_> {
    fn names(&self) -> Vec<String> {
        self.base.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.base.shape(name)
    }

    fn stored_type(&self, name: &str) -> Option<StoredType> {
        self.base.stored_type(name)
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, TensorError> {
        let weight = self.base.floats(name)?;
        let layer = self.layer_from_tensor.get(name);
        let Some((part, layout)) = layer.and_then(|layer| self.adapter.parts().get(layer)) else {
            return Ok(weight);
        };
        let mut rows = layout.read(weight, part.d_out, part.d_in);
        part.add_to(&mut rows);
        let weight = layout.write(rows, part.d_out, part.d_in);
        check_finite(name, &weight)?;
        Ok(weight)
    }

    fn integers(&self, name: &str) -> Result<Vec<i32>, TensorError> {
        self.base.integers(name)
    }
}
