//! Tiny engines for tests.

use crate::{DeviceLease, Engine};
use std::collections::BTreeMap;
use trimtab_domain::{FloatFormat, Recipe, Step};
use trimtab_kernels::{PackedFormat, pack_f32};
use trimtab_models::{
    ArtifactHeader, Checkpoint, Part, WeightRole,
    tiny::{TinyModel, write_tiny_gguf},
    weight_specs, write_artifact,
};

/// A prompt with this token gives scores that are not numbers.
pub(crate) const POISON: u32 = 200;

/// A tiny Llama with f32 weights.
pub(crate) fn engine() -> Engine {
    load(false)
}

/// The same, with a [`POISON`] token.
pub(crate) fn poisoned_engine() -> Engine {
    load(true)
}

fn load(is_poisoned: bool) -> Engine {
    let dir = tempfile::tempdir().unwrap();
    let (gguf, path) = (dir.path().join("tiny.gguf"), dir.path().join("tiny"));
    // An untied head, so that a poisoned embedding is in no score of the others.
    let model = TinyModel {
        has_tied_head: false,
        seed: 5,
        ..TinyModel::default()
    };
    write_tiny_gguf(&gguf, &model).unwrap();
    let checkpoint = Checkpoint::open(&gguf).unwrap();
    let formats: BTreeMap<_, _> = weight_specs(checkpoint.config())
        .into_iter()
        .filter(|spec| spec.role != WeightRole::Vector)
        .map(|spec| (spec.name, PackedFormat::F32.into()))
        .collect();
    let header = ArtifactHeader {
        format_version: ArtifactHeader::FORMAT_VERSION,
        config: checkpoint.config().clone(),
        recipe: Recipe {
            name: "test".into(),
            steps: vec![Step::Cast {
                to: FloatFormat::F32,
            }],
        },
        formats,
    };
    write_artifact(&path, &header, &mut |spec| {
        let mut weight = checkpoint.read(spec).map_err(|error| error.to_string())?;
        if is_poisoned && spec.place.part == Part::Embedding {
            weight[POISON as usize * spec.d_in..][..spec.d_in].fill(f32::NAN);
        }
        Ok(pack_f32(&weight))
    })
    .unwrap();
    Engine::load(&path, &gguf, trimtab_domain::DeviceName::Cpu).unwrap()
}

/// A lease that no other process asks for.
pub(crate) fn lease() -> DeviceLease {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("leases");
    let cpu = trimtab_domain::DeviceName::Cpu;
    DeviceLease::take_in(&folder, cpu, "test", &mut |_| {}).unwrap()
}
