//! Recipes whose steps make models for each other, done by a worker in this process.

use super::*;
use crate::worker;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};
use trimtab_compress::{bundled_text, bundled_text_names, find_overlap};
use trimtab_domain::{JobId, JobSpec};
use trimtab_models::{
    Artifact,
    tiny::{TinyModel, write_tiny_gguf},
};

#[test]
fn the_bundled_calibration_texts_share_nothing_with_what_models_are_tested_on() {
    let folder = tempfile::tempdir().unwrap();
    let passages = tested_passages(&DataPaths::new(folder.path())).unwrap();
    assert!(passages.len() > 60);
    for name in bundled_text_names() {
        let overlap = find_overlap(bundled_text(name).unwrap(), &passages);
        assert_eq!(overlap, None, "{name}");
    }
}

/// A data folder with a tiny model.
fn input(folder: &Path, steps: &str) -> WorkerInput {
    let paths = DataPaths::new(folder);
    paths.create().unwrap();
    let file = folder.join("tiny.gguf");
    write_tiny_gguf(&file, &TinyModel::default()).unwrap();
    let (model, _) = paths.models().unwrap().adopt(&file).unwrap();
    WorkerInput {
        job_id: JobId(1),
        spec: JobSpec::Compress {
            model: "tiny".parse().unwrap(),
            recipe: Recipe {
                name: "x".into(),
                steps: serde_json::from_str(steps).unwrap(),
            },
            variant: "tiny:x".parse().unwrap(),
        },
        paths,
        device: DeviceName::Cpu,
        model: Some(model),
        artifact: None,
        done: Vec::new(),
        references: Vec::new(),
        has_perplexity: false,
        has_performance: false,
    }
}

const SHRINK: &str =
    r#"{"method":"shrink","layers":1,"calibration":{"sequences":2,"sequence_length":16}}"#;
const GPTQ: &str = r#"{"method":"gptq","bits":4,"group_size":64,"symmetric":false,
    "embedding_bits":16,"activations":"float","calibration":{"sequences":2,"sequence_length":16}}"#;

/// Does the job; all events, or the panic of `on_event`.
fn run(
    input: &WorkerInput,
    on_event: impl Fn(&JobEvent) + Send + Sync,
) -> Result<Vec<JobEvent>, Failure> {
    let mut events = Vec::new();
    worker::run(input.clone(), &mut |event| {
        on_event(&event);
        events.push(event);
    })?;
    Ok(events)
}

fn made(events: &[JobEvent]) -> (Digest, Vec<String>) {
    let digest = events.iter().find_map(|event| match event {
        JobEvent::VariantMade { digest, .. } => Some(digest.clone()),
        _ => None,
    });
    let stages = events.iter().filter_map(|event| match event {
        JobEvent::StageFinished { report } => Some(report.summary.clone()),
        _ => None,
    });
    (digest.unwrap(), stages.collect())
}

