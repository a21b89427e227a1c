//! Training of an adapter, done by a worker in this process.

use crate::worker::{self, WorkerInput};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};
use trimtab_compress::compress;
use trimtab_domain::{
    AdapterReport, DeviceName, Failure, JobEvent, JobId, JobSpec, LoraOptions, LoraSpec, Recipe,
};
use trimtab_models::{
    Checkpoint,
    peft::{PeftAdapter, adaptable_linears},
    tiny::{TinyModel, write_tiny_gguf},
};

const DATA: &str =
    "{\"prompt\":\"ab\",\"completion\":\"cd\"}\n{\"prompt\":\"x\",\"completion\":\"yzyz\"}\n";

fn options() -> LoraOptions {
    LoraOptions {
        rank: 2,
        steps: 20,
        warm_up: 2,
        learning_rate: 1e-2,
        ..LoraOptions::default()
    }
}

/// A data folder with a tiny model, a variant of 8 bits and some data.
fn input(folder: &Path, data: &str, options: LoraOptions) -> WorkerInput {
    let paths = crate::DataPaths::new(folder);
    paths.create().unwrap();
    let adopt = |name: &str, write: &dyn Fn(&Path)| {
        let file = folder.join(name);
        write(&file);
        file
    };
    let file = adopt("tiny.gguf", &|path| {
        write_tiny_gguf(path, &TinyModel::default()).unwrap();
    });
    let (model, _) = paths.models().unwrap().adopt(&file).unwrap();
    let file = adopt("int8", &|path| {
        let model = paths.models().unwrap().path(&model);
        let recipe = Recipe::preset("int8").unwrap();
        compress(&model, None, &recipe, path, &mut |_, _, _| {}).unwrap();
    });
    let (artifact, _) = paths.artifacts().unwrap().adopt(&file).unwrap();
    let file = adopt("data", &|path| std::fs::write(path, data).unwrap());
    let (data, _) = paths.texts().unwrap().adopt(&file).unwrap();
    WorkerInput {
        job_id: JobId(1),
        spec: JobSpec::TrainLora {
            base: "tiny:int8".parse().unwrap(),
            lora: Box::new(LoraSpec {
                data_name: "pairs.jsonl".to_owned(),
                data,
                options,
            }),
        },
        paths,
        device: DeviceName::Cpu,
        model: Some(model),
        artifact: Some(artifact),
        done: Vec::new(),
        references: Vec::new(),
        has_perplexity: false,
        has_performance: false,
    }
}

fn run(
    input: &WorkerInput,
    on_event: impl Fn(&JobEvent) + Send + Sync,
) -> Result<(AdapterReport, Vec<JobEvent>), Failure> {
    let mut events = Vec::new();
    worker::run(input.clone(), &mut |event| {
        on_event(&event);
        events.push(event);
    })?;
    let report = events.iter().find_map(|event| match event {
        JobEvent::AdapterTrained { report } => Some((**report).clone()),
        _ => None,
    });
    Ok((report.unwrap(), events))
}

#[test]
fn an_adapter_is_trained_once_and_told_with_the_size_of_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let input = input(folder.path(), DATA, options());
    let (report, events) = run(&input, |_| ()).unwrap();
    assert!(report.loss_after < 0.9 * report.loss_before, "{report:?}");
    assert_eq!((report.n_examples, report.n_compared), (2, 2));
    assert!(report.deployed_size().0 > report.base_size.0, "{report:?}");
    let is_bar = |event: &&JobEvent| matches!(event, JobEvent::Progress { .. });
    assert_eq!(events.iter().filter(is_bar).count(), 20);
    let models = input.paths.models().unwrap();
    let model = models.path(input.model.as_ref().unwrap());
    let linears = adaptable_linears(Checkpoint::open(&model).unwrap().config());
    let adapter = PeftAdapter::open(&models.path(&report.digest), &linears).unwrap();
    assert_eq!(adapter.layers().count(), 2 * 2);
    let again = run(&input, |event| {
        assert!(!matches!(event, JobEvent::Progress { .. }), "{event:?}");
    });
    assert_eq!(again.unwrap().0, report);
}

#[test]
fn a_killed_training_goes_on_and_makes_the_same_adapter() {
    let whole = tempfile::tempdir().unwrap();
    let (whole, _) = run(&input(whole.path(), DATA, options()), |_| ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let input = input(folder.path(), DATA, options());
    let killed = catch_unwind(AssertUnwindSafe(|| {
        run(&input, |event| {
            let is_late = matches!(event, JobEvent::Progress { n_done: 13, .. });
            assert!(!is_late, "killed");
        })
    }));
    assert!(killed.is_err());
    let (report, events) = run(&input, |_| ()).unwrap();
    assert_eq!(report, whole);
    let is_bar = |event: &&JobEvent| matches!(event, JobEvent::Progress { .. });
    assert_eq!(events.iter().filter(is_bar).count(), 8, "12 were kept");
}

#[test]
fn what_cannot_be_learned_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let refusal =
        |data: &str, options| run(&input(folder.path(), data, options), |_| ()).unwrap_err();
    let target = refusal(
        DATA,
        LoraOptions {
            targets: vec!["wq".to_owned()],
            ..options()
        },
    );
    let message = &target.message;
    assert!(
        message.contains("`wq` matches nothing") && message.contains("`q_proj`"),
        "{message}"
    );
    assert_eq!(
        target.hint.as_deref(),
        Some("name layers by the ends of their names")
    );
    let line = refusal("{\"prompt\":\"a\"}\n", options());
    assert!(
        line.message
            .starts_with("`pairs.jsonl`: line 1: missing field `completion`"),
        "{line:?}"
    );
    assert_eq!(
        refusal("\n", options()).message,
        "no example has a token to learn"
    );
}
