//! The identity of a variant before it is made: base, recipe, calibration and code.

use sha2::{Digest as _, Sha256};
use trimtab_domain::{Digest, Recipe};

/// Raised whenever the same recipe gives other numbers than before, or another file.
const METHOD_VERSION: u32 = 2;

/// SHA-256 of everything that decides what a compression makes: the base model, the recipe's steps,
/// the calibration set where there is one, and the version of the code. Two compressions with one
/// identity make the same variant.
pub fn identity(base: &Digest, recipe: &Recipe, calibration: Option<&Digest>) -> Digest {
    let steps = serde_json::to_string(&recipe.steps).expect("a recipe is plain data");
    let parts = [
        base.as_str(),
        &steps,
        calibration.map_or("", Digest::as_str),
        env!("CARGO_PKG_VERSION"),
        &METHOD_VERSION.to_string(),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let text = hex::encode(hash.finalize());
    text.parse().expect("hex of 32 bytes is a digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_knows_all_that_decides_and_not_the_name() {
        let digest = |byte: &str| byte.repeat(32).parse::<Digest>().unwrap();
        let recipe = Recipe::preset("int4-gptq").unwrap();
        let one = identity(&digest("0a"), &recipe, Some(&digest("0b")));
        assert_ne!(one, identity(&digest("0c"), &recipe, Some(&digest("0b"))));
        assert_ne!(one, identity(&digest("0a"), &recipe, Some(&digest("0c"))));
        assert_ne!(one, identity(&digest("0a"), &recipe, None));
        let other = Recipe::preset("int4").unwrap();
        assert_ne!(one, identity(&digest("0a"), &other, Some(&digest("0b"))));
        let renamed = Recipe {
            name: "mine".into(),
            ..recipe
        };
        assert_eq!(one, identity(&digest("0a"), &renamed, Some(&digest("0b"))));
    }
}
