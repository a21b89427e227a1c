//! What `quantization_config` of a checkpoint says.
//!
//! Keys that only tell how the codes were found (damping, calibration) are not looked at;
//! every key that changes what the codes stand for is either understood or refused by name.

use super::QuantizedError;
use serde_json::{Map, Value};

/// The storage format of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantizedFormat {
    /// GPTQ.
    Gptq(GptqFormat),
    /// AWQ with the layout of its matrix product kernel.
    Awq(AwqFormat),
    /// compressed-tensors.
    CompressedTensors(CompressedTensorsFormat),
}

/// What a GPTQ configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptqFormat {
    /// Widths of codes that modules may have, the general one first.
    pub bits: Vec<u32>,
    /// Group sizes that modules may have, the general one first; `None` is one group a row.
    pub group_sizes: Vec<Option<usize>>,
    /// Whether zero points are stored as they are (`gptq_v2`), and not less one (`gptq`).
    pub is_v2: bool,
}

/// What an AWQ configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwqFormat {
    /// Input channels that share a scale; `None` is one group a row.
    pub group_size: Option<usize>,
}

/// How compressed-tensors stores codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// `pack-quantized`: a stream of bits in 32-bit words.
    Words,
    /// `int-quantized`: one signed byte a code.
    Bytes,
}

/// What a compressed-tensors configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressedTensorsFormat {
    /// How codes are stored.
    pub packing: Packing,
    /// The schemes of its groups of modules.
    pub groups: Vec<GroupScheme>,
    /// What the configuration asks for beyond the weights, and reading the weights does not give.
    pub beyond_weights: Vec<String>,
}

/// How one group of modules is quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupScheme {
    /// Width of a code.
    pub bits: u32,
    /// Whether there are no zero points.
    pub is_symmetric: bool,
    /// What shares a scale.
    pub shared_by: SharedBy,
}

/// Which weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedBy {
    /// All weights.
    Tensor,
    /// Those of an output channel.
    Channel,
    /// This many input channels of an output channel.
    Group(usize),
}

/// Group sizes beyond this are mistakes or attacks.
const MAX_GROUP: i64 = 1 << 24;

const READABLE: &str =
    "`gptq`, `awq` (gemm) and `compressed-tensors` (pack-quantized, int-quantized) can be read";

impl QuantizedFormat {
    /// Reads `quantization_config`, or the content of `quantize_config.json`.
    ///
    /// # Errors
    ///
    /// [`QuantizedError::Unsupported`] names what has no implementation,
    /// [`QuantizedError::Config`] what makes no sense.
    pub fn from_config(config: &Value) -> Result<Self, QuantizedError> {
        let keys = Keys::new(config)?;
        let method = match keys.text(&["quant_method", "method"])? {
            Some(method) => method.to_ascii_lowercase(),
            // Files of their own, as the first tools wrote them, do not name themselves.
            None if keys.has(&["w_bit", "q_group_size"]) && keys.has(&["version"]) => {
                "awq".to_owned()
            }
            None if keys.has(&["bits", "wbits", "w_bit"]) => "gptq".to_owned(),
            None => {
                return Err(QuantizedError::Config(
                    "`quant_method` is missing".to_owned(),
                ));
            }
        };
        match method.as_str() {
            "gptq" => gptq(&keys).map(Self::Gptq),
            "awq" => awq(&keys).map(Self::Awq),
            "compressed-tensors" => compressed_tensors(&keys).map(Self::CompressedTensors),
            _ => Err(unsupported("quant_method", &method, READABLE)),
        }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gptq(GptqFormat { is_v2: false, .. }) => "GPTQ",
            Self::Gptq(GptqFormat { is_v2: true, .. }) => "GPTQ (v2)",
            Self::Awq(_) => "AWQ",
            Self::CompressedTensors(CompressedTensorsFormat { packing, .. }) => match packing {
                Packing::Words => "compressed-tensors pack-quantized",
                Packing::Bytes => "compressed-tensors int-quantized",
            },
        }
    }
}

fn gptq(keys: &Keys<'_>) -> Result<GptqFormat, QuantizedError> {
    let is_v2 = match keys
        .text(&["checkpoint_format", "format"])?
        .unwrap_or("gptq")
    {
        "gptq" => false,
        "gptq_v2" => true,
        other => {
            return Err(unsupported(
                "checkpoint_format",
                other,
                "`gptq` and `gptq_v2` can be read",
            ));
        }
    };
    if keys.flag(&["is_marlin_format"])? == Some(true) {
        return Err(unsupported(
            "is_marlin_format",
            "true",
            "`gptq` and `gptq_v2` can be read",
        ));
    }
    if let Some(other) = keys.text(&["pack_dtype"])?.filter(|name| *name != "int32") {
        return Err(unsupported("pack_dtype", other, "`int32` can be read"));
    }
    let mut format = GptqFormat {
        bits: vec![gptq_bits(
            keys.required_integer(&["bits", "wbits", "w_bit"])?,
        )?],
        group_sizes: vec![group_size(
            keys.integer(&["group_size", "q_group_size"])?.unwrap_or(-1),
        )?],
        is_v2,
    };
    match keys.get(&["dynamic"]) {
        None => {}
        Some(Value::Object(overrides)) => add_overrides(&mut format, overrides)?,
        Some(_) => {
            return Err(QuantizedError::Config(
                "`dynamic` is not an object".to_owned(),
            ));
        }
    }
    Ok(format)
}

