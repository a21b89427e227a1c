//! Models and variants: importing, verifying, removing and making them.

use crate::support::{MODEL, TestService, failure, gguf, spec, variant};
use std::path::{Path, PathBuf};
use trimtab_domain::{JobEvent, KvCacheFormat, ModelName, Recipe, VariantName};
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};
use trimtab_service::CapacityRequest;

fn model(name: &str) -> ModelName {
    name.parse().unwrap()
}

/// A model file with arbitrary weights.
fn tiny(test: &TestService, name: &str, seed: u64) -> PathBuf {
    let path = test.folder().join(name);
    write_tiny_gguf(
        &path,
        &TinyModel {
            seed,
            ..TinyModel::default()
        },
    )
    .unwrap();
    path
}

fn file(test: &TestService, name: &str, contents: &[u8]) -> PathBuf {
    let path = test.folder().join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

#[tokio::test]
async fn an_imported_model_is_listed_verified_and_removed() {
    let test = TestService::new().await;
    let path = tiny(&test, "Tiny-Coder.gguf", 1);
    let view = test.service.import_model(&path, None).await.unwrap();
    assert_eq!((view.name.as_str(), view.is_fetched), ("tiny-coder", true));
    assert_eq!(view.architecture.as_deref(), Some("llama"));
    assert!(path.exists(), "an import copies");
    let name = model("tiny-coder");
    test.service.verify_model(&name).await.unwrap();
    let stored = test.service.model_file(&name).await.unwrap();
    let mut damaged = std::fs::read(&stored).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&stored, damaged).unwrap();
    let damaged = failure(test.service.verify_model(&name).await);
    assert!(damaged.message.contains("is damaged"), "{damaged}");
    test.service.remove_model(&name).await.unwrap();
    assert!(!stored.exists());
    let gone = failure(test.service.verify_model(&name).await);
    assert_eq!(gone.message, "there is no model `tiny-coder`");
}

#[tokio::test]
async fn an_import_that_is_not_what_its_name_says_is_refused() {
    let test = TestService::new().await;
    let wrong = tiny(&test, "SmolLM2-135M-Instruct.Q4_1.gguf", 1);
    let refused = failure(test.service.import_model(&wrong, None).await);
    assert!(
        refused
            .message
            .contains("but `smollm2-135m-instruct` has b179c9523d0e…"),
        "{refused}"
    );
    let refused = failure(test.service.import_model(&wrong, Some(model(MODEL))).await);
    assert_eq!(refused.exit_code(), 2);
    test.service
        .import_model(&wrong, Some(model("mine")))
        .await
        .unwrap();
    let strange = file(&test, "strange.gguf", &gguf("mamba"));
    let refused = failure(test.service.import_model(&strange, None).await);
    assert!(refused.message.contains("cannot import"), "{refused}");
    let text = file(&test, "notes.gguf", b"hello world, this is no model");
    let refused = failure(test.service.import_model(&text, None).await);
    assert!(refused.message.contains("notes.gguf"), "{refused}");
    let absent = failure(
        test.service
            .import_model(&test.folder().join("absent"), None)
            .await,
    );
    assert!(absent.message.contains("cannot read"), "{absent}");
    let other = tiny(&test, "other.gguf", 2);
    let taken = failure(test.service.import_model(&other, Some(model("mine"))).await);
    assert_eq!(taken.message, "there is another model `mine`");
}

#[tokio::test]
async fn a_preset_variant_is_made_once_and_found_by_its_digest() {
    let test = TestService::new().await;
    let mut layers = 0;
    let listener = |event: &JobEvent| {
        layers += u32::from(matches!(event, JobEvent::LayerCompressed { .. }));
    };
    let made = test
        .service
        .ensure_variant(&variant("int8"), listener)
        .await
        .unwrap();
    assert_eq!((made.scheme.as_str(), layers), ("W8A16", 1));
    assert_eq!(test.calls(), ["fetch 0", "compress 0"]);
    let again = test
        .service
        .ensure_variant(&variant("int8"), |_| ())
        .await
        .unwrap();
    assert_eq!(again, made);
    let prefix: VariantName = made.digest.short().parse().unwrap();
    assert_eq!(
        test.service.ensure_variant(&prefix, |_| ()).await.unwrap(),
        made
    );
    assert_eq!(test.calls().len(), 2);
    let unknown = failure(
        test.service
            .ensure_variant(&"mine".parse().unwrap(), |_| ())
            .await,
    );
    assert_eq!(unknown.message, "there is no variant `mine`");
}

