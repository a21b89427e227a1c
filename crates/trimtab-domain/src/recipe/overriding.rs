//! A recipe changed for a few weights only: what follows from a report of what was lost where.

use super::{Override, Recipe, Step, StoredAs};

impl Recipe {
    /// The same recipe with the weights `names` in codes of `bits` bits, under the name `name`.
    /// `None` if the recipe stores no codes of fewer bits, or nothing is named.
    pub fn with_weights_at(&self, names: &[String], bits: u8, name: String) -> Option<Self> {
        let grid = self.grid()?;
        if names.is_empty() || grid.bits >= bits || grid.stored_as != StoredAs::Codes {
            return None;
        }
        let mut recipe = self.clone();
        recipe.name = name;
        let overrides = recipe.steps.last_mut()?.overrides_mut()?;
        let former = std::mem::take(overrides);
        // The first match counts, so what is new comes first.
        overrides.extend(names.iter().map(|pattern| Override {
            pattern: pattern.clone(),
            bits,
            group_size: None,
        }));
        overrides.extend(
            former
                .into_iter()
                .filter(|one| !names.contains(&one.pattern)),
        );
        Some(recipe)
    }
}

impl Step {
    fn overrides_mut(&mut self) -> Option<&mut Vec<Override>> {
        match self {
            Self::Rtn(rtn) => Some(&mut rtn.overrides),
            Self::Gptq(gptq) => Some(&mut gptq.overrides),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(preset: &str, names: &[&str]) -> Option<Recipe> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let recipe = Recipe::preset(preset).unwrap();
        recipe.with_weights_at(&names, 8, "mine".into())
    }

    #[test]
    fn new_overrides_come_first_and_replace_their_own_pattern() {
        let first = changed("int4", &["a", "b"]).unwrap();
        first.validate().unwrap();
        assert_eq!(first.name, "mine");
        let again = first.with_weights_at(&["b".into(), "c".into()], 8, "again".into());
        let again = again.unwrap();
        again.validate().unwrap();
        let patterns = |recipe: &Recipe| -> Vec<String> {
            let overrides = recipe.grid().unwrap().overrides;
            overrides.iter().map(|one| one.pattern.clone()).collect()
        };
        assert_eq!(patterns(&first), ["a", "b"]);
        assert_eq!(patterns(&again), ["b", "c", "a"]);
    }

    #[test]
    fn a_recipe_without_narrower_codes_has_nothing_to_change() {
        assert!(changed("int4-gptq", &["a"]).is_some());
        assert!(changed("int4", &[]).is_none());
        assert!(changed("int8", &["a"]).is_none());
        assert!(changed("f16", &["a"]).is_none());
        assert!(changed("prune-half", &["a"]).is_none());
    }
}
