//! An adapter that fits a model: its factors by layer.

use super::{AdaptableLinear, AdapterConfig, AdapterError, LowRank, linears::available};
use crate::{Layout, hf::WeightFiles, tensor_source::TensorSource};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// A PEFT adapter, checked against the model it is for.
#[derive(Clone, Debug)]
pub struct PeftAdapter {
    /// Factors by the name of their layer, in the engine's order, and how checkpoints store it.
    pub(super) parts: BTreeMap<String, (LowRank, Layout)>,
}

/// Settings are a few kilobytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Before the path of every layer.
const PREFIX: &str = "base_model.model.";

/// After it: whether the tensor is the first factor. Files written with the name of the adapter in
/// the key are those of a model that was saved as it ran.
const SUFFIXES: [(&str, bool); 4] = [
    (".lora_A.weight", true),
    (".lora_B.weight", false),
    (".lora_A.default.weight", true),
    (".lora_B.default.weight", false),
];

impl PeftAdapter {
    /// Reads the folder that PEFT wrote: `adapter_config.json` and `adapter_model.safetensors`, or
    /// else `adapter_model.bin`.
    ///
    /// # Errors
    ///
    /// [`AdapterError`]: damaged files, unsupported settings, or factors that do not fit `linears`.
    pub fn open(folder: &Path, linears: &[AdaptableLinear]) -> Result<Self, AdapterError> {
        let config = AdapterConfig::parse(&read_config(&folder.join("adapter_config.json"))?)?;
        let paths =
            ["adapter_model.safetensors", "adapter_model.bin"].map(|name| folder.join(name));
        let path = paths.iter().find(|path| path.is_file());
        let path = path.ok_or_else(|| AdapterError::NoWeights(folder.to_owned()))?;
        Self::new(&config, &WeightFiles::from_file(path)?, linears)
    }

    /// Puts an adapter together from its settings and tensors.
    ///
    /// # Errors
    ///
    /// [`AdapterError`] for factors that are missing, left over or of the wrong shape, and targets
    /// that the model does not have.
    pub fn new(
        config: &AdapterConfig,
        tensors: &dyn TensorSource,
        linears: &[AdaptableLinear],
    ) -> Result<Self, AdapterError> {
        config.targets.check(linears)?;
        let mut names = FactorNames::new(tensors)?;
        let mut parts = BTreeMap::new();
        for linear in linears {
            let factors = names.0.remove(&linear.name);
            match (config.targets.include(&linear.name), factors) {
                (false, None) => {}
                (false, Some(_)) => return Err(AdapterError::NotTargeted(linear.name.clone())),
                (true, factors) => {
                    let part = read_part(config, tensors, linear, factors.unwrap_or_default())?;
                    parts.insert(linear.name.clone(), (part, linear.layout));
                }
            }
        }
        if let Some(tensor) = names.0.into_values().find_map(|[a, b]| a.or(b)) {
            let available = available(linears);
            return Err(AdapterError::UnknownLayer { tensor, available });
        }
        Ok(Self { parts })
    }

    /// The factors of a layer, for `y = x·Wᵀ + scaling · (x·Aᵀ)·Bᵀ`; `None` for a layer that the
    /// adapter leaves as it is.
    pub fn part(&self, layer: &str) -> Option<LowRank> {
        self.parts.get(layer).map(|(part, _)| part.clone())
    }

    /// The layers it changes, sorted.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// Adds the change of a layer to its weight; weights that the adapter leaves stay.
    ///
    /// # Shapes
    ///
    /// - `weight`: `[d_out, d_in]`, row-major, in the engine's order
    ///
    /// # Errors
    ///
    /// A weight of another length.
    pub fn merge(&self, layer: &str, weight: &mut [f32]) -> Result<(), AdapterError> {
        let Some((part, _)) = self.parts.get(layer) else {
            return Ok(());
        };
        if weight.len() != part.d_out * part.d_in {
            return Err(AdapterError::WeightLength {
                name: layer.to_owned(),
                got: weight.len(),
                d_out: part.d_out,
                d_in: part.d_in,
            });
        }
        part.add_to(weight);
        Ok(())
    }

    pub(super) fn parts(&self) -> &BTreeMap<String, (LowRank, Layout)> {
        &self.parts
    }
}

fn read_config(path: &Path) -> Result<Vec<u8>, AdapterError> {
    let failed = |source| AdapterError::Read {
        path: PathBuf::from(path),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut json = vec![];
    let mut limited = file.take(MAX_CONFIG_BYTES + 1);
    limited.read_to_end(&mut json).map_err(failed)?;
    if json.len() as u64 > MAX_CONFIG_BYTES {
        return Err(AdapterError::ConfigTooLong(MAX_CONFIG_BYTES));
    }
    Ok(json)
}

/// Names of the tensors of a layer's first and second factor.
type Pair = [Option<String>; 2];

/// The tensors of a file by the layer they belong to.
struct FactorNames(BTreeMap<String, Pair>);

impl FactorNames {
    fn new(tensors: &dyn TensorSource) -> Result<Self, AdapterError> {
        let mut by_layer: BTreeMap<String, Pair> = BTreeMap::new();
        for tensor in tensors.names() {
            let path = tensor.strip_prefix(PREFIX).unwrap_or_default();
            let found = SUFFIXES.iter().find_map(|(suffix, is_first)| {
                let layer = path.strip_suffix(suffix)?;
                Some((layer.to_owned(), usize::from(!is_first)))
            });
            let Some((layer, place)) = found else {
                return Err(AdapterError::UnexpectedTensor(tensor));
            };
            let slot = &mut by_layer.entry(layer).or_default()[place];
            if slot.is_some() {
                return Err(AdapterError::AmbiguousFactor(tensor));
            }
            *slot = Some(tensor);
        }
        Ok(Self(by_layer))
    }
}

fn read_part(
    config: &AdapterConfig,
    tensors: &dyn TensorSource,
    linear: &AdaptableLinear,
    names: Pair,
) -> Result<LowRank, AdapterError> {
    let layer = || linear.name.clone();
    let is_transposed = linear.layout == Layout::Transposed;
    if is_transposed != config.fan_in_fan_out() {
        let (layer, in_config) = (layer(), config.fan_in_fan_out());
        return Err(AdapterError::FanInFanOut { layer, in_config });
    }
    let rank = config.rank(&linear.name);
    let [a, b] = names;
    let factor = |name: Option<String>, factor, expected: [usize; 2]| {
        let layer = layer();
        let tensor = name.ok_or(AdapterError::MissingFactor { layer, factor })?;
        let got = tensors.shape(&tensor).unwrap_or_default();
        if got != expected {
            return Err(AdapterError::FactorShape {
                tensor,
                expected,
                got,
            });
        }
        Ok(tensors.floats(&tensor)?)
    };
    let (a, mut b) = (
        factor(a, "lora_A", [rank, linear.d_in])?,
        factor(b, "lora_B", [linear.d_out, rank])?,
    );
    if !is_transposed {
        b = linear.layout.read(b, linear.d_out, rank);
    }
    Ok(LowRank {
        a: a.into(),
        b: b.into(),
        scaling: config.scaling(&linear.name),
        rank,
        d_out: linear.d_out,
        d_in: linear.d_in,
    })
}
