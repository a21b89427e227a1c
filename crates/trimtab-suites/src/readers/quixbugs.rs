//! QuixBugs: classic algorithms with a bug on one line, and the tests of the repository, which ask
//! for a testing library that the sandbox does not have: the few pieces that they use are defined
//! before them. The Java programs have a module of their own.
//!
//! Source: Lin et al. 2017, "QuixBugs: A Multi-Lingual Program Repair Benchmark Set Based on the
//! Quixey Challenge", <https://doi.org/10.1145/3135932.3135941>.

use super::python_text::literal;
use super::{Builder, quixbugs_java};
use crate::{LineError, Problem, PromptForm, SuiteError};
use serde::Deserialize;
use serde_json::Value;
use trimtab_sandbox::{Language, SourceFile};

/// Defines the pieces of the testing library, and the tests.
const TESTS: &str = include_str!("quixbugs.py");

#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) task_id: String,
    language: String,
    pub(super) entry_point: String,
    #[serde(default)]
    description: String,
    pub(super) buggy: String,
    pub(super) fixed: String,
    #[serde(default)]
    cases: Vec<Value>,
    #[serde(default)]
    pytest: String,
    #[serde(default)]
    pub(super) junit: String,
    #[serde(default)]
    support: std::collections::BTreeMap<String, String>,
}

pub(super) fn read(builder: &mut Builder<'_>, bytes: &[u8]) -> Result<(), SuiteError> {
    let texts = crate::lines::lines("", bytes).filter_map(Result::ok);
    for ((line, item), (_, text)) in builder.items::<Item>(bytes)?.into_iter().zip(texts) {
        let problem = match item.language.as_str() {
            "python" => problem(item, text),
            "java" => quixbugs_java::problem(item),
            other => {
                let message = format!("programs in `{other}` are not read; Python and Java are");
                Err(LineError::Content(message))
            }
        };
        let problem = problem.map_err(|error| builder.error(line, error))?;
        builder.add(line, problem)?;
    }
    Ok(())
}

fn problem(item: Item, text: &str) -> Result<Problem, LineError> {
    let test_cases = calls_of_tests(&item);
    if test_cases.is_empty() {
        return Err(LineError::EmptyField("pytest"));
    }
    let prompt = format!(
        "This Python function has a bug on one line.\n\n{}\n\n```python\n{}\n```\n\n\
         Repair it.",
        item.description.trim(),
        item.buggy.trim_end()
    );
    let support = item.support.into_iter();
    Ok(Problem {
        id: item.task_id,
        track: "repair".into(),
        difficulty: None,
        language: Language::Python,
        entry_point: item.entry_point,
        prompt,
        form: PromptForm::Instruction,
        preamble: String::new(),
        canonical_solution: item.fixed,
        buggy_solution: Some(item.buggy),
        tests: TESTS.replace("ITEM", &literal(text)),
        test_cases,
        extended_tests: String::new(),
        support: support
            .map(|(path, text)| SourceFile { path, text })
            .collect(),
        failing_line: None,
    })
}

/// One call for each test function, or for each of its cases.
fn calls_of_tests(item: &Item) -> Vec<String> {
    let names = item.pytest.lines().filter_map(|line| {
        let rest = line.strip_prefix("def test")?;
        let end = rest.find('(')?;
        Some(format!("test{}", &rest[..end]))
    });
    let n_cases = item.cases.len().max(1);
    names
        .flat_map(|name| (0..n_cases).map(move |idx| format!("_run({}, {idx})", literal(&name))))
        .collect()
}
