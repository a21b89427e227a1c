//! All linear layers of a decoder, for what goes over them one by one.

use super::{AdapterPart, Attention, Decoder, GatedMlp, Linear, Mlp};

impl Decoder {
    /// What is attached to linear layers, in the order of the forward pass; of a tied head and its
    /// embedding, that of the head.
    pub fn adapters_mut(&mut self) -> impl Iterator<Item = &mut AdapterPart> {
        let blocks = self.blocks.iter_mut().flat_map(|block| {
            let mut linears = of_attention(&mut block.attention);
            linears.extend(of_mlp(&mut block.mlp));
            linears
        });
        blocks
            .chain(std::iter::once(&mut self.head))
            .flat_map(|linear| linear.adapters.iter_mut())
    }
}

fn of_attention(attention: &mut Attention) -> Vec<&mut Linear> {
    match attention {
        Attention::Grouped(attention) => vec![&mut attention.qkv, &mut attention.output],
        Attention::Latent(attention) => {
            let down = attention.query_latent.iter_mut().map(|(down, _)| down);
            down.chain([&mut attention.query, &mut attention.latent])
                .chain(&mut attention.absorb_query)
                .chain(&mut attention.expand_value)
                .chain([&mut attention.output])
                .collect()
        }
    }
}

fn of_mlp(mlp: &mut Mlp) -> Vec<&mut Linear> {
    match mlp {
        Mlp::Gated(mlp) => of_gated_mlp(mlp),
        Mlp::Plain(mlp) => vec![&mut mlp.up, &mut mlp.down],
        Mlp::Experts(mlp) => {
            let experts = mlp.experts.iter_mut().chain(&mut mlp.shared);
            std::iter::once(&mut mlp.router)
                .chain(experts.flat_map(of_gated_mlp))
                .collect()
        }
    }
}

fn of_gated_mlp(mlp: &mut GatedMlp) -> Vec<&mut Linear> {
    vec![&mut mlp.gate_up, &mut mlp.down]
}
