//! What a training is known by: a checkpoint of another one is not gone on from.

use super::{Example, TeacherInputs, TrainSettings, adamw::Trained};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use trimtab_kernels::pack_f32;

/// What a training depends on.
pub(super) struct Depends<'a> {
    /// What tells the model from others.
    pub(super) model: String,
    /// What else decides the numbers, in words.
    pub(super) form: String,
    pub(super) teacher: Option<&'a TeacherInputs<'a>>,
    pub(super) settings: &'a TrainSettings,
    pub(super) examples: &'a [Example],
    /// The parameters before the first step.
    pub(super) start: &'a BTreeMap<String, Trained>,
}

impl Depends<'_> {
    /// Digest of all of it.
    pub(super) fn identity(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(self.settings).expect("settings are numbers"));
        hash.update(&self.model);
        hash.update(&self.form);
        if let Some(teacher) = self.teacher {
            hash.update(teacher.model.name());
            hash.update(format!("{:?} {:?}", teacher.loss, teacher.hidden));
            let n_top = teacher.stored.map(|stored| stored.n_top);
            hash.update(format!("{n_top:?}"));
        }
        for (name, trained) in self.start {
            hash.update(name);
            hash.update(pack_f32(&trained.values));
        }
        hash_examples(&mut hash, self.examples);
        hex::encode(hash.finalize())
    }
}

/// Adds texts to a digest.
pub(super) fn hash_examples(hash: &mut Sha256, examples: &[Example]) {
    for example in examples {
        hash.update((example.first_learned as u64).to_le_bytes());
        hash.update((example.ids.len() as u64).to_le_bytes());
        for id in &example.ids {
            hash.update(id.to_le_bytes());
        }
    }
}
