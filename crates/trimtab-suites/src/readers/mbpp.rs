//! MBPP and its sanitised half: a sentence, and assertions that are shown with it.
//!
//! Source: Austin et al. 2021, "Program Synthesis with Large Language Models",
//! <https://arxiv.org/abs/2108.07732>, section 2.1.

use super::Builder;
use super::python_text::{calls, defines};
use crate::{LineError, Problem, PromptForm, SuiteError};
use serde::Deserialize;
use trimtab_sandbox::Language;

/// One problem; the sanitised file calls the sentence `prompt` and has imports instead of a set-up.
#[derive(Debug, Deserialize)]
struct Item {
    task_id: u64,
    #[serde(alias = "prompt")]
    text: String,
    code: String,
    test_list: Vec<String>,
    #[serde(default)]
    test_setup_code: String,
    #[serde(default)]
    test_imports: Vec<String>,
}

pub(super) fn read(builder: &mut Builder<'_>, bytes: &[u8]) -> Result<(), SuiteError> {
    for (line, item) in builder.items::<Item>(bytes)? {
        let problem = problem(item).map_err(|error| builder.error(line, error))?;
        builder.add(line, problem)?;
    }
    Ok(())
}

fn problem(item: Item) -> Result<Problem, LineError> {
    let code = item.code.replace("\r\n", "\n");
    let shown = item.test_list.join("\n");
    if shown.trim().is_empty() {
        return Err(LineError::EmptyField("test_list"));
    }
    let entry_point = calls(&shown)
        .find(|name| defines(&code, name))
        .ok_or_else(|| {
            let message = "`test_list` calls no function that `code` defines".to_owned();
            LineError::Content(message)
        })?
        .to_owned();
    let text = item.text.trim();
    let mut set_up = item.test_imports.join("\n");
    set_up.push('\n');
    set_up.push_str(&item.test_setup_code.replace("\r\n", "\n"));
    Ok(Problem {
        id: format!("MBPP/{}", item.task_id),
        track: "write".into(),
        difficulty: None,
        language: Language::Python,
        entry_point,
        prompt: format!("{text}\nYour code should pass these tests:\n\n{shown}\n"),
        form: PromptForm::Instruction,
        preamble: String::new(),
        canonical_solution: code,
        buggy_solution: None,
        tests: set_up.trim().to_owned(),
        test_cases: item.test_list,
        extended_tests: String::new(),
        support: Vec::new(),
        failing_line: None,
    })
}
