//! Readers of published suites: their own files in, [`Problem`]s out.
//!
//! A reader is pure: it is given the bytes of files by name and opens none itself.

mod builder;
mod codexglue;
mod humaneval;
mod humaneval_plus;
mod mbpp;
mod mdeval;
mod own;
mod python_text;
mod quixbugs;
mod quixbugs_java;

pub(crate) use builder::Builder;
pub use own::FieldMap;

use crate::lines::unpacked;
use crate::{Suite, SuiteError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How the files of a suite are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuiteFormat {
    /// JSON Lines of [`Problem`](crate::Problem)s, under other names of fields if a map says so.
    Own,
    /// HumanEval: `task_id, prompt, entry_point, canonical_solution, test`.
    HumanEval,
    /// HumanEval+: HumanEval's file, then references and inputs, in this order.
    HumanEvalPlus,
    /// MBPP and its sanitised half.
    Mbpp,
    /// QuixBugs, Python or Java.
    QuixBugs,
    /// MdEval, one language a file.
    MdEval,
    /// CodeXGLUE code translation: one function a line, the Java file and the C# file.
    CodeXglue,
}

impl SuiteFormat {
    /// All formats.
    pub const ALL: [Self; 7] = [
        Self::Own,
        Self::HumanEval,
        Self::HumanEvalPlus,
        Self::Mbpp,
        Self::QuixBugs,
        Self::MdEval,
        Self::CodeXglue,
    ];

    /// The word used on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::HumanEval => "human-eval",
            Self::HumanEvalPlus => "human-eval-plus",
            Self::Mbpp => "mbpp",
            Self::QuixBugs => "quix-bugs",
            Self::MdEval => "md-eval",
            Self::CodeXglue => "code-xglue",
        }
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }

    /// How many files make a suite, and what they are.
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Self::HumanEvalPlus => &["HumanEval", "references", "inputs"],
            Self::CodeXglue => &["Java", "C#"],
            _ => &["problems"],
        }
    }
}

/// Reads a suite.
///
/// # Errors
///
/// [`SuiteError`] names the line of the first thing that is wrong.
pub fn read_suite(
    name: &str,
    title: &str,
    format: SuiteFormat,
    files: &[&[u8]],
    fields: &FieldMap,
) -> Result<Suite, SuiteError> {
    let n_expected = format.files().len();
    if files.len() != n_expected {
        return Err(SuiteError::File {
            suite: name.to_owned(),
            detail: format!(
                "format `{}` has {n_expected} files ({}), not {}",
                format.as_str(),
                format.files().join(", "),
                files.len()
            ),
        });
    }
    let files = files
        .iter()
        .map(|bytes| unpacked(name, bytes))
        .collect::<Result<Vec<Cow<'_, [u8]>>, _>>()?;
    let first = &*files[0];
    let mut builder = Builder::new(name);
    match format {
        SuiteFormat::Own => own::read(&mut builder, first, fields)?,
        SuiteFormat::HumanEval => humaneval::read(&mut builder, first)?,
        SuiteFormat::HumanEvalPlus => humaneval_plus::read(&mut builder, &files)?,
        SuiteFormat::Mbpp => mbpp::read(&mut builder, first)?,
        SuiteFormat::QuixBugs => quixbugs::read(&mut builder, first)?,
        SuiteFormat::MdEval => mdeval::read(&mut builder, first)?,
        SuiteFormat::CodeXglue => codexglue::read(&mut builder, &files)?,
    }
    builder.finish(title)
}