#[tokio::test]
async fn a_recipe_of_ones_own_makes_a_variant_with_its_layer_report() {
    let test = TestService::new().await;
    let recipe = Recipe {
        name: "my-int8".into(),
        ..Recipe::preset("int8").unwrap()
    };
    let name = model(MODEL);
    let (view, layers) = test
        .service
        .compress(&name, recipe.clone(), None, |_| ())
        .await
        .unwrap();
    assert_eq!(view.name.as_str(), format!("{MODEL}:my-int8"));
    assert_eq!(layers.len(), 1);
    let (again, _) = test
        .service
        .compress(&name, recipe, None, |_| ())
        .await
        .unwrap();
    assert_eq!(again, view);
    let other = Recipe {
        name: "my-int8".into(),
        ..Recipe::preset("int4").unwrap()
    };
    let clash = failure(test.service.compress(&name, other, None, |_| ()).await);
    assert!(clash.message.contains("made by another recipe"), "{clash}");
    let mut bad = Recipe::preset("int8").unwrap();
    bad.steps.clear();
    let refused = failure(test.service.compress(&name, bad, None, |_| ()).await);
    assert_eq!(refused.exit_code(), 2);
}

#[tokio::test]
async fn a_failed_worker_of_a_command_fails_the_command() {
    let test = TestService::new().await;
    test.workers("kill compress");
    let failed = failure(test.service.ensure_variant(&variant("int8"), |_| ()).await);
    assert!(failed.message.contains("signal 9 (SIGKILL)"), "{failed}");
    assert_eq!(
        (failed.exit_code(), failed.hint.as_deref()),
        (1, Some("run the command again"))
    );
    let left = std::fs::read_dir(test.folder().join("tmp"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "what the worker left behind is removed");
    test.workers("well");
    test.service
        .ensure_variant(&variant("int8"), |_| ())
        .await
        .unwrap();
}

#[tokio::test]
async fn removing_a_model_frees_its_artifacts_but_not_its_results() {
    let test = TestService::new().await;
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let busy = failure(test.service.remove_model(&model(MODEL)).await);
    assert_eq!(
        busy.message,
        "model `smollm2-135m-instruct` is not on this machine"
    );
    test.drive(run_id).await;
    let waiting = test.service.start_run(spec(&["f16"])).await.unwrap();
    let busy = failure(test.service.remove_model(&model(MODEL)).await);
    assert!(busy.message.contains("an unfinished job needs"), "{busy}");
    test.service.cancel_run(waiting).await.unwrap();
    test.service.remove_model(&model(MODEL)).await.unwrap();
    for folder in ["models", "artifacts"] {
        assert_eq!(
            std::fs::read_dir(test.folder().join(folder))
                .unwrap()
                .count(),
            0,
            "{folder}"
        );
    }
    let detail = test.service.run(run_id).await.unwrap();
    assert_eq!(detail.results[0].size.unwrap().0, 400);
    let anew = test.service.start_run(spec(&["f16"])).await.unwrap();
    let (detail, _) = test.drive(anew).await;
    assert_eq!(detail.jobs.len(), 3, "fetched and made again");
}

/// An adapter of rank 1 for the query layers of the tiny model, as PEFT writes it.
fn write_adapter(folder: &Path, d_in: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let settings = serde_json::json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 1, "lora_alpha": 2,
        "target_modules": ["q_proj"], "bias": "none",
    });
    std::fs::write(folder.join("adapter_config.json"), settings.to_string()).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for layer in 0..2 {
        for (factor, shape) in [("lora_A", [1, d_in]), ("lora_B", [96, 1])] {
            let start = data.len();
            data.extend(vec![0.5_f32.to_le_bytes(); shape[0] * shape[1]].concat());
            let name =
                format!("base_model.model.model.layers.{layer}.self_attn.q_proj.{factor}.weight");
            let entry = serde_json::json!({
                "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()],
            });
            header.insert(name, entry);
        }
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.into_bytes());
    file.extend(data);
    std::fs::write(folder.join("adapter_model.safetensors"), file).unwrap();
}

