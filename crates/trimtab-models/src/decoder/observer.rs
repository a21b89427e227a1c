//! What sees the inputs of linear layers: absent where a model answers, present while it is
//! compressed.

use burn::tensor::Tensor;
use std::{fmt, sync::Arc};

/// Hears what goes into a linear layer.
pub trait Listen: fmt::Debug + Send + Sync {
    /// One pass over some tokens.
    ///
    /// # Shapes
    ///
    /// - `x`: `[1, n_tokens, d_in]`
    fn hear(&self, x: &Tensor<3>);
}

/// Attached to a linear layer, it passes inputs on to a listener, and may keep the layer from
/// multiplying where nobody needs the product.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    /// Hears the inputs.
    pub listener: Option<Arc<dyn Listen>>,
    /// Whether the layer answers with zeros instead of the product.
    pub is_idle: bool,
}

impl Observer {
    /// Passes `x` on; the answer if the layer does not multiply.
    pub(super) fn observe(&self, x: &Tensor<3>, d_out: usize) -> Option<Tensor<3>> {
        if let Some(listener) = &self.listener {
            listener.hear(x);
        }
        let [_, n_tokens, _] = x.dims();
        self.is_idle
            .then(|| Tensor::zeros([1, n_tokens, d_out], &x.device()))
    }
}
