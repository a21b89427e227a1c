//! An adapter that is to be trained: its settings, and factors that change nothing yet.
//!
//! Source: Hu et al. 2021, <https://arxiv.org/abs/2106.09685>, section 4.1: the second factor begins
//! with zeros. The first is uniform within ±1/√`d_in`, as PEFT draws it.

use super::{
    AdaptableLinear, AdapterError, LowRank, PeftAdapter,
    targets::{Names, Targets},
};
use std::collections::BTreeMap;

/// The layers that an adapter is trained for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoraTargets {
    /// Ends of the names of layers, from a dot on.
    Ends(Vec<String>),
    /// A regular expression for whole names.
    Pattern(String),
}

/// Settings of an adapter that is to be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraSettings {
    /// Rank of the factors.
    pub rank: usize,
    /// The change of a layer is multiplied by alpha over the rank.
    pub alpha: f64,
    /// Whether by alpha over the square root of the rank instead
    /// (Kalajdzievski 2023, <https://arxiv.org/abs/2312.03732>).
    pub is_rank_stabilised: bool,
    /// Share of a layer's inputs that the adapter does not see while it is trained.
    pub dropout: f32,
    /// Layers.
    pub targets: LoraTargets,
}

impl LoraSettings {
    /// # Errors
    ///
    /// [`AdapterError::Setting`] for numbers that no adapter can have.
    fn check(&self) -> Result<(), AdapterError> {
        let wrong = |name: &'static str, value: String, wanted: &'static str| {
            Err(AdapterError::Setting {
                name,
                value,
                wanted,
            })
        };
        if self.rank == 0 || self.rank > super::config::MAX_RANK {
            return wrong("rank", self.rank.to_string(), "between 1 and 65,536");
        }
        if !(self.alpha as f32).is_finite() || self.alpha <= 0.0 {
            return wrong("alpha", self.alpha.to_string(), "a number above 0");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong("dropout", self.dropout.to_string(), "from 0 to below 1");
        }
        Ok(())
    }

    /// What the product of the factors is multiplied with.
    pub fn scaling(&self) -> f32 {
        let rank = self.rank as f64;
        let divisor = if self.is_rank_stabilised {
            rank.sqrt()
        } else {
            rank
        };
        (self.alpha / divisor) as f32
    }

    pub(super) fn names(&self) -> Names {
        match &self.targets {
            LoraTargets::Ends(ends) => Names::Ends(ends.clone()),
            LoraTargets::Pattern(pattern) => Names::Pattern(pattern.clone()),
        }
    }
}

impl PeftAdapter {
    /// An adapter to begin training with; `uniform` gives numbers from −1 to 1.
    ///
    /// # Errors
    ///
    /// [`AdapterError`] for impossible settings, and targets that the model does not have.
    pub fn start(
        settings: &LoraSettings,
        linears: &[AdaptableLinear],
        uniform: &mut dyn FnMut() -> f32,
    ) -> Result<Self, AdapterError> {
        settings.check()?;
        let targets = Targets::new(settings.names(), None, None, Vec::new())?;
        targets.check(linears)?;
        let mut parts = BTreeMap::new();
        for linear in linears
            .iter()
            .filter(|linear| targets.include(&linear.name))
        {
            let bound = 1.0 / (linear.d_in as f32).sqrt();
            let a = (0..settings.rank * linear.d_in).map(|_| uniform() * bound);
            let part = LowRank {
                a: a.collect(),
                b: vec![0.0; linear.d_out * settings.rank].into(),
                scaling: settings.scaling(),
                rank: settings.rank,
                d_out: linear.d_out,
                d_in: linear.d_in,
            };
            parts.insert(linear.name.clone(), (part, linear.layout));
        }
        Ok(Self { parts })
    }

    /// The same adapter with other factors.
    ///
    /// # Panics
    ///
    /// If the layer has no factors, or factors of another shape.
    pub fn set_factors(&mut self, layer: &str, a: Vec<f32>, b: Vec<f32>) {
        let (part, _) = self.parts.get_mut(layer).expect("a layer of the adapter");
        assert_eq!((a.len(), b.len()), (part.a.len(), part.b.len()));
        (part.a, part.b) = (a.into(), b.into());
    }
}