/// Folders of unfinished work.
fn unfinished(input: &WorkerInput) -> Vec<String> {
    let entries = std::fs::read_dir(input.paths.tmp()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_chain_is_made_once_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let int8 = r#"{"method":"rtn","bits":8,"group_size":64,"symmetric":true,"embedding_bits":8,
        "activations":"float"}"#;
    let input = input(folder.path(), &format!("[{SHRINK},{int8}]"));
    let events = run(&input, |_| ()).unwrap();
    let (digest, stages) = made(&events);
    assert_eq!(stages.len(), 1);
    assert!(stages[0].starts_with("1 of 2 layers left"), "{stages:?}");
    let progress: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            JobEvent::Progress { stage, .. } => Some(stage.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(progress[0], "Making tiny:x: shrink (1 of 2)");
    assert_eq!(progress[progress.len() - 1], "Making tiny:x: rtn (2 of 2)");
    assert_eq!(unfinished(&input), [""; 0]);
    let artifact = input.paths.artifacts().unwrap().path(&digest);
    let artifact = Artifact::open(&artifact).unwrap();
    let JobSpec::Compress { recipe, .. } = &input.spec else {
        panic!("a compression");
    };
    assert_eq!(&artifact.header().recipe, recipe);
    assert_eq!(artifact.header().config.n_layers, 1);
    let again = run(&input, |event| {
        assert!(!matches!(event, JobEvent::Progress { .. }), "{event:?}");
    });
    assert_eq!(made(&again.unwrap()), (digest, stages));
}

#[test]
fn a_killed_chain_goes_on_with_the_step_that_was_not_finished() {
    let steps = format!("[{SHRINK},{GPTQ}]");
    let whole = tempfile::tempdir().unwrap();
    let want = made(&run(&input(whole.path(), &steps), |_| ()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let input = input(folder.path(), &steps);
    let killed = catch_unwind(AssertUnwindSafe(|| {
        run(&input, |event| {
            assert!(!matches!(event, JobEvent::LayerCompressed { .. }), "killed");
        })
    }));
    assert!(killed.is_err());
    let left = unfinished(&input);
    let is_stage = |name: &String| name.starts_with("stage-");
    assert_eq!(
        left.iter().filter(|name| is_stage(name)).count(),
        1,
        "{left:?}"
    );
    let events = run(&input, |event| {
        if let JobEvent::Progress { stage, .. } = event {
            assert!(!stage.contains("shrink"), "{stage}");
        }
    });
    assert_eq!(made(&events.unwrap()), want);
    assert!(!unfinished(&input).iter().any(is_stage));
}

#[test]
fn what_cannot_be_shrunk_is_refused_before_a_text_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let steps = r#"[{"method":"shrink","layers":2},{"method":"cast","to":"f16"}]"#;
    let input = input(folder.path(), steps);
    let refused = run(&input, |event| panic!("{event:?}")).unwrap_err();
    assert_eq!(
        refused.message,
        "`layers` = 2 would remove all 2 layers; ask for fewer"
    );
    assert_eq!(refused.exit_code(), 2);
    assert_eq!(unfinished(&input), [""; 0]);
}

const DISTIL: &str = r#"{"method":"distil","steps":30,"batch":2,"learning_rate":0.002,"held_out":4,
    "calibration":{"sequences":16,"sequence_length":16}}"#;
const F16: &str = r#"{"method":"cast","to":"f16"}"#;

fn agreements(events: &[JobEvent]) -> Vec<trimtab_domain::AgreementReport> {
    let reports = events.iter().filter_map(|event| match event {
        JobEvent::StageFinished { report } => report.agreement.as_deref().cloned(),
        _ => None,
    });
    reports.collect()
}

#[test]
fn what_was_shrunk_learns_from_what_it_was_and_tells_how_far() {
    let folder = tempfile::tempdir().unwrap();
    let input = input(folder.path(), &format!("[{SHRINK},{DISTIL},{F16}]"));
    let events = run(&input, |_| ()).unwrap();
    let (digest, stages) = made(&events);
    assert!(
        stages[1].starts_with("30 steps of 2 × 16 tokens; on 60 tokens"),
        "{stages:?}"
    );
    let [agreement] = &agreements(&events)[..] else {
        panic!("one step learns");
    };
    assert_eq!(agreement.teacher, "tiny");
    let (before, after) = (&agreement.before, &agreement.after);
    assert!(after.kl.value < before.kl.value, "{agreement:?}");
    assert_eq!(before.teacher_perplexity, after.teacher_perplexity);
    let lines: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            JobEvent::Log { message, .. } => Some(message.as_str()),
            _ => None,
        })
        .collect();
    let is_step = |line: &&&str| line.starts_with("step ");
    assert_eq!(lines.iter().filter(is_step).count(), 30, "{lines:?}");
    let is_left = |line: &&&str| line.contains(" left");
    assert_eq!(lines.iter().filter(is_left).count(), 29, "{lines:?}");
    let artifact = input.paths.artifacts().unwrap().path(&digest);
    assert_eq!(
        Artifact::open(&artifact).unwrap().header().config.n_layers,
        1
    );
    assert_eq!(unfinished(&input), [""; 0]);
    let again = run(&input, |event| {
        assert!(!matches!(event, JobEvent::Progress { .. }), "{event:?}");
    });
    assert_eq!(made(&again.unwrap()), (digest, stages));
}

#[test]
fn a_killed_student_goes_on_and_becomes_the_same() {
    let steps = format!("[{SHRINK},{DISTIL},{F16}]");
    let whole = tempfile::tempdir().unwrap();
    let whole = run(&input(whole.path(), &steps), |_| ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let input = input(folder.path(), &steps);
    let killed = catch_unwind(AssertUnwindSafe(|| {
        run(&input, |event| {
            let is_late =
                matches!(event, JobEvent::Log { message, .. } if message.starts_with("step 20 "));
            assert!(!is_late, "killed");
        })
    }));
    assert!(killed.is_err());
    let events = run(&input, |event| {
        if let JobEvent::Progress { stage, .. } = event {
            assert!(!stage.contains("shrink"), "{stage}");
        }
    });
    let events = events.unwrap();
    let goes_on = |event: &JobEvent| matches!(event, JobEvent::Log { message, .. } if message == "goes on after step 18");
    assert!(events.iter().any(goes_on));
    assert_eq!(agreements(&events), agreements(&whole));
    assert_eq!(made(&events).0, made(&whole).0);
}

#[test]
fn teachers_that_cannot_teach_are_refused_before_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    let plain = input(folder.path(), &format!("[{F16}]"));
    let file = folder.path().join("other.gguf");
    write_tiny_gguf(&file, &TinyModel::default()).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(10).position(|bytes| bytes == b"<|im_end|>");
    bytes[at.unwrap() + 3] = b'n';
    std::fs::write(&file, bytes).unwrap();
    let (digest, _) = plain.paths.models().unwrap().adopt(&file).unwrap();
    let teacher = format!(r#""teacher":"other","teacher_digest":"{digest}","steps""#);
    let distil = DISTIL.replacen(r#""steps""#, &teacher, 1);
    let input = input(folder.path(), &format!("[{SHRINK},{distil},{F16}]"));
    let refused = run(&input, |event| {
        assert!(matches!(event, JobEvent::Log { .. }), "{event:?}");
    });
    let refused = refused.unwrap_err();
    assert!(
        refused.message.contains("1 of 259 tokens differ")
            && refused.message.contains("`<|in_end|>` there"),
        "{refused:?}"
    );
    assert_eq!(refused.exit_code(), 2);
    let short = DISTIL.replacen(r#""held_out":4"#, r#""held_out":14"#, 1);
    let short = self::input(folder.path(), &format!("[{SHRINK},{short},{F16}]"));
    let refused = run(&short, |event| {
        assert!(matches!(event, JobEvent::Log { .. }), "{event:?}");
    });
    let refused = refused.unwrap_err();
    assert!(
        refused
            .message
            .starts_with("the text gives 16 sequences of 16 tokens: at least 18 are needed"),
        "{refused:?}"
    );
}
