//! Writes a model folder that other tools read: `model.safetensors` and `config.json`, with linear
//! layers as GPTQ or compressed-tensors store them, or all weights as 16-bit floats.

use super::{
    ExportError, GridWeight, compressed_tensors, gptq,
    safetensors_file::{
        PlannedTensor, SafetensorsFile, io_error, rounded_bf16_bytes, rounded_f16_bytes,
    },
};
use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::Value;
use std::{fs::File, io::Write, path::Path};

/// How linear layers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// All weights as 16-bit floats, codes dequantised.
    Plain,
    /// GPTQ, zero points stored less one; what most programs read.
    Gptq,
    /// GPTQ with zero points as they are.
    GptqV2,
    /// compressed-tensors `pack-quantized`.
    CompressedTensors,
}

impl ExportFormat {
    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "16-bit floats",
            Self::Gptq => "GPTQ",
            Self::GptqV2 => "GPTQ (v2)",
            Self::CompressedTensors => "compressed-tensors",
        }
    }
}

/// A tensor of the model, by its name in Hugging Face checkpoints (`….weight`, `….bias`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportTensor {
    /// The full name.
    pub name: String,
    /// Sizes from the outermost axis to the innermost.
    pub shape: Vec<usize>,
    /// How it is quantised; `None` is stored as floats.
    pub grid: Option<ExportGrid>,
}

/// The grid of a quantised weight, which has to be known before the weight is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportGrid {
    /// Width of a code.
    pub bits: u32,
    /// Input channels that share a scale.
    pub group_size: usize,
    /// Whether every zero point is the middle code.
    pub is_symmetric: bool,
}

/// The content of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportWeight {
    /// Codes; dequantised where floats are to be stored.
    Grid(GridWeight),
    /// Floats, row-major.
    Floats(Vec<f32>),
}

/// Makes the content of one tensor.
pub type MakeExport<'a> = dyn FnMut(&ExportTensor) -> Result<ExportWeight, String> + 'a;

/// The 16-bit floats of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderFloats {
    /// IEEE half.
    F16,
    /// The upper halves of 32-bit floats.
    Bf16,
}

impl FolderFloats {
    fn dtype(self) -> Dtype {
        match self {
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// Its name in `config.json`.
    fn name(self) -> &'static str {
        match self {
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// What a value is read as after it was written.
    pub(super) fn rounded(self, value: f32) -> f32 {
        match self {
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::Bf16 => bf16::from_f32(value).to_f32(),
        }
    }

    fn bytes(self, values: &[f32]) -> Result<Vec<u8>, String> {
        match self {
            Self::F16 => rounded_f16_bytes(values),
            Self::Bf16 => rounded_bf16_bytes(values),
        }
    }
}

/// What a folder is to hold.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedFolder<'a> {
    /// How linear layers are stored.
    pub format: ExportFormat,
    /// How all else is stored.
    pub floats: FolderFloats,
    /// `config.json` of the model; number format and quantisation are set here.
    pub config: &'a Value,
    /// The tensors, in the order in which they are made.
    pub tensors: &'a [ExportTensor],
}

/// Writes `model.safetensors`, `config.json` and for GPTQ `quantize_config.json` into `dir`, which exists.
///
/// Weights are made and written one at a time. Where groups differ or do not fill the rows, all weights
/// are written in the largest common group, which changes no weight. The configuration is written last; after an error the
/// folder is to be removed.
///
/// # Errors
///
/// [`ExportError`] where the disk refuses, `make` does, or the format cannot hold a weight.
pub fn write_quantized_folder(
    dir: &Path,
    folder: &QuantizedFolder<'_>,
    make: &mut MakeExport<'_>,
) -> Result<(), ExportError> {
    let Value::Object(config) = folder.config else {
        return Err(ExportError::Config);
    };
    let scheme = common_scheme(folder)?;
    let mut planned = Vec::new();
    for tensor in folder.tensors {
        planned.extend(planned_tensors(folder, tensor, scheme)?);
    }
    let mut file = SafetensorsFile::create(&dir.join("model.safetensors"), planned)?;
    let mut sorts_by_activation = false;
    for tensor in folder.tensors {
        let wrong = |reason: String| weight_error(folder.format, tensor, reason);
        let weight = make(tensor).map_err(wrong)?;
        if let (ExportWeight::Grid(grid), Some(_)) = (&weight, tensor.grid) {
            sorts_by_activation |= grid.parts().group_idx.is_some();
        }
        for (name, bytes) in encoded(folder, tensor, scheme, weight).map_err(wrong)? {
            file.write(&name, &bytes)?;
        }
    }
    file.finish()?;
    let mut config = config.clone();
    config.remove("dtype");
    config.insert("torch_dtype".to_owned(), folder.floats.name().into());
    config.remove("quantization_config");
    if let Some(quantization) =
        scheme.and_then(|scheme| quantization_config(folder, scheme, sorts_by_activation))
    {
        if matches!(folder.format, ExportFormat::Gptq | ExportFormat::GptqV2) {
            write_json(&dir.join("quantize_config.json"), &quantization)?;
        }
        config.insert("quantization_config".to_owned(), quantization);
    }
    write_json(&dir.join("config.json"), &Value::Object(config))
}

/// What all quantised weights of a folder have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme {
    pub(super) bits: u32,
    /// Input channels that share a scale; `None` is one group a row.
    pub(super) group_size: Option<usize>,
    pub(super) is_symmetric: bool,
}

/// One quantised weight in the common scheme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) d_out: usize,
    pub(super) d_in: usize,
    pub(super) scheme: Scheme,
}

