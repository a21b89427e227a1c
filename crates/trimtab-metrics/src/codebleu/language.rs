//! The languages of CodeBLEU, each with its grammar.
//!
//! Grammars are those that the reference package used: a newer grammar names nodes differently,
//! and so gives other numbers. `Cargo.toml` pins them. That of JavaScript is one version newer than the
//! package can use; `subtrees.rs` makes up for where that shows.

use super::{CodeBleuError, wide_tables};
use std::{fmt, str::FromStr};
use tree_sitter::Parser;

/// A language that CodeBLEU can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    /// Python.
    Python,
    /// Java.
    Java,
    /// C#.
    CSharp,
    /// C.
    C,
    /// C++.
    Cpp,
    /// JavaScript.
    JavaScript,
    /// Go.
    Go,
    /// Rust.
    Rust,
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Python,
        Self::Java,
        Self::CSharp,
        Self::C,
        Self::Cpp,
        Self::JavaScript,
        Self::Go,
        Self::Rust,
        Self::Php,
        Self::Ruby,
    ];

    /// The name on the command line and in signatures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Java => "java",
            Self::CSharp => "c_sharp",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::JavaScript => "javascript",
            Self::Go => "go",
            Self::Rust => "rust",
            Self::Php => "php",
            Self::Ruby => "ruby",
        }
    }

    /// The crate of the grammar and its version.
    pub const fn grammar(self) -> (&'static str, &'static str) {
        match self {
            Self::Python => ("tree-sitter-python", "0.21.0"),
            Self::Java => ("tree-sitter-java", "0.21.0"),
            Self::CSharp => ("tree-sitter-c-sharp", "0.21.3"),
            Self::C => ("tree-sitter-c", "0.21.4"),
            Self::Cpp => ("tree-sitter-cpp", "0.22.3"),
            Self::JavaScript => ("tree-sitter-javascript", "0.23.0"),
            Self::Go => ("tree-sitter-go", "0.21.2"),
            Self::Rust => ("tree-sitter-rust", "0.21.2"),
            Self::Php => ("tree-sitter-php", "0.22.8"),
            Self::Ruby => ("tree-sitter-ruby", "0.21.0"),
        }
    }

    /// The tree-sitter grammar.
    pub(super) fn tree_sitter(self) -> tree_sitter::Language {
        match self {
            Self::Python => tree_sitter_python::language(),
            Self::Java => tree_sitter_java::language(),
            Self::CSharp => tree_sitter_c_sharp::language(),
            Self::C => tree_sitter_c::language(),
            Self::Cpp => tree_sitter_cpp::language(),
            Self::JavaScript => {
                let language = tree_sitter_javascript::LANGUAGE.into_raw();
                // SAFETY: the function of the grammar's crate takes nothing and returns its static
                // table; `Parser::set_language` then refuses a table of another version.
                unsafe { tree_sitter::Language::from_raw(language().cast()) }
            }
            Self::Go => tree_sitter_go::language(),
            Self::Rust => tree_sitter_rust::language(),
            Self::Php => tree_sitter_php::language_php(),
            Self::Ruby => tree_sitter_ruby::language(),
        }
    }

    /// A parser of this language, with the grammar as it is.
    pub(super) fn parser_reference(self) -> Result<Parser, CodeBleuError> {
        self.parser_of(&self.tree_sitter())
    }

    /// A parser that gives the same trees in less time; the first one of a language takes some.
    pub(super) fn parser(self) -> Result<Parser, CodeBleuError> {
        let grammar = wide_tables::widened(self).ok_or_else(|| CodeBleuError::Grammar {
            language: self,
            reason: format!(
                "it is not of tree-sitter's interface {}",
                wide_tables::INTERFACE
            ),
        })?;
        self.parser_of(&grammar)
    }

    fn parser_of(self, grammar: &tree_sitter::Language) -> Result<Parser, CodeBleuError> {
        let mut parser = Parser::new();
        parser
            .set_language(grammar)
            .map_err(|error| CodeBleuError::Grammar {
                language: self,
                reason: error.to_string(),
            })?;
        Ok(parser)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let wanted = match name {
            "csharp" | "c#" | "cs" => "c_sharp",
            "c++" => "cpp",
            "js" => "javascript",
            other => other,
        };
        let known = Self::ALL
            .into_iter()
            .find(|language| language.name() == wanted);
        known.ok_or_else(|| UnknownLanguage(name.to_owned()))
    }
}

/// A language without a grammar here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLanguage(pub String);

impl fmt::Display for UnknownLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = Language::ALL.iter().map(|known| known.name()).collect();
        let Self(name) = self;
        write!(f, "unknown language `{name}`; known: {}", known.join(", "))
    }
}

impl std::error::Error for UnknownLanguage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for language in Language::ALL {
            assert_eq!(language.name().parse(), Ok(language));
        }
        assert_eq!("c#".parse(), Ok(Language::CSharp));
        let unknown = "cobol".parse::<Language>().unwrap_err().to_string();
        assert!(
            unknown.starts_with("unknown language `cobol`; known: python, "),
            "{unknown}"
        );
    }

    #[test]
    fn the_grammars_are_those_of_the_manifest() {
        let manifest = include_str!("../../../../Cargo.toml");
        for language in Language::ALL {
            let (name, version) = language.grammar();
            let line = format!("{name} = \"={version}\"");
            assert!(manifest.contains(&line), "the manifest has no `{line}`");
            assert!(language.parser().is_ok(), "{language}");
        }
        let line = format!("tree-sitter = \"={}\"", super::super::PARSER_VERSION);
        assert!(manifest.contains(&line), "the manifest has no `{line}`");
    }
}
