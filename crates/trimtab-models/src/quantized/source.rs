//! A quantised checkpoint seen as float weights, and weight by weight as codes.

use super::{
    GridWeight, QuantizedError, QuantizedFormat, awq, compressed_tensors, gptq,
    module::{ModuleSizes, ModuleTensors},
};
use crate::{StoredType, TensorError, TensorSource, check_finite};
use std::{collections::BTreeMap, sync::Arc};

/// Which modules of a checkpoint are quantised, and how; holds no tensors.
#[derive(Clone, Debug)]
pub struct QuantizedIndex {
    format: QuantizedFormat,
    modules: BTreeMap<String, ModuleSizes>,
    /// All names that are offered, sorted.
    names: Vec<String>,
}

impl QuantizedIndex {
    /// Finds the quantised modules of `source` and checks the shapes of their tensors.
    ///
    /// `config` is `quantization_config` of `config.json`, or the content of `quantize_config.json`.
    ///
    /// # Errors
    ///
    /// [`QuantizedError`] for formats that cannot be read, and for tensors that are missing, disagree
    /// with each other or with `config`.
    pub fn new(
        source: &dyn TensorSource,
        config: &serde_json::Value,
    ) -> Result<Self, QuantizedError> {
        let format = QuantizedFormat::from_config(config)?;
        let (codes, companions) = stored_parts(&format);
        let mut names = source.names();
        let mut modules = BTreeMap::new();
        for name in &names {
            let Some((module, _)) = name.rsplit_once('.').filter(|(_, part)| *part == codes) else {
                continue;
            };
            if let Some(sizes) = module_sizes(ModuleTensors { source, module }, &format, codes)? {
                modules.insert(module.to_owned(), sizes);
            }
        }
        let is_companion = |part: &str| companions.contains(&part);
        let mut parts = names.iter().filter_map(|name| name.rsplit_once('.'));
        let orphan =
            parts.find(|(module, part)| is_companion(part) && !modules.contains_key(*module));
        if let Some((module, _)) = orphan {
            return Err(QuantizedError::MissingCompanion {
                module: module.to_owned(),
                tensor: codes,
            });
        }
        if modules.is_empty() {
            return Err(QuantizedError::NothingQuantized(format.name()));
        }
        names.retain(|name| match name.rsplit_once('.') {
            Some((module, part)) if modules.contains_key(module) => {
                part != codes && !is_companion(part)
            }
            _ => true,
        });
        names.extend(modules.keys().map(|module| format!("{module}.weight")));
        names.sort_unstable();
        Ok(Self {
            format,
            modules,
            names,
        })
    }
}

/// Last parts of the names of a module's codes, and of what the codes need.
fn stored_parts(format: &QuantizedFormat) -> (&'static str, &'static [&'static str]) {
    match format {
        QuantizedFormat::Gptq(_) => (gptq::CODES, &gptq::COMPANIONS),
        QuantizedFormat::Awq(_) => (awq::CODES, &awq::COMPANIONS),
        QuantizedFormat::CompressedTensors(format) => (
            compressed_tensors::codes_name(format.packing),
            &compressed_tensors::COMPANIONS,
        ),
    }
}

/// Sizes of a module that has a tensor called `codes`; `None` if that holds floats, as it may where
/// codes have the name of floats.
fn module_sizes(
    tensors: ModuleTensors<'_>,
    format: &QuantizedFormat,
    codes: &str,
) -> Result<Option<ModuleSizes>, QuantizedError> {
    let source = tensors.source;
    let has = |part: &str| source.shape(&tensors.name(part)).is_some();
    if codes == "weight" {
        let stored = source.stored_type(&tensors.name(codes));
        if stored == Some(StoredType::Float) && !has("weight_scale") {
            return Ok(None);
        }
    } else if has("weight") {
        return Err(tensors.wrong_value("weight", format!("is there beside `{codes}`")));
    }
    match format {
        QuantizedFormat::Gptq(format) => gptq::sizes(tensors, format),
        QuantizedFormat::Awq(format) => awq::sizes(tensors, format),
        QuantizedFormat::CompressedTensors(format) => compressed_tensors::sizes(tensors, format),
    }
    .map(Some)
}

/// A checkpoint whose quantised modules offer `<module>.weight` as floats, dequantised when asked for.
///
/// Tensors that only the codes need (scales, zero points) are hidden; all others are passed through.
#[derive(Clone, Debug)]
pub struct QuantizedSource<'a> {
    source: &'a dyn TensorSource,
    index: Arc<QuantizedIndex>,
}

