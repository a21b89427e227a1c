//! A tiny model, packed in every format, exported, and read again.

use crate::{
    Architecture, Artifact, Checkpoint, ModelConfig, ModelFiles, SpecialTokens, TextTokenizer,
    WeightSpec,
    gguf::{GgmlType, GgufFile},
    gguf_export::{
        BlockTypes, ExportReport, ExportWeight, Fidelity, GgufExport, GgufExportError,
        TokenizerMetadata, Transfer, general_metadata, weights_of_artifact,
    },
    tiny::{TinyModel, write_tiny_gguf, write_uniform_artifact},
    weight_specs,
};
use half::f16;
use std::path::{Path, PathBuf};
use trimtab_kernels::{
    PackedFormat, PackedShape, pack_bf16, pack_f16, pack_f32, pack_int4, pack_int8,
};

fn gguf(checkpoint: &Checkpoint) -> &GgufFile {
    match checkpoint.files() {
        ModelFiles::Gguf(file) => file,
        ModelFiles::Folder(_) => panic!("the fixture is a file"),
    }
}

/// A tiny model file and what is needed to export it.
pub(super) struct Fixture {
    pub(super) folder: tempfile::TempDir,
    pub(super) checkpoint: Checkpoint,
    pub(super) tokenizer: TokenizerMetadata,
}

impl Fixture {
    pub(super) fn new(model: &TinyModel) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        write_tiny_gguf(&path, model).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let tokenizer = TokenizerMetadata::from_gguf(gguf(&checkpoint)).unwrap();
        Self {
            folder,
            checkpoint,
            tokenizer,
        }
    }

    pub(super) fn config(&self) -> &ModelConfig {
        self.checkpoint.config()
    }

    pub(super) fn out_path(&self) -> PathBuf {
        self.folder.path().join("out.gguf")
    }

    pub(super) fn export(&self, types: BlockTypes, transfer: Transfer) -> GgufExport<'_> {
        GgufExport {
            config: self.config(),
            tokenizer: &self.tokenizer,
            general: &[],
            types: types.into(),
            transfer,
        }
    }

    pub(super) fn floats(&self, spec: &WeightSpec) -> Result<ExportWeight<'static>, String> {
        let weight = self
            .checkpoint
            .read(spec)
            .map_err(|error| error.to_string())?;
        Ok(ExportWeight::Floats(weight.into()))
    }

    /// An artifact with every weight in `format`, codes arbitrary, zero points 8.
    fn artifact(&self, format: PackedFormat) -> Artifact {
        let path = self.folder.path().join("tiny.trimtab");
        write_uniform_artifact(&path, &self.checkpoint, format, &pack).unwrap()
    }
}

/// How well it fits does not matter here; every group has its own scale.
fn pack(shape: PackedShape, weight: &[f32]) -> Vec<u8> {
    let n_groups = shape.d_out * shape.n_groups();
    let scales: Vec<f16> = (0..n_groups)
        .map(|idx| f16::from_f32(0.01 + idx as f32 * 1e-4))
        .collect();
    match shape.format {
        PackedFormat::F32 => pack_f32(weight),
        PackedFormat::F16 => pack_f16(weight),
        PackedFormat::Bf16 => pack_bf16(weight),
        PackedFormat::Int8 { .. } => {
            let codes: Vec<i8> = weight.iter().map(|w| (w * 128.0) as i8).collect();
            pack_int8(shape, &codes, &scales)
        }
        PackedFormat::Int4 { .. } => {
            let codes = weight
                .iter()
                .map(|w| (w * 32.0 + 8.0).clamp(0.0, 15.0) as u8);
            pack_int4(
                shape,
                &codes.collect::<Vec<_>>(),
                &scales,
                &vec![8; n_groups],
            )
        }
    }
}

fn weights(read: &mut dyn FnMut(&WeightSpec) -> Vec<f32>, config: &ModelConfig) -> Vec<Vec<f32>> {
    weight_specs(config).iter().map(read).collect()
}

