//! The languages whose programs can be graded.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A language whose programs can be graded where its toolchain is installed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python 3.
    #[default]
    Python,
    /// Java, by a JDK.
    Java,
    /// C#, by Mono.
    CSharp,
    /// JavaScript, by Node.js.
    JavaScript,
    /// Rust, by rustc and a C linker.
    Rust,
}

impl Language {
    /// All of them, the one of most suites first.
    pub const ALL: [Self; 5] = [
        Self::Python,
        Self::Java,
        Self::CSharp,
        Self::JavaScript,
        Self::Rust,
    ];

    /// The word used in files and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Java => "java",
            Self::CSharp => "csharp",
            Self::JavaScript => "javascript",
            Self::Rust => "rust",
        }
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.as_str() == text)
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Java => "Java",
            Self::CSharp => "C#",
            Self::JavaScript => "JavaScript",
            Self::Rust => "Rust",
        }
    }

    /// What to do where the toolchain is missing.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Python => "apt-get install python3",
            Self::Java => "apt-get install default-jdk-headless",
            Self::CSharp => "apt-get install mono-mcs libmonosgen-2.0-1",
            Self::JavaScript => "apt-get install nodejs",
            Self::Rust => "install Rust from https://rustup.rs, and a linker: apt-get install gcc",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_is_found_by_its_word_and_no_other() {
        for language in Language::ALL {
            assert_eq!(Language::parse(language.as_str()), Some(language));
        }
        assert_eq!(Language::parse("C#"), None);
        assert_eq!(Language::parse(""), None);
    }
}