impl Plan {
    /// Groups a row.
    pub(super) fn n_groups(&self) -> usize {
        self.scheme
            .group_size
            .map_or(1, |size| self.d_in.div_ceil(size))
    }
}

/// A tensor of a module in its storage format.
#[derive(Clone, Debug)]
pub(super) struct StoredTensor {
    part: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl StoredTensor {
    pub(super) fn new(part: &'static str, dtype: Dtype, shape: &[usize]) -> Self {
        Self {
            part,
            dtype,
            shape: shape.to_owned(),
        }
    }
}

/// The smallest group that other tools have kernels for.
const SMALLEST_GROUP: usize = 16;

/// The scheme of all quantised weights; `None` if nothing is to be stored as codes.
fn common_scheme(folder: &QuantizedFolder<'_>) -> Result<Option<Scheme>, ExportError> {
    if folder.format == ExportFormat::Plain {
        return Ok(None);
    }
    let quantized = || {
        folder
            .tensors
            .iter()
            .filter_map(|tensor| Some((tensor, tensor.grid?)))
    };
    let Some((first, first_grid)) = quantized().next() else {
        return Err(ExportError::NothingQuantized(folder.format.name()));
    };
    for (tensor, grid) in quantized() {
        if let (false, _) | (_, 0) = (
            tensor.shape.len() == 2 && !tensor.shape.contains(&0),
            grid.group_size,
        ) {
            let reason = format!(
                "shape {:?} in groups of {} is no matrix of groups",
                tensor.shape, grid.group_size
            );
            return Err(weight_error(folder.format, tensor, reason));
        }
    }
    for (tensor, grid) in quantized() {
        if grid.bits != first_grid.bits {
            return Err(ExportError::Mixed {
                name: tensor.name.clone(),
                got: format!("{} bits", grid.bits),
                first: first.name.clone(),
                expected: format!("{} bits", first_grid.bits),
                format: folder.format.name(),
            });
        }
    }
    let sizes = quantized().map(|(tensor, grid)| (tensor.shape[1], grid.group_size));
    let group_size = common_group_size(sizes);
    if let Some(size) = group_size.filter(|size| *size < SMALLEST_GROUP) {
        let reason = format!(
            "rows and groups of all weights have no common group larger than {size} channels"
        );
        return Err(weight_error(folder.format, first, reason));
    }
    Ok(Some(Scheme {
        bits: first_grid.bits,
        group_size,
        is_symmetric: quantized().all(|(_, grid)| grid.is_symmetric),
    }))
}

/// The largest group that divides all groups and rows of `(d_in, group_size)`, since other tools want
/// groups of one size that fill the rows; `None` if every row is one group.
fn common_group_size(weights: impl Iterator<Item = (usize, usize)> + Clone) -> Option<usize> {
    if weights.clone().all(|(d_in, group_size)| group_size >= d_in) {
        return None;
    }
    let divisors = weights.flat_map(|(d_in, group_size)| [d_in, group_size.min(d_in)]);
    divisors.reduce(greatest_common_divisor)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

fn weight_error(format: ExportFormat, tensor: &ExportTensor, reason: String) -> ExportError {
    ExportError::Weight {
        name: tensor.name.clone(),
        format: format.name(),
        reason,
    }
}

/// Plan and module name of a tensor that is stored as codes.
fn plan_of(tensor: &ExportTensor, scheme: Option<Scheme>) -> Option<(Plan, Option<&str>)> {
    let (&[d_out, d_in], Some(_), Some(scheme)) = (&tensor.shape[..], tensor.grid, scheme) else {
        return None;
    };
    Some((
        Plan {
            d_out,
            d_in,
            scheme,
        },
        tensor.name.strip_suffix(".weight"),
    ))
}

fn planned_tensors(
    folder: &QuantizedFolder<'_>,
    tensor: &ExportTensor,
    scheme: Option<Scheme>,
) -> Result<Vec<PlannedTensor>, ExportError> {
    let Some((plan, module)) = plan_of(tensor, scheme) else {
        return Ok(vec![PlannedTensor {
            name: tensor.name.clone(),
            dtype: folder.floats.dtype(),
            shape: tensor.shape.clone(),
        }]);
    };
    let wrong = |reason: String| weight_error(folder.format, tensor, reason);
    let module = module.ok_or_else(|| wrong("its name does not end with `.weight`".to_owned()))?;
    let stored = match folder.format {
        ExportFormat::CompressedTensors => Ok(compressed_tensors::plan(plan)),
        ExportFormat::Plain | ExportFormat::Gptq | ExportFormat::GptqV2 => gptq::plan(plan),
    };
    let named = |stored: StoredTensor| PlannedTensor {
        name: format!("{module}.{}", stored.part),
        dtype: stored.dtype,
        shape: stored.shape,
    };
    Ok(stored.map_err(wrong)?.into_iter().map(named).collect())
}

/// Names and bytes of the tensors that a weight is stored as.
fn encoded(
    folder: &QuantizedFolder<'_>,
    tensor: &ExportTensor,
    scheme: Option<Scheme>,
    weight: ExportWeight,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let Some((plan, Some(module))) = plan_of(tensor, scheme) else {
        let values = match weight {
            ExportWeight::Floats(values) => values,
            ExportWeight::Grid(grid) => grid.dequantize(),
        };
        return Ok(vec![(tensor.name.clone(), folder.floats.bytes(&values)?)]);
    };
    let ExportWeight::Grid(weight) = weight else {
        return Err("floats were made, not codes".to_owned());
    };
    let weight = match plan.scheme.group_size {
        Some(group_size) => weight
            .in_groups_of(group_size)
            .map_err(|error| error.to_string())?,
        None => weight,
    };
    let parts = weight.parts();
    let made = (parts.d_out, parts.d_in, parts.bits, weight.n_groups());
    let planned = (plan.d_out, plan.d_in, plan.scheme.bits, plan.n_groups());
    if made != planned {
        return Err(format!(
            "rows, columns, bits and groups are {made:?}, not {planned:?} as planned"
        ));
    }
    if plan.scheme.is_symmetric && !weight.is_symmetric() {
        return Err("it has zero points, and was planned without".to_owned());
    }
    let (stored, bytes) = match folder.format {
        ExportFormat::CompressedTensors => (
            compressed_tensors::plan(plan),
            compressed_tensors::encode(&weight, plan)?,
        ),
        ExportFormat::Plain | ExportFormat::Gptq => {
            (gptq::plan(plan)?, gptq::encode(&weight, false)?)
        }
        ExportFormat::GptqV2 => (gptq::plan(plan)?, gptq::encode(&weight, true)?),
    };
    let names = stored
        .into_iter()
        .map(|stored| format!("{module}.{}", stored.part));
    Ok(names.zip(bytes).collect())
}

fn quantization_config(
    folder: &QuantizedFolder<'_>,
    scheme: Scheme,
    sorts_by_activation: bool,
) -> Option<Value> {
    match folder.format {
        ExportFormat::Plain => None,
        ExportFormat::Gptq => Some(gptq::config(scheme, false, sorts_by_activation)),
        ExportFormat::GptqV2 => Some(gptq::config(scheme, true, sorts_by_activation)),
        ExportFormat::CompressedTensors => {
            let is_float_matrix =
                |tensor: &&ExportTensor| tensor.grid.is_none() && tensor.shape.len() == 2;
            let floats = folder.tensors.iter().filter(is_float_matrix);
            let mut ignored: Vec<String> = floats
                .filter_map(|tensor| Some(tensor.name.strip_suffix(".weight")?.to_owned()))
                .collect();
            // A tied head has no tensor, but is a linear layer all the same.
            ignored.push("lm_head".to_owned());
            ignored.sort_unstable();
            ignored.dedup();
            Some(compressed_tensors::config(scheme, &ignored))
        }
    }
}

fn write_json(path: &Path, value: &Value) -> Result<(), ExportError> {
    let text = format!("{value:#}\n");
    let written = File::create(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| io_error(path, source))
}
