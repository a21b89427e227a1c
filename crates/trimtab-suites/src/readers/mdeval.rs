//! MdEval: programs with bugs in many languages; the tests stand behind the repaired program.
//!
//! Source: Liu et al. 2024, "MdEval: Massively Multilingual Code Debugging",
//! <https://arxiv.org/abs/2411.02310>, section 3.

use super::Builder;
use crate::{Difficulty, LineError, Problem, PromptForm, SuiteError};
use serde::Deserialize;
use trimtab_sandbox::Language;

#[derive(Debug, Deserialize)]
struct Item {
    question_id: String,
    level: String,
    canonical_solution: String,
    buggy_code: String,
    test: String,
    instruction: String,
}

pub(super) fn read(builder: &mut Builder<'_>, bytes: &[u8]) -> Result<(), SuiteError> {
    for (line, item) in builder.items::<Item>(bytes)? {
        let problem = problem(item).map_err(|error| builder.error(line, error))?;
        builder.add(line, problem)?;
    }
    Ok(())
}

fn problem(item: Item) -> Result<Problem, LineError> {
    let name = item.question_id.split('/').next().unwrap_or_default();
    let language = match name {
        "Python" => Language::Python,
        "Java" => Language::Java,
        "C#" => Language::CSharp,
        "JavaScript" => Language::JavaScript,
        "Rust" => Language::Rust,
        other => {
            let message = format!("programs in `{other}` cannot be graded");
            return Err(LineError::Content(message));
        }
    };
    if item.test.trim().is_empty() {
        return Err(LineError::EmptyField("test"));
    }
    // Some tests only print whether what they compared was equal.
    let failing_line = match language {
        Language::CSharp => Some("False".to_owned()),
        _ => None,
    };
    Ok(Problem {
        id: item.question_id,
        track: "repair".into(),
        difficulty: match item.level.as_str() {
            "easy" => Some(Difficulty::Easy),
            "medium" | "middle" => Some(Difficulty::Medium),
            "hard" => Some(Difficulty::Hard),
            _ => None,
        },
        language,
        entry_point: String::new(),
        prompt: item.instruction,
        form: PromptForm::Message,
        preamble: String::new(),
        canonical_solution: item.canonical_solution,
        buggy_solution: Some(item.buggy_code),
        tests: item.test,
        test_cases: Vec::new(),
        extended_tests: String::new(),
        support: Vec::new(),
        failing_line,
    })
}
