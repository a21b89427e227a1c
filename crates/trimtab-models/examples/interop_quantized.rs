//! Writes tiny Llama models in the quantised formats that other tools read, each with the logits that our
//! engine computes from the same codes, for `scripts/interop.sh` to compare.
//!
//! `cargo run --release -p trimtab-models --example interop_quantized -- OUT` makes
//! `OUT/<script>/<case>/` with the model folder's files and `logits.json`.

#![expect(clippy::print_stderr, reason = "a program speaks on standard error")]

use burn::tensor::Device;
use half::f16;
use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};
use trimtab_domain::{FloatFormat, Recipe, Step};
use trimtab_kernels::{KvFormat, PackedFormat, PackedView, pack_f16, pack_f32};
use trimtab_models::{
    Artifact, ArtifactHeader, Checkpoint, ModelConfig, WeightRole, WeightSpec,
    decoder::SequenceStep,
    load_decoder,
    quantized::{
        ExportFormat, ExportGrid, ExportTensor, ExportWeight, FolderFloats, GridParts, GridWeight,
        QuantizedFolder, write_quantized_folder,
    },
    tiny::{TinyModel, hugging_face_config, write_tiny_gguf},
    weight_specs, write_artifact,
};

const IDS: [u32; 9] = [72, 101, 108, 108, 111, 257, 10, 0, 258];

/// Larger than any layer: one group a row.
const ONE_GROUP: usize = 4096;

/// Format, bits, group size, whether symmetric, whether in activation order.
const CASES: [(ExportFormat, u32, usize, bool, bool); 12] = [
    (ExportFormat::Plain, 16, ONE_GROUP, true, false),
    (ExportFormat::Gptq, 4, 64, true, false),
    (ExportFormat::Gptq, 4, 32, true, true),
    (ExportFormat::Gptq, 8, ONE_GROUP, true, false),
    (ExportFormat::Gptq, 3, 32, true, false),
    (ExportFormat::GptqV2, 4, 32, false, false),
    (ExportFormat::GptqV2, 2, ONE_GROUP, false, false),
    (ExportFormat::GptqV2, 8, 64, false, false),
    (ExportFormat::CompressedTensors, 4, 64, true, false),
    (ExportFormat::CompressedTensors, 4, 32, false, false),
    (ExportFormat::CompressedTensors, 8, ONE_GROUP, true, false),
    (ExportFormat::CompressedTensors, 4, ONE_GROUP, false, false),
];

/// One folder to write.
#[derive(Clone, Copy)]
struct Case {
    format: ExportFormat,
    bits: u32,
    group_size: usize,
    is_symmetric: bool,
    is_sorted: bool,
}

impl Case {
    /// The script in `scripts/interop/` that loads it.
    fn script(self) -> &'static str {
        match self.format {
            ExportFormat::Plain => "plain",
            ExportFormat::Gptq | ExportFormat::GptqV2 => "gptq",
            ExportFormat::CompressedTensors => "compressed_tensors",
        }
    }

    fn name(self) -> String {
        let version = if self.format == ExportFormat::GptqV2 {
            "v2-"
        } else {
            ""
        };
        let groups = if self.group_size == ONE_GROUP {
            "rows"
        } else {
            "groups"
        };
        let zeros = if self.is_symmetric { "" } else { "-zeros" };
        let order = if self.is_sorted { "-order" } else { "" };
        format!("{version}{}bit-{groups}{zeros}{order}", self.bits)
    }
}

