//! One test for each way an export can be refused; none of them leaves a file.

use super::model::{Fixture, assert_no_leftovers};
use crate::{
    Architecture, ModelConfig, WeightSpec,
    config::SlidingWindow,
    gguf::{GgmlType, GgufWriter},
    gguf_export::{
        BlockTypes, ExportWeight, GgufExport, GgufExportError, TokenizerMetadata,
        TokenizerMetadataError, Transfer,
    },
    rope::{RopeScaling, Yarn},
    tiny::TinyModel,
};

fn refusal(
    fixture: &Fixture,
    export: &GgufExport<'_>,
    change: impl Fn(&WeightSpec, Vec<f32>) -> Result<Vec<f32>, String>,
) -> GgufExportError {
    let path = fixture.out_path();
    let error = export
        .write(&path, &mut |spec| {
            let weight = fixture.checkpoint.read(spec).unwrap();
            Ok(ExportWeight::Floats(change(spec, weight)?.into()))
        })
        .unwrap_err();
    assert!(!path.exists());
    assert_no_leftovers(fixture.folder.path());
    error
}

#[expect(clippy::unnecessary_wraps, reason = "a change of weights may fail")]
fn unchanged(_: &WeightSpec, weight: Vec<f32>) -> Result<Vec<f32>, String> {
    Ok(weight)
}

#[test]
fn rows_that_do_not_divide_into_blocks() {
    let fixture = Fixture::new(&TinyModel::default());
    let export = fixture.export(BlockTypes::all(GgmlType::Q4K), Transfer::Nearest);
    let error = refusal(&fixture, &export, unchanged);
    assert!(
        matches!(error, GgufExportError::UnevenBlocks { d_in: 96, .. }),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[test]
fn types_without_an_encoder() {
    let fixture = Fixture::new(&TinyModel::default());
    for ggml_type in [GgmlType::Q6K, GgmlType::Q5_0, GgmlType::Other(99)] {
        let export = fixture.export(BlockTypes::all(ggml_type), Transfer::Nearest);
        let error = refusal(&fixture, &export, unchanged);
        assert!(matches!(error, GgufExportError::UnsupportedType(ty) if ty == ggml_type));
    }
}

#[test]
fn a_tokenizer_of_another_size() {
    let fixture = Fixture::new(&TinyModel::default());
    let mut config = fixture.config().clone();
    config.vocab_size += 1;
    let mut export = fixture.export(BlockTypes::all(GgmlType::F32), Transfer::Exact);
    export.config = &config;
    let error = refusal(&fixture, &export, unchanged);
    assert!(matches!(
        error,
        GgufExportError::Vocabulary {
            n_tokens: 259,
            n_rows: 260
        }
    ));
}

#[test]
fn architectures_and_features_that_readers_would_not_see() {
    let fixture = Fixture::new(&TinyModel::default());
    let with = |change: fn(&mut ModelConfig)| {
        let mut config = fixture.config().clone();
        change(&mut config);
        let mut export = fixture.export(BlockTypes::all(GgmlType::F32), Transfer::Exact);
        export.config = &config;
        refusal(&fixture, &export, unchanged)
    };
    let error = with(|config| config.architecture = Architecture::DeepseekV2);
    assert!(
        matches!(error, GgufExportError::Architecture("deepseek_v2")),
        "{error}"
    );
    let feature = |change: fn(&mut ModelConfig)| {
        let error = with(change);
        assert!(matches!(error, GgufExportError::Feature { .. }), "{error}");
        assert!(error.hint().is_some());
    };
    feature(|config| {
        config.window = Some(SlidingWindow {
            n_tokens: 16,
            layers: vec![0],
        });
    });
    feature(|config| {
        config.architecture = Architecture::Qwen2;
        config.rope_scaling = RopeScaling::Factors { factors: vec![1.0] };
    });
    feature(|config| {
        config.rope_scaling = RopeScaling::Yarn(Yarn {
            factor: 4.0,
            beta_fast: 16.0,
            beta_slow: 1.0,
            original_max_len: 16,
            attention_factor: 1.0,
            mscale_all_dim: 0.0,
            rounds_ramp: true,
        });
    });
}

#[test]
fn a_key_given_twice() {
    let fixture = Fixture::new(&TinyModel::default());
    let general = [("general.architecture".to_owned(), "gpt2".into())];
    let mut export = fixture.export(BlockTypes::all(GgmlType::F32), Transfer::Exact);
    export.general = &general;
    let error = refusal(&fixture, &export, unchanged);
    assert_eq!(
        error.to_string(),
        "metadata key `general.architecture` is given twice"
    );
}

#[test]
fn a_weight_that_cannot_be_had() {
    let fixture = Fixture::new(&TinyModel::default());
    let export = fixture.export(BlockTypes::all(GgmlType::F32), Transfer::Exact);
    let error = refusal(&fixture, &export, |spec, weight| match spec.name.as_str() {
        "model.norm" => Err("it is gone".to_owned()),
        _ => Ok(weight),
    });
    assert_eq!(error.to_string(), "weight `model.norm`: it is gone");
}

#[test]
fn a_weight_of_another_shape() {
    let fixture = Fixture::new(&TinyModel::default());
    let export = fixture.export(BlockTypes::all(GgmlType::F32), Transfer::Exact);
    let error = refusal(&fixture, &export, |_, weight| Ok(weight[1..].to_vec()));
    assert!(
        matches!(
            error,
            GgufExportError::Shape {
                d_out: 259,
                d_in: 96,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn weights_that_are_no_numbers_or_too_large() {
    let fixture = Fixture::new(&TinyModel::default());
    let export = fixture.export(BlockTypes::all(GgmlType::F16), Transfer::Nearest);
    let with = |value: f32| {
        refusal(&fixture, &export, |_, mut weight| {
            weight[97] = value;
            Ok(weight)
        })
    };
    let error = with(f32::NAN);
    assert!(
        matches!(error, GgufExportError::NotFinite { row: 1, .. }),
        "{error}"
    );
    let error = with(70_000.0);
    assert!(
        matches!(
            error,
            GgufExportError::TooLarge {
                value: 70_000.0,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[test]
fn weights_that_would_change_where_they_must_not() {
    let fixture = Fixture::new(&TinyModel::default());
    for ggml_type in [
        GgmlType::F16,
        GgmlType::Bf16,
        GgmlType::Q8_0,
        GgmlType::Q4_1,
    ] {
        let export = fixture.export(BlockTypes::all(ggml_type), Transfer::Exact);
        let error = refusal(&fixture, &export, unchanged);
        assert!(matches!(error, GgufExportError::Inexact { .. }), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_folder_that_is_not_there() {
    let fixture = Fixture::new(&TinyModel::default());
    let export = fixture.export(BlockTypes::all(GgmlType::F32), Transfer::Exact);
    let path = fixture.folder.path().join("none/out.gguf");
    let error = export
        .write(&path, &mut |spec| fixture.floats(spec))
        .unwrap_err();
    assert!(matches!(error, GgufExportError::Io { .. }));
}

#[test]
fn a_file_without_a_tokenizer() {
    let file = crate::gguf::GgufFile::parse(&GgufWriter::new().to_bytes()).unwrap();
    let error = TokenizerMetadata::from_gguf(&file).unwrap_err();
    assert!(matches!(error, TokenizerMetadataError::Gguf(_)));
}
