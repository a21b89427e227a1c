//! Which layers an adapter is for.

use super::{
    AdapterError,
    linears::{AdaptableLinear, available},
    pattern::whole_name,
};
use regex::Regex;
use serde::Deserialize;

/// Layers by the ends of their names, or by a pattern for whole names.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    Pattern(String),
    Ends(Vec<String>),
}

#[derive(Clone, Debug)]
enum Matcher {
    Pattern(Regex),
    Ends(Vec<String>),
}

impl Matcher {
    fn new(key: &'static str, names: Names) -> Result<Self, AdapterError> {
        Ok(match names {
            Names::Pattern(pattern) => Self::Pattern(whole_name(key, &pattern)?),
            Names::Ends(ends) => Self::Ends(ends),
        })
    }

    fn matches(&self, layer: &str) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.is_match(layer),
            Self::Ends(ends) => ends.iter().any(|end| ends_with_name(layer, end)),
        }
    }
}

/// Whether `end` is the name of `layer` from the beginning or from a dot on.
fn ends_with_name(layer: &str, end: &str) -> bool {
    let before = layer.strip_suffix(end);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The layers of a model that an adapter is for.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    included: Matcher,
    excluded: Option<Matcher>,
    /// Numbers of decoder blocks; `None` for all.
    block_idxs: Option<Vec<u64>>,
    /// What stands before the number of a block; empty for anything.
    block_lists: Vec<String>,
}

impl Targets {
    pub(super) fn new(
        included: Names,
        excluded: Option<Names>,
        block_idxs: Option<Vec<u64>>,
        block_lists: Vec<String>,
    ) -> Result<Self, AdapterError> {
        let excluded = match excluded {
            Some(Names::Ends(ends)) if ends.is_empty() => None,
            Some(names) => Some(Matcher::new("exclude_modules", names)?),
            None => None,
        };
        let is_name = |list: &String| list.chars().all(|c| c.is_alphanumeric() || c == '_');
        if let Some(pattern) = block_lists.iter().find(|list| !is_name(list)) {
            return Err(AdapterError::Pattern {
                key: "layers_pattern",
                pattern: pattern.clone(),
                reason: "only names are supported here".to_owned(),
            });
        }
        Ok(Self {
            included: Matcher::new("target_modules", included)?,
            excluded,
            block_idxs: block_idxs.filter(|idxs| !idxs.is_empty()),
            block_lists: block_lists
                .into_iter()
                .filter(|list| !list.is_empty())
                .collect(),
        })
    }

    /// Whether the adapter is for this layer.
    pub(super) fn include(&self, layer: &str) -> bool {
        let is_excluded = self
            .excluded
            .as_ref()
            .is_some_and(|names| names.matches(layer));
        if is_excluded || !self.included.matches(layer) {
            return false;
        }
        // A pattern for whole names says which blocks it means by itself.
        match (&self.block_idxs, &self.included) {
            (None, _) | (_, Matcher::Pattern(_)) => true,
            (Some(idxs), Matcher::Ends(_)) => {
                self.block_idx(layer).is_some_and(|idx| idxs.contains(&idx))
            }
        }
    }

    /// The number of the block that a layer is in: the first part of its name that is a number,
    /// after the name of the list of blocks.
    fn block_idx(&self, layer: &str) -> Option<u64> {
        let parts: Vec<&str> = layer.split('.').collect();
        // Something stands before the list where its name is not given, and the layer's own name
        // after the number.
        let least = if self.block_lists.is_empty() { 2 } else { 1 };
        let last = parts.len().checked_sub(1)?;
        let mut places = least..last;
        let is_block = |place: &usize| {
            let list = parts[place - 1];
            let is_list = self.block_lists.is_empty() || self.block_lists.iter().any(|l| l == list);
            is_list && parts[*place].bytes().all(|byte| byte.is_ascii_digit())
        };
        places
            .find(is_block)
            .and_then(|place| parts[place].parse().ok())
    }

    /// Refuses targets that the model has no layer for.
    pub(super) fn check(&self, linears: &[AdaptableLinear]) -> Result<(), AdapterError> {
        let missing = match &self.included {
            Matcher::Ends(ends) => ends.iter().find(|end| {
                !linears
                    .iter()
                    .any(|linear| ends_with_name(&linear.name, end))
            }),
            Matcher::Pattern(_) => None,
        };
        let nothing = |target: String| {
            let available = available(linears);
            Err(AdapterError::TargetMatchesNothing { target, available })
        };
        if let Some(target) = missing {
            return nothing(target.clone());
        }
        if !linears.iter().any(|linear| self.include(&linear.name)) {
            return nothing(match &self.included {
                Matcher::Ends(ends) => ends.join("`, `"),
                Matcher::Pattern(pattern) => pattern.to_string(),
            });
        }
        Ok(())
    }
}