/// Adds the widths and group sizes that overrides of modules name. Which module has which is told
/// by the shapes of its tensors, so the patterns need not be matched.
fn add_overrides(
    format: &mut GptqFormat,
    overrides: &Map<String, Value>,
) -> Result<(), QuantizedError> {
    for (pattern, values) in overrides {
        if pattern.starts_with("-:") {
            continue;
        }
        let keys = Keys::new(values)?;
        for key in [
            "method",
            "quant_method",
            "format",
            "checkpoint_format",
            "pack_dtype",
        ] {
            if keys.has(&[key]) {
                return Err(unsupported(
                    &format!("dynamic.{pattern}"),
                    key,
                    "overrides of bits and group size can be read",
                ));
            }
        }
        if let Some(bits) = keys.integer(&["bits", "wbits", "w_bit"])? {
            let bits = gptq_bits(bits)?;
            if !format.bits.contains(&bits) {
                format.bits.push(bits);
            }
        }
        if let Some(size) = keys.integer(&["group_size", "q_group_size"])? {
            let size = group_size(size)?;
            if !format.group_sizes.contains(&size) {
                format.group_sizes.push(size);
            }
        }
    }
    Ok(())
}

fn gptq_bits(bits: i64) -> Result<u32, QuantizedError> {
    match bits {
        2 | 3 | 4 | 8 => Ok(bits as u32),
        other => Err(unsupported(
            "bits",
            &other.to_string(),
            "2, 3, 4 and 8 bits can be read",
        )),
    }
}

fn group_size(size: i64) -> Result<Option<usize>, QuantizedError> {
    match size {
        -1 => Ok(None),
        1..=MAX_GROUP => Ok(Some(size as usize)),
        other => Err(QuantizedError::Config(format!(
            "`group_size` = {other} is neither -1 nor a size"
        ))),
    }
}

fn awq(keys: &Keys<'_>) -> Result<AwqFormat, QuantizedError> {
    let version = keys
        .text(&["version", "format", "checkpoint_format"])?
        .unwrap_or("gemm");
    if !version.eq_ignore_ascii_case("gemm") {
        return Err(unsupported(
            "version",
            version,
            "AWQ of version `gemm` can be read",
        ));
    }
    if keys.text(&["backend"])? == Some("llm-awq") {
        return Err(unsupported(
            "backend",
            "llm-awq",
            "AWQ as written by `autoawq` can be read",
        ));
    }
    let bits = keys.required_integer(&["bits", "w_bit", "wbits"])?;
    if bits != 4 {
        return Err(unsupported(
            "bits",
            &bits.to_string(),
            "AWQ of 4 bits can be read",
        ));
    }
    Ok(AwqFormat {
        group_size: group_size(
            keys.integer(&["group_size", "q_group_size"])?
                .unwrap_or(128),
        )?,
    })
}

fn compressed_tensors(keys: &Keys<'_>) -> Result<CompressedTensorsFormat, QuantizedError> {
    const HINT: &str = "`pack-quantized` and `int-quantized` can be read";
    let format = keys.text(&["format"])?;
    let packing = match format {
        Some("pack-quantized") => Packing::Words,
        Some("int-quantized") => Packing::Bytes,
        Some(other) => return Err(unsupported("format", other, HINT)),
        None => return Err(QuantizedError::Config("`format` is missing".to_owned())),
    };
    if let Some(other) = keys
        .text(&["quantization_status"])?
        .filter(|status| *status != "compressed")
    {
        return Err(unsupported(
            "quantization_status",
            other,
            "`compressed` can be read",
        ));
    }
    refuse_transforms(keys)?;
    let Some(Value::Object(stored)) = keys.get(&["config_groups"]) else {
        return Err(QuantizedError::Config(
            "`config_groups` is missing".to_owned(),
        ));
    };
    let mut read = CompressedTensorsFormat {
        packing,
        groups: Vec::new(),
        beyond_weights: Vec::new(),
    };
    for (name, group) in stored {
        add_group(&mut read, name, &Keys::new(group)?, format)?;
    }
    if keys.has(&["kv_cache_scheme"]) {
        read.beyond_weights.push("kv_cache_scheme".to_owned());
    }
    if read.groups.is_empty() {
        let reason = "`config_groups` is empty".to_owned();
        return Err(QuantizedError::Config(reason));
    }
    Ok(read)
}

