//! The number format of cached keys and values: one setting for everything that is compared.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Number format of cached keys and values.
///
/// The default is what new work uses. Records written before there was a choice mean
/// [`Self::F32`], which is why fields of this type name [`Self::unrecorded`] as their serde default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvCacheFormat {
    /// 32-bit floats.
    F32,
    /// 16-bit floats (IEEE half).
    #[default]
    F16,
    /// Signed 8-bit codes with one scale for each key and each value of a head.
    Int8,
}

/// A word that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format of the KV cache; use f32, f16 or int8")]
pub struct InvalidKvCacheFormat(String);

impl KvCacheFormat {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];

    /// What a record without the field was made with.
    pub fn unrecorded() -> Self {
        Self::F32
    }

    /// The word used on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for KvCacheFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KvCacheFormat {
    type Err = InvalidKvCacheFormat;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == word)
            .ok_or_else(|| InvalidKvCacheFormat(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_are_those_of_the_wire() {
        for format in KvCacheFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
            let json = serde_json::to_string(&format).unwrap();
            assert_eq!(json, format!("\"{format}\""));
        }
        let error = "q4".parse::<KvCacheFormat>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`q4` is not a format of the KV cache; use f32, f16 or int8"
        );
    }
}
