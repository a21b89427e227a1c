//! What a training is known by: a checkpoint of another one is not gone on from.

use super::{Example, TrainInputs, TrainSettings};
use sha2::{Digest, Sha256};

/// Digest of everything that a training depends on.
pub(super) fn identity(
    inputs: &TrainInputs<'_>,
    settings: &TrainSettings,
    examples: &[Example],
) -> String {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(settings).expect("settings are numbers"));
    hash.update(serde_json::to_vec(inputs.artifact.header()).expect("a header is plain data"));
    hash.update(format!("{:?}", inputs.lora));
    if let Some(teacher) = &inputs.teacher {
        hash.update(serde_json::to_vec(teacher.artifact.header()).expect("a header is plain data"));
        hash.update(format!("{:?}", teacher.loss));
    }
    for layer in inputs.adapter.layers() {
        let part = inputs.adapter.part(layer).expect("its own layer");
        hash.update(layer);
        for value in part.a.iter().chain(part.b.iter()) {
            hash.update(value.to_le_bytes());
        }
    }
    for example in examples {
        hash.update((example.first_learned as u64).to_le_bytes());
        hash.update((example.ids.len() as u64).to_le_bytes());
        for id in &example.ids {
            hash.update(id.to_le_bytes());
        }
    }
    hex::encode(hash.finalize())
}
