//! A mixture of experts: every token goes through the few experts that the router scores highest,
//! and through the shared ones.
//!
//! Source: DeepSeek-AI 2024, "DeepSeek-V2", section 2.2, <https://arxiv.org/abs/2405.04434>.

use super::{GatedMlp, Linear};
use burn::{
    module::Module,
    tensor::{Int, Tensor, TensorData},
};

/// How tokens choose their experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// Experts that a token goes to.
    pub n_active: usize,
    /// Groups that experts are chosen from; 1 for none.
    pub n_groups: usize,
    /// Groups that a token may choose from.
    pub n_active_groups: usize,
    /// What routing weights are multiplied by.
    pub scale: f32,
    /// Whether routing weights are divided by their sum instead.
    pub has_normed_weights: bool,
}

/// Some of many gated MLPs, chosen token by token, and one for all tokens.
#[derive(Module, Debug)]
pub struct ExpertMlp {
    /// `[n_experts, d_model]`
    pub router: Linear,
    /// The routed experts.
    pub experts: Vec<GatedMlp>,
    /// The shared experts as one.
    pub shared: Option<GatedMlp>,
    /// How tokens choose.
    #[module(skip)]
    pub routing: Routing,
}

impl ExpertMlp {
    /// # Shapes
    ///
    /// - `x`, result: `[1, n_tokens, d_model]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [_, n_tokens, d_model] = x.dims();
        let scores = self.router.forward(x.clone()).into_data();
        let scores: Vec<f32> = scores.try_into_vec().expect("the model computes in f32");
        let mut chosen: Vec<Vec<(i32, f32)>> = vec![Vec::new(); self.experts.len()];
        for (token_idx, scores) in scores.chunks_exact(self.experts.len()).enumerate() {
            for (expert_idx, weight) in self.routing.choose(scores) {
                chosen[expert_idx].push((token_idx as i32, weight));
            }
        }
        let mut sum = match &self.shared {
            Some(shared) => shared.forward(x.clone()),
            None => x.zeros_like(),
        };
        for (expert, tokens) in self.experts.iter().zip(&chosen) {
            let n = tokens.len();
            if n == 0 {
                continue;
            }
            let weights: Vec<f32> = tokens.iter().map(|(_, weight)| *weight).collect();
            let weights = Tensor::<3>::from_data(TensorData::new(weights, [1, n, 1]), &x.device());
            if n_tokens == 1 {
                sum = sum + expert.forward(x.clone()) * weights;
                continue;
            }
            let rows: Vec<i32> = tokens.iter().map(|(token, _)| *token).collect();
            let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n]), &x.device());
            let out = expert.forward(x.clone().select(1, rows.clone())) * weights;
            sum = add_rows(sum, rows, out, [n_tokens, d_model]);
        }
        sum
    }
}

/// Adds `values` to the tokens `rows` of `sum`.
fn add_rows(
    sum: Tensor<3>,
    rows: Tensor<1, Int>,
    values: Tensor<3>,
    [n_tokens, d_model]: [usize; 2],
) -> Tensor<3> {
    let n = values.dims()[1];
    sum.reshape([n_tokens, d_model])
        .select_assign(
            0,
            rows,
            values.reshape([n, d_model]),
            burn::tensor::IndexingUpdateOp::Add,
        )
        .unsqueeze()
}

impl Routing {
    /// The experts of a token with their weights, by the router's scores before the softmax.
    pub fn choose(&self, scores: &[f32]) -> Vec<(usize, f32)> {
        let probabilities = softmax(scores);
        let per_group = probabilities.len() / self.n_groups;
        let best = |group: usize| {
            let members = &probabilities[group * per_group..(group + 1) * per_group];
            members.iter().copied().fold(f32::MIN, f32::max)
        };
        let groups = largest((0..self.n_groups).map(best), self.n_active_groups);
        let allowed = |expert_idx: usize| groups.contains(&(expert_idx / per_group));
        let scored = probabilities
            .iter()
            .enumerate()
            .map(|(idx, p)| if allowed(idx) { *p } else { 0.0 });
        let chosen = largest(scored, self.n_active);
        let sum: f32 = chosen.iter().map(|idx| probabilities[*idx]).sum();
        let factor = match self.has_normed_weights && self.n_active > 1 {
            true => 1.0 / (sum + 1e-20),
            false => self.scale,
        };
        chosen
            .into_iter()
            .map(|idx| {
                (
                    idx,
                    if allowed(idx) {
                        probabilities[idx] * factor
                    } else {
                        0.0
                    },
                )
            })
            .collect()
    }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::MIN, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Positions of the `n` largest values, ties to the first.
fn largest(values: impl Iterator<Item = f32>, n: usize) -> Vec<usize> {
    let mut order: Vec<(usize, f32)> = values.enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order.into_iter().take(n).map(|(idx, _)| idx).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: Routing = Routing {
        n_active: 2,
        n_groups: 1,
        n_active_groups: 1,
        scale: 1.0,
        has_normed_weights: false,
    };

    fn experts(routing: Routing, scores: &[f32]) -> Vec<usize> {
        routing
            .choose(scores)
            .into_iter()
            .map(|(idx, _)| idx)
            .collect()
    }

    #[test]
    fn a_token_goes_to_the_experts_with_the_highest_scores() {
        assert_eq!(experts(GREEDY, &[0.1, 3.0, -1.0, 2.0]), [1, 3]);
    }

    #[test]
    fn a_token_chooses_only_from_the_best_groups() {
        let routing = Routing {
            n_groups: 2,
            n_active_groups: 1,
            ..GREEDY
        };
        assert_eq!(experts(routing, &[5.0, 0.0, 4.0, 3.0]), [0, 1]);
    }

    #[test]
    fn normed_weights_sum_to_one() {
        let routing = Routing {
            has_normed_weights: true,
            scale: 16.0,
            ..GREEDY
        };
        let chosen = routing.choose(&[0.1, 3.0, -1.0, 2.0]);
        let sum: f32 = chosen.iter().map(|(_, weight)| weight).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}