#[tokio::test]
async fn an_adapter_is_copied_only_if_it_can_be_merged() {
    let test = TestService::new().await;
    let path = tiny(&test, "tiny.gguf", 1);
    test.service.import_model(&path, None).await.unwrap();
    let n_stored = || {
        let stored = std::fs::read_dir(test.folder().join("models"));
        stored.unwrap().count()
    };
    let merging = async |folder: &str, preset: &str| {
        let (name, recipe) = (model("tiny"), Recipe::preset(preset).unwrap());
        let folder = test.folder().join(folder);
        test.service.merging(&name, recipe, &folder, |_| ()).await
    };
    write_adapter(&test.folder().join("other"), 64);
    write_adapter(&test.folder().join("fits"), 96);
    for (folder, preset, message) in [
        ("none", "int8", "there is no"),
        ("other", "int8", "has shape [1, 64], not [1, 96]"),
        ("fits", "keep", "after an adapter was merged"),
    ] {
        let refused = failure(merging(folder, preset).await);
        assert!(refused.message.contains(message), "{refused}");
        assert_eq!((refused.exit_code(), n_stored()), (2, 1), "{folder}");
    }
    let recipe = merging("fits", "int8").await.unwrap();
    let digest = recipe.adapter().unwrap();
    assert_eq!(recipe.name, format!("int8-{}", digest.short()));
    assert_eq!(n_stored(), 2);
    let left = std::fs::read_dir(test.folder().join("tmp"));
    assert_eq!(left.unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn the_doctor_reports_on_everything_it_knows() {
    let test = TestService::new().await;
    let names: Vec<String> = test
        .service
        .doctor()
        .await
        .into_iter()
        .map(|check| check.name)
        .collect();
    let (metrics, others): (Vec<&str>, Vec<&str>) = names
        .iter()
        .map(String::as_str)
        .partition(|name| name.starts_with("metric "));
    assert_eq!(
        others,
        [
            "processor",
            "memory",
            "data folder",
            "models",
            "graphics cards",
            "sandbox",
            "grading Java",
            "grading C#",
            "grading JavaScript",
            "grading Rust",
            "downloads"
        ]
    );
    assert_eq!(metrics.len(), 15, "{metrics:?}");
}

#[tokio::test]
async fn what_a_model_needs_is_read_from_its_file_by_name_or_path() {
    let test = TestService::new().await;
    let path = tiny(&test, "tiny.gguf", 1);
    let by_path = test.service.capacity(CapacityRequest {
        model: path.display().to_string(),
        n_tokens: Some(100),
        kv_format: KvCacheFormat::F16,
    });
    let by_path = by_path.await.unwrap();
    test.service.import_model(&path, None).await.unwrap();
    let by_name = test.service.capacity(CapacityRequest {
        model: "tiny".to_owned(),
        n_tokens: Some(100),
        kv_format: KvCacheFormat::F16,
    });
    let by_name = by_name.await.unwrap();
    assert_eq!(by_name.presets.len(), Recipe::presets().len());
    for (ours, theirs) in by_name.presets.iter().zip(&by_path.presets) {
        assert_eq!(ours.need, theirs.need);
        assert_eq!(ours.fits.len(), by_name.places.len());
    }
    // 2 blocks, 2 key-value heads of 16 channels: keys and values of 100 tokens in 2 bytes each.
    let need = &by_name.presets[0].need;
    assert_eq!(need.kv_cache.0, 2 * 2 * 2 * 16 * 100 * 2);
    assert_eq!(need.weights.0, 4 * by_name.n_parameters);
    let listed = test.service.capacities().await.unwrap();
    let names: Vec<&str> = listed.iter().map(|view| &*view.model).collect();
    assert_eq!(
        names,
        [
            "qwen2.5-coder-0.5b-instruct",
            "smollm2-135m-instruct",
            "tiny"
        ]
    );
}

#[tokio::test]
async fn what_is_no_model_has_no_need() {
    let test = TestService::new().await;
    let ask = |model: String| {
        let request = CapacityRequest {
            model,
            ..CapacityRequest::default()
        };
        test.service.capacity(request)
    };
    let unknown = failure(ask("none".to_owned()).await);
    assert_eq!(unknown.message, "there is no model `none`");
    let broken = file(&test, "broken.gguf", b"not a model");
    let refused = failure(ask(broken.display().to_string()).await);
    assert_eq!(
        refused.kind,
        trimtab_domain::FailureKind::BadInput,
        "{refused}"
    );
    let folder = failure(ask(test.folder().display().to_string()).await);
    assert_eq!(
        folder.kind,
        trimtab_domain::FailureKind::BadInput,
        "{folder}"
    );
}