fn values(weight: &ExportWeight<'_>) -> Vec<f32> {
    match weight {
        ExportWeight::Floats(values) => values.to_vec(),
        ExportWeight::Packed(packed) => {
            let shape = packed.shape();
            let mut values = vec![0.0; shape.d_out * shape.d_in];
            for (row_idx, row) in values.chunks_exact_mut(shape.d_in).enumerate() {
                packed.dequantize_row_reference(row_idx, row);
            }
            values
        }
    }
}

#[track_caller]
fn check_exact(model: &TinyModel, format: PackedFormat, ggml_type: GgmlType) {
    let fixture = Fixture::new(model);
    let artifact = fixture.artifact(format);
    let export = fixture.export(BlockTypes::all(ggml_type), Transfer::Exact);
    let path = fixture.out_path();
    let report = export
        .write(&path, &mut weights_of_artifact(&artifact).unwrap())
        .unwrap();
    assert!(
        report
            .weights
            .iter()
            .all(|weight| weight.fidelity == Fidelity::Exact)
    );
    assert_eq!(report.n_bytes, std::fs::metadata(&path).unwrap().len());

    let again = Checkpoint::open(&path).unwrap();
    assert_eq!(again.config(), fixture.config());
    let mut read = weights_of_artifact(&artifact).unwrap();
    let want = weights(&mut |spec| values(&read(spec).unwrap()), fixture.config());
    let got = weights(&mut |spec| again.read(spec).unwrap(), fixture.config());
    assert_eq!(got, want, "{format:?} as {ggml_type}");
}

#[test]
fn packed_models_become_the_same_numbers() {
    let (group_size, int8_activations) = (64, false);
    let int8 = PackedFormat::Int8 {
        group_size,
        int8_activations,
    };
    let int4 = PackedFormat::Int4 {
        group_size,
        int8_activations,
    };
    for (format, ggml_type) in [
        (PackedFormat::F32, GgmlType::F32),
        (PackedFormat::F16, GgmlType::F16),
        (PackedFormat::F16, GgmlType::F32),
        (PackedFormat::Bf16, GgmlType::Bf16),
        (PackedFormat::Bf16, GgmlType::F32),
        (int8, GgmlType::Q8_0),
        (int8, GgmlType::F32),
        (int4, GgmlType::Q4_0),
        (int4, GgmlType::Q4_1),
        (int4, GgmlType::Q8_0),
    ] {
        check_exact(&TinyModel::default(), format, ggml_type);
    }
}

#[test]
fn architectures_with_biases_or_more_norms_and_a_head_of_its_own_is_exported() {
    for architecture in [Architecture::Qwen2, Architecture::Qwen3] {
        let model = TinyModel {
            architecture,
            has_tied_head: false,
            ..TinyModel::default()
        };
        check_exact(&model, PackedFormat::F16, GgmlType::F16);
    }
}

fn export_floats(fixture: &Fixture, types: BlockTypes) -> Result<ExportReport, GgufExportError> {
    let export = fixture.export(types, Transfer::Nearest);
    export.write(&fixture.out_path(), &mut |spec| fixture.floats(spec))
}

#[test]
fn what_is_rounded_or_quantised_is_reported() {
    let fixture = Fixture::new(&TinyModel::default());
    for (ggml_type, fidelity) in [
        (GgmlType::F16, Fidelity::Rounded),
        (GgmlType::Bf16, Fidelity::Rounded),
        (GgmlType::Q4_1, Fidelity::Requantised),
    ] {
        let report = export_floats(&fixture, BlockTypes::all(ggml_type)).unwrap();
        for weight in report.weights {
            let expected = match weight.name.contains("norm") {
                true => (GgmlType::F32, Fidelity::Exact),
                false => (ggml_type, fidelity),
            };
            assert_eq!(
                (weight.ggml_type, weight.fidelity),
                expected,
                "{}",
                weight.name
            );
        }
    }
}

