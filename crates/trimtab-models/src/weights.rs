//! The weights of a model: what each is for, how it is named, and how files store it.

use crate::{ModelConfig, architectures, layout::Layout};

/// What a weight is for; decides how it may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightRole {
    /// Token embedding; also the output head when tied.
    Embedding,
    /// Output head.
    Head,
    /// A linear layer of a decoder block.
    Linear,
    /// A small matrix that stays in floats: positions, router, latent projection.
    Kept,
    /// A vector: norm gain or bias.
    Vector,
}

/// The place of a weight in a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Part {
    Embedding,
    Positions,
    InputNorm,
    Query,
    Key,
    Value,
    QueryKeyValue,
    QueryNorm,
    KeyNorm,
    QueryDown,
    QueryDownNorm,
    LatentDown,
    LatentNorm,
    LatentUp,
    Output,
    PostAttentionNorm,
    Router,
    Gate,
    Up,
    Down,
    FinalNorm,
    Head,
}

/// Where a weight stands: which part, of which layer and expert, and whether it is the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The part.
    pub part: Part,
    /// The layer; `None` outside the blocks.
    pub layer: Option<usize>,
    /// The expert; `None` for weights of all tokens.
    pub expert: Option<usize>,
    /// Whether it is the part's bias.
    pub is_bias: bool,
}

/// Name, place, role and shape of one weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSpec {
    /// Name as in Hugging Face checkpoints, without a final `.weight`.
    pub name: String,
    /// Name in GGUF files.
    pub gguf_name: String,
    /// Where it stands.
    pub place: Place,
    /// What it is for.
    pub role: WeightRole,
    /// Output channels; 1 for a vector.
    pub d_out: usize,
    /// Input channels.
    pub d_in: usize,
    /// How Hugging Face checkpoints store it.
    pub layout: Layout,
    /// How GGUF files store it.
    pub gguf_layout: Layout,
}

impl WeightSpec {
    /// The tensor's name in Hugging Face checkpoints.
    pub fn hf_name(&self) -> String {
        if self.place.is_bias {
            self.name.clone()
        } else {
            format!("{}.weight", self.name)
        }
    }

    /// Sizes of the tensor in Hugging Face checkpoints.
    pub fn hf_shape(&self) -> Vec<usize> {
        match (self.role, self.layout) {
            (WeightRole::Vector, _) => vec![self.d_in],
            (_, Layout::Transposed) => vec![self.d_in, self.d_out],
            _ => vec![self.d_out, self.d_in],
        }
    }

    /// Sizes of the tensor in GGUF files, outermost first.
    pub fn gguf_shape(&self) -> Vec<usize> {
        match self.role {
            WeightRole::Vector => vec![self.d_in],
            _ => vec![self.d_out, self.d_in],
        }
    }
}

/// All weights of a model, in the order of the forward pass.
pub fn weight_specs(config: &ModelConfig) -> Vec<WeightSpec> {
    let mut specs = Vec::new();
    architectures::list_weights(&mut WeightList {
        config,
        specs: &mut specs,
        layer: None,
        prefix: String::new(),
    });
    specs
}

/// The list while an architecture fills it.
pub(crate) struct WeightList<'a> {
    /// The model.
    pub(crate) config: &'a ModelConfig,
    specs: &'a mut Vec<WeightSpec>,
    layer: Option<usize>,
    prefix: String,
}

