//! A model as an artifact with one format for all weights, without the search for a good fit.

use crate::{
    Artifact, ArtifactError, ArtifactHeader, Checkpoint, WeightRole, weight_specs, write_artifact,
};
use std::path::Path;
use trimtab_domain::{FloatFormat, Recipe, Step};
use trimtab_kernels::{PackedFormat, PackedShape, pack_f32};

/// Writes an artifact of `checkpoint` with every matrix in `format`, as `pack` makes it from the
/// floats `[d_out, d_in]`, and opens it.
///
/// # Errors
///
/// [`ArtifactError`] where the disk refuses or a weight cannot be read.
pub fn write_uniform_artifact(
    path: &Path,
    checkpoint: &Checkpoint,
    format: PackedFormat,
    pack: &dyn Fn(PackedShape, &[f32]) -> Vec<u8>,
) -> Result<Artifact, ArtifactError> {
    let specs = weight_specs(checkpoint.config()).into_iter();
    let packed = specs.filter(|spec| spec.role != WeightRole::Vector);
    let to = FloatFormat::F32;
    let header = ArtifactHeader {
        format_version: ArtifactHeader::FORMAT_VERSION,
        config: checkpoint.config().clone(),
        recipe: Recipe {
            name: "test".into(),
            steps: vec![Step::Cast { to }],
        },
        formats: packed.map(|spec| (spec.name, format.into())).collect(),
    };
    write_artifact(path, &header, &mut |spec| {
        let weight = checkpoint.read(spec).map_err(|error| error.to_string())?;
        if spec.role == WeightRole::Vector {
            return Ok(pack_f32(&weight));
        }
        let shape = PackedShape {
            d_out: spec.d_out,
            d_in: spec.d_in,
            format,
        };
        Ok(pack(shape, &weight))
    })?;
    Artifact::open(path)
}
