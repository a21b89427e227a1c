//! Identifiers. Each is a type of its own, so that one cannot be passed for another.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A run: one evaluation of one or more variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

/// A queued unit of background work, done by one worker process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name that does not fit the rules of [`ModelName`] or [`VariantName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name: use 1 to 100 letters, digits, `.`, `-`, `_`, starting with a letter or digit"
)]
pub struct InvalidName(pub String);

fn is_name(text: &str, separators: &[char]) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || separators.contains(&c))
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $separators:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                if is_name(&text, $separators) { Ok(Self(text)) } else { Err(InvalidName(text)) }
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name_type! {
    /// A model's name in the catalog or as imported, for example `smollm2-135m-instruct`.
    ModelName, &['.', '-', '_']
}

name_type! {
    /// A variant's name; made from a preset it reads `MODEL:PRESET`.
    VariantName, &['.', '-', '_', ':']
}

impl VariantName {
    /// The name of the variant that `preset` makes of `model`.
    pub fn of_preset(model: &ModelName, preset: &str) -> Result<Self, InvalidName> {
        Self::try_from(format!("{model}:{preset}"))
    }

    /// Splits `MODEL:PRESET`; `None` for a name without a colon.
    pub fn split_preset(&self) -> Option<(ModelName, &str)> {
        let (model, preset) = self.0.split_once(':')?;
        Some((model.parse().ok()?, preset))
    }
}

/// A SHA-256 digest, 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Text that is not a SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 digest (64 hexadecimal digits)")]
pub struct InvalidDigest(pub String);

impl Digest {
    /// The digest as 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, enough for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;
    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        let is_digest = text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if is_digest {
            Ok(Self(text))
        } else {
            Err(InvalidDigest(text))
        }
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        Self::try_from(text.to_owned())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_paths_and_blanks() {
        for bad in ["", "..", "a/b", "a b", "-x", "a\n", "ü"] {
            assert!(ModelName::from_str(bad).is_err(), "{bad:?}");
        }
        assert!(ModelName::from_str("a:b").is_err());
    }

    #[test]
    fn a_preset_name_splits_into_its_parts() {
        let name: VariantName = "smollm2-135m-instruct:int8".parse().unwrap();
        let (model, preset) = name.split_preset().unwrap();
        assert_eq!((model.as_str(), preset), ("smollm2-135m-instruct", "int8"));
    }

    #[test]
    fn digests_are_checked_when_read_from_json() {
        let good = format!("\"{}\"", "0a".repeat(32));
        assert!(serde_json::from_str::<Digest>(&good).is_ok());
        assert!(serde_json::from_str::<Digest>("\"0A\"").is_err());
    }
}