#[test]
fn minima_are_rounded_where_the_nearest_will_do() {
    let fixture = Fixture::new(&TinyModel::default());
    let format = PackedFormat::Int4 {
        group_size: 64,
        int8_activations: false,
    };
    let (name, shape) = ("model.layers.0.mlp.up_proj", (160, 96));
    let shape = PackedShape {
        d_out: shape.0,
        d_in: shape.1,
        format,
    };
    let n_groups = shape.d_out * shape.n_groups();
    let scales = vec![f16::from_f32(0.1); n_groups];
    let bytes = pack_int4(shape, &vec![3; 160 * 96], &scales, &vec![5; n_groups]);
    let mut read = |spec: &WeightSpec| {
        if spec.name != name {
            return fixture.floats(spec);
        }
        Ok(ExportWeight::Packed(
            trimtab_kernels::PackedView::new(shape, &bytes).unwrap(),
        ))
    };
    let export = fixture.export(BlockTypes::all(GgmlType::Q4_1), Transfer::Nearest);
    let report = export.write(&fixture.out_path(), &mut read).unwrap();
    let weight = report
        .weights
        .iter()
        .find(|weight| weight.name == name)
        .unwrap();
    assert_eq!(weight.fidelity, Fidelity::Rounded);

    let types = BlockTypes {
        linear: GgmlType::Q4_0,
        ..BlockTypes::all(GgmlType::F32)
    };
    let export = fixture.export(types, Transfer::Nearest);
    let report = export.write(&fixture.out_path(), &mut read).unwrap();
    let weight = report
        .weights
        .iter()
        .find(|weight| weight.name == name)
        .unwrap();
    assert_eq!(weight.fidelity, Fidelity::Exact, "−2 steps are within Q4_0");
}

#[test]
fn rows_that_do_not_divide_get_the_type_named_for_them() {
    let fixture = Fixture::new(&TinyModel::default());
    let types = BlockTypes {
        uneven: Some(GgmlType::Q8_0),
        ..BlockTypes::all(GgmlType::Q4K)
    };
    let report = export_floats(&fixture, types).unwrap();
    let stored = report
        .weights
        .iter()
        .filter(|weight| !weight.name.contains("norm"));
    assert!(
        stored
            .map(|weight| weight.ggml_type)
            .all(|ty| ty == GgmlType::Q8_0)
    );
}

#[test]
fn tokenizer_and_name_go_with_the_model() {
    let fixture = Fixture::new(&TinyModel::default());
    let general = general_metadata(gguf(&fixture.checkpoint));
    assert_eq!(general.len(), 1, "the name only: {general:?}");
    let mut export = fixture.export(BlockTypes::all(GgmlType::F16), Transfer::Nearest);
    export.general = &general;
    let path = fixture.out_path();
    export
        .write(&path, &mut |spec| fixture.floats(spec))
        .unwrap();
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(file.get_str("general.name").unwrap(), "tiny");
    assert_eq!(file.get_u32("general.file_type").unwrap(), 1);
    assert_eq!(
        TokenizerMetadata::from_gguf(&file).unwrap(),
        fixture.tokenizer
    );
    let ids = |file| {
        let tokenizer = TextTokenizer::from_gguf(file).unwrap();
        tokenizer
            .encode("héllo <|im_end|>", SpecialTokens::Parse)
            .unwrap()
    };
    assert_eq!(ids(&file), ids(gguf(&fixture.checkpoint)));
    assert_no_leftovers(fixture.folder.path());
}

#[track_caller]
pub(super) fn assert_no_leftovers(folder: &Path) {
    let names = std::fs::read_dir(folder).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let is_partial = |name: &std::ffi::OsString| name.to_string_lossy().contains("partial");
    assert!(!names.iter().any(is_partial), "{names:?}");
}
