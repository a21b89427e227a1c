//! Keeps the codes of a quantised checkpoint where the kernels read them exactly.

use crate::{
    Base, CompressError,
    format::WeightFormat,
    joint::{Joint, joint},
};
use std::collections::{BTreeMap, HashMap};
use trimtab_domain::{Recipe, Step};
use trimtab_kernels::{PackedFormat, PackedShape};
use trimtab_models::{WeightRole, WeightSpec};

/// The format of every weight that is not a vector: that of its codes where the kernels read them
/// exactly, else f16. Weights that are multiplied as one all get f16 where they differ.
///
/// # Errors
///
/// Damaged codes, and a model of which nothing can be kept: what was asked for would be a plain f16
/// variant under another name.
pub(crate) fn kept_formats(
    base: &Base,
    specs: &[WeightSpec],
) -> Result<BTreeMap<String, WeightFormat>, CompressError> {
    let mut formats = BTreeMap::new();
    let mut of_joint: HashMap<Joint, Vec<(String, PackedFormat)>> = HashMap::new();
    let mut refusal = CompressError::NoCodes;
    for spec in specs.iter().filter(|spec| spec.role != WeightRole::Vector) {
        let format = match base.read_grid(spec)?.map(|grid| grid.to_packed()) {
            Some(Ok((shape, _))) => shape.format,
            Some(Err(reason)) => {
                refusal = CompressError::UnreadableCodes {
                    name: spec.name.clone(),
                    reason: reason.to_string(),
                };
                PackedFormat::F16
            }
            None => PackedFormat::F16,
        };
        if let Some(joint) = joint(spec) {
            let members = of_joint.entry(joint).or_default();
            members.push((spec.name.clone(), format));
        }
        formats.insert(spec.name.clone(), format);
    }
    for members in of_joint.into_values() {
        if members.windows(2).any(|pair| pair[0].1 != pair[1].1) {
            let names = members.into_iter().map(|(name, _)| name);
            formats.extend(names.map(|name| (name, PackedFormat::F16)));
        }
    }
    if formats.values().all(|format| *format == PackedFormat::F16) {
        return Err(refusal);
    }
    Ok(formats
        .into_iter()
        .map(|(name, packed)| (name, WeightFormat::plain(packed)))
        .collect())
}

/// The packed codes of a weight, if `recipe` keeps them and they have the shape that was planned.
///
/// # Errors
///
/// A sentence for damaged codes.
pub(crate) fn kept_codes(
    base: &Base,
    recipe: &Recipe,
    spec: &WeightSpec,
    planned: PackedShape,
) -> Result<Option<Vec<u8>>, String> {
    if recipe.steps.last() != Some(&Step::Keep) || planned.format == PackedFormat::F16 {
        return Ok(None);
    }
    let grid = base.read_grid(spec).map_err(|error| error.to_string())?;
    let packed = grid.and_then(|grid| grid.to_packed().ok());
    Ok(packed.and_then(|(shape, bytes)| (shape == planned).then_some(bytes)))
}