impl<'a> QuantizedSource<'a> {
    /// Finds the quantised modules of `source`; see [`QuantizedIndex::new`].
    ///
    /// # Errors
    ///
    /// [`QuantizedError`] as there.
    pub fn open(
        source: &'a dyn TensorSource,
        config: &serde_json::Value,
    ) -> Result<Self, QuantizedError> {
        let index = Arc::new(QuantizedIndex::new(source, config)?);
        Ok(Self { source, index })
    }

    /// The same for an index that was made from `source` before.
    pub fn with_index(source: &'a dyn TensorSource, index: Arc<QuantizedIndex>) -> Self {
        Self { source, index }
    }

    /// The index, for another source of the same tensors.
    pub fn index(&self) -> Arc<QuantizedIndex> {
        Arc::clone(&self.index)
    }

    /// The storage format.
    pub fn format(&self) -> &QuantizedFormat {
        &self.index.format
    }

    /// What the configuration asks for beyond the weights: activations or a cache in few bits.
    /// The weights are read all the same; whoever runs the model has to say that this is left out.
    pub fn beyond_weights(&self) -> &[String] {
        match &self.index.format {
            QuantizedFormat::CompressedTensors(format) => &format.beyond_weights,
            QuantizedFormat::Gptq(_) | QuantizedFormat::Awq(_) => &[],
        }
    }

    /// The weight `<module>.weight` as codes; `None` if it is not stored as codes.
    pub fn grid(&self, name: &str) -> Option<Result<GridWeight, QuantizedError>> {
        let (module, sizes) = self.module(name)?;
        let tensors = ModuleTensors {
            source: self.source,
            module,
        };
        Some(match &self.index.format {
            QuantizedFormat::Gptq(format) => gptq::read(tensors, format, *sizes),
            QuantizedFormat::Awq(_) => awq::read(tensors, *sizes),
            QuantizedFormat::CompressedTensors(format) => {
                compressed_tensors::read(tensors, format, *sizes)
            }
        })
    }

    fn module<'b>(&self, name: &'b str) -> Option<(&'b str, &ModuleSizes)> {
        let module = name.strip_suffix(".weight")?;
        Some((module, self.index.modules.get(module)?))
    }

    /// Passes on a name that is offered and not dequantised.
    fn passed<'b>(&self, name: &'b str) -> Option<&'b str> {
        let is_offered = self
            .index
            .names
            .binary_search_by(|offered| offered.as_str().cmp(name))
            .is_ok();
        is_offered.then_some(name)
    }
}

impl TensorSource for QuantizedSource<'_> {
    fn names(&self) -> Vec<String> {
        self.index.names.clone()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self.module(name) {
            Some((_, sizes)) => Some(vec![sizes.d_out, sizes.d_in]),
            None => self.source.shape(self.passed(name)?),
        }
    }

    fn stored_type(&self, name: &str) -> Option<StoredType> {
        match self.module(name) {
            Some(_) => Some(StoredType::Float),
            None => self.source.stored_type(self.passed(name)?),
        }
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, TensorError> {
        match self.grid(name) {
            Some(Ok(weight)) => {
                let values = weight.dequantize();
                check_finite(name, &values)?;
                Ok(values)
            }
            Some(Err(QuantizedError::Tensor(error))) => Err(error),
            Some(Err(error)) => Err(TensorError::Damaged {
                name: name.to_owned(),
                reason: error.to_string(),
            }),
            None => match self.passed(name) {
                Some(name) => self.source.floats(name),
                None => Err(TensorError::Missing(name.to_owned())),
            },
        }
    }

    fn integers(&self, name: &str) -> Result<Vec<i32>, TensorError> {
        if self.module(name).is_some() {
            return Err(TensorError::Type {
                name: name.to_owned(),
                found: format!("codes of {}", self.index.format.name()),
                wanted: "integers",
            });
        }
        match self.passed(name) {
            Some(name) => self.source.integers(name),
            None => Err(TensorError::Missing(name.to_owned())),
        }
    }
}
