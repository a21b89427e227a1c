//! What is made of which weight, decided and checked before work begins.

use crate::{
    Base, CompressError,
    format::{WeightFormat, WeightKind, weight_format},
    joint::{Joint, joint},
    keep::kept_formats,
    layer::prune::{Pattern, Sparsity},
    stage::lineage,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};
use trimtab_domain::{BitLoss, Recipe, Step};
use trimtab_models::{ArtifactHeader, WeightRole, WeightSpec, weight_specs};

/// What is made of which weights.
pub(crate) struct Plan<'a> {
    pub(crate) base: Base,
    pub(crate) recipe: &'a Recipe,
    /// The format of every weight that is not a vector.
    pub(crate) formats: BTreeMap<String, WeightFormat>,
    /// How many weights of a linear layer become zeros.
    pub(crate) sparsity: Option<Sparsity>,
    /// What was measured of the weights whose bits were chosen, by name.
    pub(crate) bit_losses: BTreeMap<String, Vec<BitLoss>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        model_file: &Path,
        adapter: Option<&Path>,
        recipe: &'a Recipe,
    ) -> Result<Self, CompressError> {
        if let Some(stage) = recipe.steps.iter().find(|step| step.is_stage()) {
            return Err(CompressError::UnmadeStage(stage.method()));
        }
        let base = Base::open(model_file, adapter, recipe)?;
        let specs = weight_specs(base.config());
        let formats = match recipe.steps.last() {
            Some(Step::Keep) => kept_formats(&base, &specs)?,
            _ => formats(recipe, &specs),
        };
        check_overrides(recipe, &specs)?;
        check_joints(&specs, &formats)?;
        let sparsity = checked_sparsity(recipe, &specs)?;
        Ok(Self {
            base,
            recipe,
            formats,
            sparsity,
            bit_losses: BTreeMap::new(),
        })
    }

    pub(crate) fn header(&self) -> ArtifactHeader {
        ArtifactHeader {
            format_version: ArtifactHeader::FORMAT_VERSION,
            config: self.base.config().clone(),
            recipe: Recipe {
                name: self.recipe.name.clone(),
                steps: lineage(&self.base, self.recipe),
            },
            formats: self
                .formats
                .iter()
                .map(|(name, format)| (name.clone(), format.stored))
                .collect(),
        }
    }
}

/// Refuses a recipe whose last link does not fit the weights that it is to read.
pub(crate) fn check_fit(recipe: &Recipe, specs: &[WeightSpec]) -> Result<(), CompressError> {
    check_overrides(recipe, specs)?;
    check_joints(specs, &formats(recipe, specs))?;
    checked_sparsity(recipe, specs).map(drop)
}

/// The zeros that a recipe asks for, if every linear layer can have them.
fn checked_sparsity(
    recipe: &Recipe,
    specs: &[WeightSpec],
) -> Result<Option<Sparsity>, CompressError> {
    let Some(prune) = recipe.pruning() else {
        return Ok(None);
    };
    let sparsity = sparsity(prune.sparsity);
    for spec in specs.iter().filter(|spec| spec.role == WeightRole::Linear) {
        let checked = sparsity.check(spec.d_in);
        checked.map_err(|source| CompressError::layer(&spec.name, source))?;
    }
    Ok(Some(sparsity))
}

fn formats(recipe: &Recipe, specs: &[WeightSpec]) -> BTreeMap<String, WeightFormat> {
    let format = |spec: &WeightSpec| {
        let kind = WeightKind {
            role: spec.role,
            name: &spec.name,
            d_in: spec.d_in,
        };
        Some((spec.name.clone(), weight_format(recipe, kind)?))
    };
    specs.iter().filter_map(format).collect()
}

/// Our patterns count zeros, those of the layer what is kept.
fn sparsity(sparsity: trimtab_domain::Sparsity) -> Sparsity {
    match sparsity {
        trimtab_domain::Sparsity::Share(share) => Sparsity::Share(share),
        trimtab_domain::Sparsity::Pattern { n, m } => Sparsity::Pattern(Pattern {
            kept: m.saturating_sub(n) as usize,
            of: m as usize,
        }),
    }
}

/// Refuses a pattern that no weight has.
fn check_overrides(recipe: &Recipe, specs: &[WeightSpec]) -> Result<(), CompressError> {
    let Some(grid) = recipe.grid() else {
        return Ok(());
    };
    let is_changed =
        |spec: &&WeightSpec| !matches!(spec.role, WeightRole::Vector | WeightRole::Kept);
    for one in grid.overrides {
        let mut changed = specs.iter().filter(is_changed);
        if changed.any(|spec| one.matches(&spec.name)) {
            continue;
        }
        let last = |spec: &WeightSpec| {
            let parts = spec.name.rsplit('.');
            parts.take(1).collect::<String>()
        };
        let mut known: Vec<String> = specs.iter().filter(is_changed).map(last).collect();
        known.sort();
        known.dedup();
        return Err(CompressError::NoMatch {
            pattern: one.pattern.clone(),
            known,
        });
    }
    Ok(())
}

/// Refuses different formats of weights that are multiplied as one.
fn check_joints(
    specs: &[WeightSpec],
    formats: &BTreeMap<String, WeightFormat>,
) -> Result<(), CompressError> {
    let mut first: HashMap<Joint, &WeightSpec> = HashMap::new();
    for spec in specs {
        let Some(joint) = joint(spec) else { continue };
        let other = first.entry(joint).or_insert(spec);
        let format = |spec: &WeightSpec| formats.get(&spec.name).map(|format| format.stored);
        if format(spec) != format(other) {
            return Err(CompressError::Joint {
                one: other.name.clone(),
                other: spec.name.clone(),
            });
        }
    }
    Ok(())
}
