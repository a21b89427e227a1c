//! A quantised checkpoint seen as float weights, and weight by weight as codes.

use super::{
    GridWeight, QuantizedError, QuantizedFormat, awq, compressed_tensors, gptq,
    module::{ModuleSizes, ModuleTensors},
};
use crate::{StoredType, TensorError, TensorSource, check_finite};
use std::collections::BTreeMap;

/// A checkpoint whose quantised modules offer `<module>.weight` as floats, dequantised when asked for.
///
/// Tensors that only the codes need (scales, zero points) are hidden; all others are passed through.
#[derive(Debug)]
pub struct QuantizedSource<S> {
    source: S,
    format: QuantizedFormat,
    modules: BTreeMap<String, ModuleSizes>,
    /// All names that are offered, sorted.
    names: Vec<String>,
}

impl<S: TensorSource> QuantizedSource<S> {
    /// Finds the quantised modules of `source` and checks the shapes of their tensors.
    ///
    /// `config` is `quantization_config` of `config.json`, or the content of `quantize_config.json`.
    ///
    /// # Errors
    ///
    /// [`QuantizedError`] for formats that cannot be read, and for tensors that are missing, disagree
    /// with each other or with `config`.
    pub fn open(source: S, config: &serde_json::Value) -> Result<Self, QuantizedError> {
        let format = QuantizedFormat::from_config(config)?;
        let (codes, companions) = stored_parts(&format);
        let mut names = source.names();
        let mut modules = BTreeMap::new();
        for name in &names {
            let Some((module, _)) = name.rsplit_once('.').filter(|(_, part)| *part == codes) else {
                continue;
            };
            let tensors = ModuleTensors {
                source: &source,
                module,
            };
            if let Some(sizes) = module_sizes(tensors, &format, codes)? {
                modules.insert(module.to_owned(), sizes);
            }
        }
        let is_companion = |part: &str| companions.contains(&part);
        let mut parts = names.iter().filter_map(|name| name.rsplit_once('.'));
        if let Some((module, _)) =
            parts.find(|(module, part)| is_companion(part) && !modules.contains_key(*module))
        {
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
            source,
            format,
            modules,
            names,
        })
    }

    /// The storage format.
    pub fn format(&self) -> &QuantizedFormat {
        &self.format
    }

    /// What the configuration asks for beyond the weights: activations or a cache in few bits.
    /// The weights are read all the same; whoever runs the model has to say that this is left out.
    pub fn beyond_weights(&self) -> &[String] {
        match &self.format {
            QuantizedFormat::CompressedTensors(format) => &format.beyond_weights,
            QuantizedFormat::Gptq(_) | QuantizedFormat::Awq(_) => &[],
        }
    }

    /// The weight `<module>.weight` as codes; `None` if it is not stored as codes.
    pub fn grid(&self, name: &str) -> Option<Result<GridWeight, QuantizedError>> {
        let (module, sizes) = self.module(name)?;
        let tensors = ModuleTensors {
            source: &self.source,
            module,
        };
        Some(match &self.format {
            QuantizedFormat::Gptq(format) => gptq::read(tensors, format, *sizes),
            QuantizedFormat::Awq(_) => awq::read(tensors, *sizes),
            QuantizedFormat::CompressedTensors(format) => {
                compressed_tensors::read(tensors, format, *sizes)
            }
        })
    }

    fn module<'b>(&self, name: &'b str) -> Option<(&'b str, &ModuleSizes)> {
        let module = name.strip_suffix(".weight")?;
        Some((module, self.modules.get(module)?))
    }

    /// Passes on a name that is offered and not dequantised.
    fn passed<'b>(&self, name: &'b str) -> Option<&'b str> {
        let is_offered = self
            .names
            .binary_search_by(|offered| offered.as_str().cmp(name))
            .is_ok();
        is_offered.then_some(name)
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
    let has = |part: &str| tensors.source.shape(&tensors.name(part)).is_some();
    if codes == "weight" {
        let stored = tensors.source.stored_type(&tensors.name(codes));
        if stored == Some(StoredType::Float) && !has("weight_scale") {
            return Ok(None);
        }
    } else if has("weight") {
        return Err(tensors.wrong_value("weight", format!("is there beside `{codes}`")));
    }
    let sizes = match format {
        QuantizedFormat::Gptq(format) => gptq::sizes(tensors, format)?,
        QuantizedFormat::Awq(format) => awq::sizes(tensors, format)?,
        QuantizedFormat::CompressedTensors(format) => compressed_tensors::sizes(tensors, format)?,
    };
    Ok(Some(sizes))
}

impl<S: TensorSource> TensorSource for QuantizedSource<S> {
    fn names(&self) -> Vec<String> {
        self.names.clone()
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
                found: format!("codes of {}", self.format.name()),
                wanted: "integers",
            });
        }
        match self.passed(name) {
            Some(name) => self.source.integers(name),
            None => Err(TensorError::Missing(name.to_owned())),
        }
    }
}