fn main() -> ExitCode {
    let Some(out) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("error: no folder was named\nhint: interop_quantized OUT");
        return ExitCode::from(2);
    };
    for (format, bits, group_size, is_symmetric, is_sorted) in CASES {
        let case = Case {
            format,
            bits,
            group_size,
            is_symmetric,
            is_sorted,
        };
        if let Err(error) = write_case(&out.join(case.script()).join(case.name()), case) {
            eprintln!("error: {}/{}: {error}", case.script(), case.name());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn write_case(dir: &Path, case: Case) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let gguf = dir.join("tiny.gguf");
    let model = TinyModel {
        has_tied_head: case.is_symmetric,
        ..TinyModel::default()
    };
    write_tiny_gguf(&gguf, &model)?;
    let checkpoint = Checkpoint::open(&gguf)?;
    std::fs::remove_file(&gguf)?;
    let weights: Vec<(WeightSpec, Weight)> = weight_specs(checkpoint.config())
        .into_iter()
        .map(|spec| {
            let weight = Weight::new(&checkpoint, &spec, case)?;
            Ok((spec, weight))
        })
        .collect::<Result<_, Box<dyn Error>>>()?;
    let logits = engine_logits(dir, checkpoint.config(), &weights)?;
    std::fs::write(
        dir.join("logits.json"),
        serde_json::json!({ "ids": IDS, "logits": logits }).to_string(),
    )?;
    let tensors: Vec<ExportTensor> = weights
        .iter()
        .map(|(spec, weight)| ExportTensor {
            name: spec.hf_name(),
            shape: spec.hf_shape(),
            grid: matches!(weight, Weight::Grid(_)).then_some(ExportGrid {
                bits: weight.bits(),
                group_size: case.group_size,
                is_symmetric: case.is_symmetric,
            }),
        })
        .collect();
    let folder = QuantizedFolder {
        format: case.format,
        floats: FolderFloats::F16,
        config: &hugging_face_config(checkpoint.config()),
        tensors: &tensors,
    };
    let mut weights = weights.iter();
    write_quantized_folder(dir, &folder, &mut |_| {
        let (_, weight) = weights.next().ok_or("more tensors than weights")?;
        Ok(weight.exported())
    })?;
    Ok(())
}

/// A weight as it is written and as the engine reads it.
enum Weight {
    Grid(GridWeight),
    /// Exact in 16 bits.
    Floats(Vec<f32>),
}

impl Weight {
    fn new(checkpoint: &Checkpoint, spec: &WeightSpec, case: Case) -> Result<Self, Box<dyn Error>> {
        let values = checkpoint.read(spec)?;
        if spec.role == WeightRole::Linear && case.format != ExportFormat::Plain {
            let grid = round_to_nearest(&values, [spec.d_out, spec.d_in], case)?;
            return Ok(Self::Grid(through_packed(grid)));
        }
        let rounded = values.iter().map(|value| f16::from_f32(*value).to_f32());
        Ok(Self::Floats(rounded.collect()))
    }

    fn bits(&self) -> u32 {
        match self {
            Self::Grid(grid) => grid.parts().bits,
            Self::Floats(_) => 16,
        }
    }

    fn packed(&self, spec: &WeightSpec) -> (PackedFormat, Vec<u8>) {
        match self {
            Self::Grid(grid) => match grid.to_packed() {
                Ok((shape, bytes)) => (shape.format, bytes),
                Err(_) => (PackedFormat::F32, pack_f32(&grid.dequantize())),
            },
            Self::Floats(values) if spec.role == WeightRole::Vector => {
                (PackedFormat::F32, pack_f32(values))
            }
            Self::Floats(values) => (PackedFormat::F16, pack_f16(values)),
        }
    }

    fn exported(&self) -> ExportWeight {
        match self {
            Self::Grid(grid) => ExportWeight::Grid(grid.clone()),
            Self::Floats(values) => ExportWeight::Floats(values.clone()),
        }
    }
}

/// What the bytes of our own format stand for, where it holds the weight: an artifact is exported from those.
/// Codes of 2 and 3 bits stay as they are, since they would come back in 4 bits.
fn through_packed(grid: GridWeight) -> GridWeight {
    let Ok((shape, bytes)) = grid.to_packed() else {
        return grid;
    };
    let from_packed = PackedView::new(shape, &bytes)
        .ok()
        .and_then(GridWeight::from_packed);
    from_packed
        .filter(|again| again.parts().bits == grid.parts().bits)
        .unwrap_or(grid)
}

/// Rounds every group to its grid: around the middle code, or from its lowest to its highest weight.
fn round_to_nearest(
    values: &[f32],
    [d_out, d_in]: [usize; 2],
    case: Case,
) -> Result<GridWeight, Box<dyn Error>> {
    let levels = ((1_u32 << case.bits) - 1) as f32;
    let middle = 1_i32 << (case.bits - 1);
    let mut parts = GridParts {
        d_out,
        d_in,
        bits: case.bits,
        group_size: case.group_size,
        codes: Vec::new(),
        scales: Vec::new(),
        zero_points: Vec::new(),
        group_idx: None,
    };
    for group in values
        .chunks_exact(d_in)
        .flat_map(|row| row.chunks(case.group_size))
    {
        let low = group.iter().fold(0.0_f32, |low, w| low.min(*w));
        let high = group.iter().fold(0.0_f32, |high, w| high.max(*w));
        let range = if case.is_symmetric {
            2.0 * high.max(-low)
        } else {
            high - low
        };
        let scale = f16::from_f32(range / levels).to_f32();
        let zero_point = match case.is_symmetric {
            true => middle,
            false => (-low / scale).round() as i32,
        };
        let code = |w: &f32| (w / scale + zero_point as f32).round().clamp(0.0, levels) as u8;
        parts.codes.extend(group.iter().map(code));
        parts.scales.push(scale);
        parts.zero_points.push(zero_point);
    }
    if case.is_sorted {
        // Which channel is of which group does not matter, but each group has to be full.
        let n_groups = d_in as u32 / case.group_size as u32;
        parts.group_idx = Some((0..d_in as u32).map(|channel| channel % n_groups).collect());
    }
    Ok(GridWeight::new(parts)?)
}

/// Scores of the next token after each of [`IDS`], `[n_tokens, vocab]`.
fn engine_logits(
    dir: &Path,
    config: &ModelConfig,
    weights: &[(WeightSpec, Weight)],
) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let path = dir.join("tiny.trimtab");
    let mut packed = HashMap::new();
    let mut formats = BTreeMap::new();
    for (spec, weight) in weights {
        let (format, bytes) = weight.packed(spec);
        packed.insert(spec.name.clone(), bytes);
        if spec.role != WeightRole::Vector {
            formats.insert(spec.name.clone(), format.into());
        }
    }
    let header = ArtifactHeader {
        format_version: ArtifactHeader::FORMAT_VERSION,
        config: config.clone(),
        recipe: Recipe {
            name: "interop".into(),
            steps: vec![Step::Cast {
                to: FloatFormat::F32,
            }],
        },
        formats,
    };
    write_artifact(&path, &header, &mut |spec| {
        let bytes = packed.remove(&spec.name);
        bytes.ok_or_else(|| "it is asked for twice".to_owned())
    })?;
    let artifact = Artifact::open(&path)?;
    let device = Device::flex();
    let model = load_decoder(&artifact, None, 64, &device)?;
    let mut cache = model.new_cache(1, IDS.len(), KvFormat::F32);
    let step = SequenceStep { slot: 0, ids: &IDS };
    let hidden = model.hidden(&[step], &mut cache);
    let logits = model.logits(hidden).into_data().try_into_vec::<f32>();
    let logits = logits.map_err(|error| format!("the engine computes in f32: {error:?}"))?;
    std::fs::remove_file(&path)?;
    Ok(logits
        .chunks_exact(config.vocab_size)
        .map(<[f32]>::to_vec)
        .collect())
}
