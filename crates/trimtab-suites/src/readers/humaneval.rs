//! HumanEval: the beginning of a function, and a test that is given the finished one.
//!
//! Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code",
//! <https://arxiv.org/abs/2107.03374>, section 2.2.

use super::Builder;
use crate::program::preamble_of;
use crate::{Problem, PromptForm, SuiteError};
use serde::Deserialize;
use trimtab_sandbox::Language;

/// One line of the file.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) task_id: String,
    pub(super) prompt: String,
    pub(super) entry_point: String,
    canonical_solution: String,
    test: String,
}

pub(super) fn read(builder: &mut Builder<'_>, bytes: &[u8]) -> Result<(), SuiteError> {
    for (line, item) in builder.items::<Item>(bytes)? {
        builder.add(line, problem(&item))?;
    }
    Ok(())
}

pub(super) fn problem(item: &Item) -> Problem {
    Problem {
        id: item.task_id.clone(),
        track: "write".into(),
        difficulty: None,
        language: Language::Python,
        entry_point: item.entry_point.clone(),
        prompt: item.prompt.clone(),
        form: PromptForm::Code,
        preamble: preamble_of(&item.prompt, &item.entry_point),
        canonical_solution: format!("{}{}", item.prompt, item.canonical_solution),
        buggy_solution: None,
        tests: format!("{}\ncheck({})\n", item.test, item.entry_point),
        test_cases: Vec::new(),
        extended_tests: String::new(),
        support: Vec::new(),
        failing_line: None,
    }
}
