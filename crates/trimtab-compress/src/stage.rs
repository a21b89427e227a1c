//! What a step that makes another model leaves for the steps after it: a model in floats with a
//! report, in a folder of its own, complete or not there.

use crate::{Base, CompressError};
use half::f16;
use rayon::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use trimtab_domain::{Recipe, StageReport, Step};
use trimtab_kernels::{pack_bf16, pack_f16, pack_f32};
use trimtab_models::{
    Artifact, ArtifactHeader, ModelConfig, ReadWeight, StoredFormat, WeightRole, WeightSpec,
    weight_specs, write_artifact,
};

/// Name of the model that was made.
const MODEL_FILE: &str = "model.trimtab";

/// Name of the report.
const REPORT_FILE: &str = "report.json";

/// The folder of a step that makes another model. While it works, it may keep there what is
/// finished.
#[derive(Clone, Copy, Debug)]
pub struct StageFolder<'a> {
    path: &'a Path,
}

impl<'a> StageFolder<'a> {
    /// The folder `path`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`CompressError::State`] where the disk refuses.
    pub fn open(path: &'a Path) -> Result<Self, CompressError> {
        fs::create_dir_all(path).map_err(|source| failed(path, source))?;
        Ok(Self { path })
    }

    /// The folder.
    pub fn path(self) -> &'a Path {
        self.path
    }

    /// Where the model lies once it is made.
    pub fn model_file(self) -> PathBuf {
        self.path.join(MODEL_FILE)
    }

    /// What was done, if the model is made. What cannot be read counts as not there, and costs
    /// making the model again.
    pub fn finished(self) -> Option<StageReport> {
        Artifact::open(&self.model_file()).ok()?;
        self.load(REPORT_FILE)
    }

    /// Keeps the model that `step` has made of `base`: `read` knows its weights, which have the
    /// shapes of `config`.
    ///
    /// Every matrix is stored in the narrowest floats that hold all numbers of all of them exactly:
    /// nothing is rounded between steps, and what was only taken out of a checkpoint with 16 bits
    /// takes no more.
    ///
    /// # Errors
    ///
    /// [`CompressError`] where a weight cannot be read or the disk refuses.
    pub fn finish(
        self,
        base: &Base,
        link: &Recipe,
        config: ModelConfig,
        read: &ReadWeight<'_>,
        report: &StageReport,
    ) -> Result<(), CompressError> {
        let specs = weight_specs(&config);
        let format = exact_format(&specs, read)?;
        let is_matrix = |spec: &&WeightSpec| spec.role != WeightRole::Vector;
        let formats: BTreeMap<String, StoredFormat> = specs
            .iter()
            .filter(is_matrix)
            .map(|spec| (spec.name.clone(), format))
            .collect();
        let header = ArtifactHeader {
            format_version: ArtifactHeader::FORMAT_VERSION,
            config,
            recipe: Recipe {
                name: link.name.clone(),
                steps: lineage(base, link),
            },
            formats,
        };
        // First, so that a model that is there has a report.
        self.keep(REPORT_FILE, report)?;
        let unfinished = self.path.join(MODEL_FILE).with_extension("part");
        write_artifact(&unfinished, &header, &mut |spec| {
            let weight = read(spec)?;
            Ok(match header.formats.get(&spec.name) {
                Some(StoredFormat::F16) => pack_f16(&weight),
                Some(StoredFormat::Bf16) => pack_bf16(&weight),
                _ => pack_f32(&weight),
            })
        })?;
        let model = self.model_file();
        fs::rename(&unfinished, &model).map_err(|source| failed(&model, source))
    }

    /// Keeps a small finding under `name`; the file is complete or not there.
    pub(crate) fn keep<T: Serialize>(self, name: &str, finding: &T) -> Result<(), CompressError> {
        let path = self.path.join(name);
        let unfinished = path.with_extension("part");
        let json = serde_json::to_vec(finding).expect("findings are plain data");
        File::create(&unfinished)
            .and_then(|mut file| {
                file.write_all(&json)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|source| failed(&path, source))
    }

    /// What was kept under `name`; `None` if it is not there or cannot be read.
    pub(crate) fn load<T: DeserializeOwned>(self, name: &str) -> Option<T> {
        let json = fs::read(self.path.join(name)).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Removes everything.
    pub fn remove(self) {
        // What is left behind costs space only.
        let _ = fs::remove_dir_all(self.path);
    }
}

fn failed(path: &Path, source: io::Error) -> CompressError {
    CompressError::State {
        path: path.to_owned(),
        source,
    }
}

/// All steps from the published model to what `link` makes of `base`.
pub(crate) fn lineage(base: &Base, link: &Recipe) -> Vec<Step> {
    [base.steps(), &link.steps].concat()
}

/// The narrowest floats that hold all numbers of all matrices exactly.
fn exact_format(
    specs: &[WeightSpec],
    read: &ReadWeight<'_>,
) -> Result<StoredFormat, CompressError> {
    let (mut fits_f16, mut fits_bf16) = (true, true);
    for spec in specs.iter().filter(|spec| spec.role != WeightRole::Vector) {
        let weight = read(spec).map_err(|reason| CompressError::Weight {
            name: spec.name.clone(),
            reason,
        })?;
        let is_f16 = |value: &f32| f16::from_f32(*value).to_f32().to_bits() == value.to_bits();
        let is_bf16 = |value: &f32| value.to_bits().trailing_zeros() >= 16;
        fits_f16 = fits_f16 && weight.par_iter().all(is_f16);
        fits_bf16 = fits_bf16 && weight.par_iter().all(is_bf16);
        if !fits_f16 && !fits_bf16 {
            return Ok(StoredFormat::F32);
        }
    }
    Ok(match fits_bf16 {
        true => StoredFormat::Bf16,
        false => StoredFormat::F16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_models::tiny::TinyModel;

    #[test]
    fn weights_are_kept_in_the_narrowest_floats_that_hold_them() {
        let specs = weight_specs(&TinyModel::default().config());
        let format = |value: f32| {
            let read = |spec: &WeightSpec| Ok(vec![value; spec.d_out * spec.d_in]);
            exact_format(&specs, &read).unwrap()
        };
        assert_eq!(format(0.0), StoredFormat::Bf16);
        assert_eq!(format(-1.5e30), StoredFormat::F32);
        assert_eq!(format(f32::from_bits(0x7149_0000)), StoredFormat::Bf16);
        assert_eq!(format(1.0 + 1.0 / 1024.0), StoredFormat::F16);
        assert_eq!(format(0.1), StoredFormat::F32);
    }
}
