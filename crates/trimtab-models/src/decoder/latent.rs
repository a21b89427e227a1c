//! Latent attention with absorbed projections: the cache holds one short vector a token.
//!
//! Keys and values of all heads are products of the latent vector. Instead of making them, queries
//! are taken to the latent space and mixed latents back from it, so that the kernel sees one key
//! head whose values are the first channels of the keys.
//!
//! Source: DeepSeek-AI 2024, "DeepSeek-V2", section 2.1 and appendix C,
//! <https://arxiv.org/abs/2405.04434>.

use super::{
    Linear, Norm,
    attention::{LayerSlot, Mixing, StepContext},
};
use burn::{module::Module, tensor::Tensor};

/// Latent attention.
#[derive(Module, Debug)]
pub struct LatentHeads {
    /// To the vector that queries are made from, and its norm, where the model has one.
    pub query_latent: Option<(Linear, Norm)>,
    /// `[n_heads · (d_plain + d_rotated), d_model or d_query_latent]`
    pub query: Linear,
    /// `[d_latent + d_rotated, d_model]`
    pub latent: Linear,
    /// Of the first `d_latent` channels.
    pub latent_norm: Norm,
    /// For each head, queries to the latent space: `[d_latent, d_plain]`.
    pub absorb_query: Vec<Linear>,
    /// For each head, mixed latents to values: `[d_value, d_latent]`.
    pub expand_value: Vec<Linear>,
    /// `[d_model, n_heads · d_value]`
    pub output: Linear,
    /// One key head of `d_latent + d_rotated` channels.
    #[module(skip)]
    pub mixing: Mixing,
}

impl LatentHeads {
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        layer: LayerSlot<'_>,
        context: &StepContext<'_>,
    ) -> Tensor<3> {
        let query = match &self.query_latent {
            None => self.query.forward(x.clone()),
            Some((down, norm)) => {
                let low = norm.forward(down.forward(x.clone()));
                self.query.forward(low)
            }
        };
        let key = self.key(x);
        let mut parts = self.absorbed(query);
        parts.push(key);
        let mixed = self.mixing.run(Tensor::cat(parts, 2), layer, context);
        self.output.forward(self.expanded(mixed))
    }

    /// The normed latent vector, then the rotated channels, which are not normed.
    fn key(&self, x: Tensor<3>) -> Tensor<3> {
        let [_, n_tokens, _] = x.dims();
        let (d_latent, d_key) = (self.mixing.shape.d_value, self.mixing.shape.d_key);
        let both = self.latent.forward(x);
        let latent = both.clone().slice([0..1, 0..n_tokens, 0..d_latent]);
        let rotated = both.slice([0..1, 0..n_tokens, d_latent..d_key]);
        Tensor::cat(vec![self.latent_norm.forward(latent), rotated], 2)
    }

    /// Queries of each head in the latent space, then their rotated channels.
    fn absorbed(&self, query: Tensor<3>) -> Vec<Tensor<3>> {
        let [_, n_tokens, d_queries] = query.dims();
        let d_query = d_queries / self.absorb_query.len();
        let mut parts = Vec::with_capacity(2 * self.absorb_query.len() + 1);
        for (head_idx, absorb) in self.absorb_query.iter().enumerate() {
            let (start, d_plain) = (head_idx * d_query, absorb.shape.d_in);
            let channels = |range: std::ops::Range<usize>| {
                let range = start + range.start..start + range.end;
                query.clone().slice([0..1, 0..n_tokens, range])
            };
            parts.push(absorb.forward(channels(0..d_plain)));
            parts.push(channels(d_plain..d_query));
        }
        parts
    }

    /// Values of each head, side by side.
    fn expanded(&self, mixed: Tensor<3>) -> Tensor<3> {
        let [_, n_tokens, _] = mixed.dims();
        let d_latent = self.mixing.shape.d_value;
        let values = self
            .expand_value
            .iter()
            .enumerate()
            .map(|(head_idx, expand)| {
                let channels = head_idx * d_latent..(head_idx + 1) * d_latent;
                expand.forward(mixed.clone().slice([0..1, 0..n_tokens, channels]))
            });
        Tensor::cat(values.collect(), 2)
    }
}
