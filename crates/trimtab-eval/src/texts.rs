//! Texts whose likelihood under a model gives its perplexity.
//!
//! They are written for this project and share nothing with the suites, so that a
//! model's perplexity here says nothing it could have learnt from the problems.

use sha2::{Digest as _, Sha256};
use trimtab_domain::Digest;

/// A bundled text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerplexityText {
    /// Name used everywhere, for example `handbook`.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// SPDX identifier of its licence.
    pub licence: &'static str,
    /// The text.
    pub text: &'static str,
}

impl PerplexityText {
    /// SHA-256 of the text's bytes.
    pub fn digest(&self) -> Digest {
        let hash = Sha256::digest(self.text.as_bytes());
        hex::encode(hash)
            .parse()
            .expect("32 bytes in hex are a digest")
    }
}

const TEXTS: [PerplexityText; 1] = [PerplexityText {
    name: "handbook",
    title: "Notes on software practice, prose with short Python examples",
    licence: "Apache-2.0",
    text: include_str!("../texts/handbook.txt"),
}];

/// A text that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no text is called `{name}`; there is `{}`", perplexity_text_names().join("`, `"))]
pub struct UnknownText {
    /// What was asked for.
    pub name: String,
}

/// Names of all texts, the default first.
pub fn perplexity_text_names() -> Vec<&'static str> {
    TEXTS.iter().map(|text| text.name).collect()
}

/// The text called `name`.
///
/// # Errors
///
/// [`UnknownText`] if there is none; its message lists what exists.
pub fn perplexity_text(name: &str) -> Result<PerplexityText, UnknownText> {
    TEXTS
        .into_iter()
        .find(|text| text.name == name)
        .ok_or_else(|| UnknownText {
            name: name.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn an_unknown_text_lists_what_exists() {
        let message = perplexity_text("novel").unwrap_err().to_string();
        assert_eq!(message, "no text is called `novel`; there is `handbook`");
    }

    #[test]
    fn the_handbook_is_long_enough_and_plain() {
        let handbook = perplexity_text("handbook").unwrap();
        let n_words = handbook.text.split_whitespace().count();
        assert!((1_600..=2_200).contains(&n_words), "{n_words} words");
        assert!(handbook.text.is_ascii());
        assert!(!handbook.text.contains('\r'));
    }

    #[test]
    fn the_handbook_shares_no_code_with_the_suites() {
        let handbook = perplexity_text("handbook").unwrap();
        for problem in suite("starter").unwrap().problems {
            assert!(
                !handbook.text.contains(&problem.entry_point),
                "{}",
                problem.id
            );
            for line in problem.canonical_solution.lines().map(str::trim) {
                assert!(
                    line.len() < 20 || !handbook.text.contains(line),
                    "{}: {line}",
                    problem.id
                );
            }
        }
    }

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let text = PerplexityText {
            name: "a",
            title: "",
            licence: "",
            text: "abc",
        };
        assert_eq!(
            text.digest().as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