impl WeightList<'_> {
    /// The list of one layer, whose names begin with `prefix` and its number.
    pub(crate) fn layer(&mut self, prefix: &str, layer_idx: usize) -> WeightList<'_> {
        WeightList {
            config: self.config,
            specs: self.specs,
            layer: Some(layer_idx),
            prefix: format!("{prefix}{layer_idx}."),
        }
    }

    fn push(
        &mut self,
        part: Part,
        role: WeightRole,
        (name, gguf_name): (&str, &str),
        (d_out, d_in): (usize, usize),
    ) {
        let gguf_name = match self.layer {
            Some(layer_idx) => format!("blk.{layer_idx}.{gguf_name}.weight"),
            None => format!("{gguf_name}.weight"),
        };
        self.specs.push(WeightSpec {
            name: format!("{}{name}", self.prefix),
            gguf_name,
            place: Place {
                part,
                layer: self.layer,
                expert: None,
                is_bias: false,
            },
            role,
            d_out,
            d_in,
            layout: Layout::Rows,
            gguf_layout: Layout::Rows,
        });
    }

    /// The bias of the weight added last.
    fn push_bias(&mut self) {
        let mut bias = self.last().clone();
        bias.name.push_str(".bias");
        bias.gguf_name = bias.gguf_name.replace(".weight", ".bias");
        bias.place.is_bias = true;
        bias.role = WeightRole::Vector;
        (bias.d_out, bias.d_in) = (1, bias.d_out);
        self.specs.push(bias);
    }

    fn last(&mut self) -> &mut WeightSpec {
        self.specs.last_mut().expect("a weight was added before")
    }

    /// Changes the weight added last, and its bias if it has one.
    fn change(&mut self, change: impl Fn(&mut WeightSpec)) {
        let has_bias = self.last().place.is_bias;
        for spec in self.specs.iter_mut().rev().take(1 + usize::from(has_bias)) {
            change(spec);
        }
    }

    pub(crate) fn embedding(&mut self, name: &str) {
        let shape = (self.config.vocab_size, self.config.d_model);
        self.push(
            Part::Embedding,
            WeightRole::Embedding,
            (name, "token_embd"),
            shape,
        );
    }

    /// Learned positions.
    pub(crate) fn positions(&mut self, name: &str) {
        let shape = (self.config.max_len, self.config.d_model);
        self.push(
            Part::Positions,
            WeightRole::Kept,
            (name, "position_embd"),
            shape,
        );
    }

    /// The head, unless it is the embedding.
    pub(crate) fn head(&mut self, name: &str) {
        if !self.config.has_tied_head {
            let shape = (self.config.vocab_size, self.config.d_model);
            self.push(Part::Head, WeightRole::Head, (name, "output"), shape);
        }
    }

    /// A norm of the residual stream, with a bias if the model's norms have one.
    pub(crate) fn norm(&mut self, part: Part, name: &str, gguf_name: &str) {
        self.vector(part, (name, gguf_name), self.config.d_model);
        if self.config.norm == crate::config::NormKind::Layer {
            let mut bias = self.last().clone();
            bias.name.push_str(".bias");
            bias.gguf_name = bias.gguf_name.replace(".weight", ".bias");
            bias.place.is_bias = true;
            self.specs.push(bias);
        }
    }

    pub(crate) fn vector(&mut self, part: Part, names: (&str, &str), len: usize) {
        self.push(part, WeightRole::Vector, names, (1, len));
    }

    /// A product of shape `[d_out, d_in]`, with or without a bias.
    pub(crate) fn linear(
        &mut self,
        part: Part,
        names: (&str, &str),
        shape: (usize, usize),
        has_bias: bool,
    ) {
        self.push(part, WeightRole::Linear, names, shape);
        if has_bias {
            self.push_bias();
        }
    }

    /// A small matrix that stays in floats.
    pub(crate) fn kept(&mut self, part: Part, names: (&str, &str), shape: (usize, usize)) {
        self.push(part, WeightRole::Kept, names, shape);
    }

    /// How Hugging Face checkpoints store the weight added last.
    pub(crate) fn stored_as(&mut self, layout: Layout) {
        self.change(|spec| {
            // Transposing a vector changes nothing.
            let is_vector = spec.place.is_bias && layout == Layout::Transposed;
            spec.layout = if is_vector { Layout::Rows } else { layout };
        });
    }

    /// Says that GGUF files store the rows of the weight added last for an interleaved rotation.
    pub(crate) fn interleaved_in_gguf(&mut self, is_interleaved: bool, n_heads: usize) {
        if is_interleaved {
            self.change(|spec| spec.gguf_layout = Layout::Interleaved { n_heads });
        }
    }

    /// Gives the weight added last to an expert.
    pub(crate) fn of_expert(&mut self, expert: Option<usize>) {
        self.change(|spec| spec.place.expert = expert);
    }
}