/// Adds one of `config_groups`.
fn add_group(
    read: &mut CompressedTensorsFormat,
    name: &str,
    group: &Keys<'_>,
    format: Option<&str>,
) -> Result<(), QuantizedError> {
    let other = group.text(&["format"])?;
    if let Some(other) = other.filter(|other| Some(*other) != format) {
        let hint = "one format for all groups can be read";
        return Err(unsupported(&format!("{name}.format"), other, hint));
    }
    let Some(weights) = group.get(&["weights"]) else {
        let reason = format!("`{name}` does not say how weights are quantised");
        return Err(QuantizedError::Config(reason));
    };
    let scheme = group_scheme(&Keys::new(weights)?)?;
    if !read.groups.contains(&scheme) {
        read.groups.push(scheme);
    }
    for key in ["input_activations", "output_activations"] {
        if group.has(&[key]) {
            read.beyond_weights.push(format!("{name}.{key}"));
        }
    }
    Ok(())
}

/// Sparse storage and rotations change what the codes stand for.
fn refuse_transforms(keys: &Keys<'_>) -> Result<(), QuantizedError> {
    for key in ["sparsity_config", "transform_config"] {
        let is_empty = match keys.get(&[key]) {
            None => true,
            Some(Value::Object(content)) => {
                content.is_empty() || content.get("format") == Some(&"dense".into())
            }
            Some(_) => false,
        };
        if !is_empty {
            return Err(unsupported(key, "…", "weights without it can be read"));
        }
    }
    Ok(())
}

fn group_scheme(keys: &Keys<'_>) -> Result<GroupScheme, QuantizedError> {
    if let Some(other) = keys.text(&["type"])?.filter(|name| *name != "int") {
        return Err(unsupported("weights.type", other, "`int` can be read"));
    }
    let bits = keys.required_integer(&["num_bits"])?;
    let (2..=8, Ok(bits)) = (bits, u32::try_from(bits)) else {
        let hint = "2 to 8 bits can be read";
        return Err(unsupported("weights.num_bits", &bits.to_string(), hint));
    };
    let size = keys.integer(&["group_size"])?;
    let default = match size {
        None => "tensor",
        Some(-1) => "channel",
        Some(_) => "group",
    };
    let shared_by = match keys.text(&["strategy"])?.unwrap_or(default) {
        "tensor" => SharedBy::Tensor,
        "channel" => SharedBy::Channel,
        "group" => match size.map(group_size).transpose()? {
            Some(Some(size)) => SharedBy::Group(size),
            _ => {
                return Err(QuantizedError::Config(
                    "strategy `group` needs a `group_size`".to_owned(),
                ));
            }
        },
        other => {
            return Err(unsupported(
                "weights.strategy",
                other,
                "`tensor`, `channel` and `group` can be read",
            ));
        }
    };
    Ok(GroupScheme {
        bits,
        is_symmetric: keys.flag(&["symmetric"])?.unwrap_or(true),
        shared_by,
    })
}

fn unsupported(key: &str, value: &str, hint: &'static str) -> QuantizedError {
    QuantizedError::Unsupported {
        key: key.to_owned(),
        value: value.to_owned(),
        hint,
    }
}

/// A JSON object that is read by key; a key may have several names, `null` counts as absent.
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn new(value: &'a Value) -> Result<Self, QuantizedError> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(QuantizedError::Config("an object was expected".to_owned())),
        }
    }

    fn get(&self, names: &[&str]) -> Option<&'a Value> {
        let mut found = names.iter().filter_map(|name| self.0.get(*name));
        found.find(|value| !value.is_null())
    }

    fn has(&self, names: &[&str]) -> bool {
        self.get(names).is_some()
    }

    fn text(&self, names: &[&str]) -> Result<Option<&'a str>, QuantizedError> {
        self.typed(names, "a string", Value::as_str)
    }

    fn flag(&self, names: &[&str]) -> Result<Option<bool>, QuantizedError> {
        self.typed(names, "true or false", Value::as_bool)
    }

    fn integer(&self, names: &[&str]) -> Result<Option<i64>, QuantizedError> {
        self.typed(names, "an integer", Value::as_i64)
    }

    fn required_integer(&self, names: &[&str]) -> Result<i64, QuantizedError> {
        self.integer(names)?
            .ok_or_else(|| QuantizedError::Config(format!("`{}` is missing", names[0])))
    }

    fn typed<T>(
        &self,
        names: &[&str],
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, QuantizedError> {
        let Some(value) = self.get(names) else {
            return Ok(None);
        };
        let wrong = || QuantizedError::Config(format!("`{}` is not {wanted}", names[0]));
        read(value).map(Some).ok_or_else(wrong)
    }
}
