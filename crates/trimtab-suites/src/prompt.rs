//! What is sent to a model for a problem, in one of two styles.
//!
//! *Chat* asks in a message, which the model's own chat template is put around where the answer is
//! generated. *Completion* gives the beginning of a program for the model to go on with, and says
//! which texts end the answer. The words are the same for every model.

use crate::{Problem, PromptForm};
use trimtab_domain::PromptStyle;
use trimtab_sandbox::Language;

/// Version of the wording; part of every suite's digest.
pub const PROMPT_VERSION: &str = "1";

const ANSWER_FORM: &str = "Answer with the complete Python function in a single \
    ```python code block, including any imports it needs. \
    Do not add explanations, examples or tests.";

/// A line that begins so cannot belong to the function that is being completed.
/// Source: the stop strings that the HumanEval task of lm-evaluation-harness uses.
const FUNCTION_ENDS: [&str; 5] = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"];

/// What begins after a program that was asked for in words.
const PROGRAM_ENDS: [&str; 5] = ["\n\"\"\"", "\n```", "\nassert", "\nprint", "\nif __name__"];

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A message of the user.
    Message(String),
    /// Text to go on with.
    Beginning {
        /// The text.
        text: String,
        /// What ends the answer and is no part of it.
        stops: Vec<String>,
    },
}

/// A problem that cannot be asked in a style.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("problem `{id}` is in {language}; only Python is asked for in the style `completion`")]
pub struct NotAsked {
    /// The problem.
    pub id: String,
    /// Its language.
    pub language: Language,
}

/// What is sent for `problem`.
///
/// # Errors
///
/// [`NotAsked`] for the style *completion* in a language other than Python.
pub fn ask(problem: &Problem, style: PromptStyle) -> Result<Ask, NotAsked> {
    match style {
        PromptStyle::Chat => Ok(Ask::Message(chat_message(problem))),
        PromptStyle::Completion => beginning(problem),
    }
}

/// The message for `problem`: what to do, then the form that the answer must have.
pub fn chat_message(problem: &Problem) -> String {
    let (language, tag) = (problem.language, problem.language.as_str());
    let prompt = problem.prompt.trim_end();
    match (problem.form, language) {
        (PromptForm::Message, _) => prompt.to_owned(),
        (PromptForm::Code, _) => format!(
            "Complete the following {language} function. Reply with the complete function in a \
             single {language} code block.\n\n```{tag}\n{prompt}\n```"
        ),
        (PromptForm::Instruction, Language::Python) => format!("{prompt}\n\n{ANSWER_FORM}"),
        (PromptForm::Instruction, _) => format!(
            "{prompt}\n\nAnswer with the complete {language} code in a single ```{tag} code block. \
             Do not add explanations, examples or tests."
        ),
    }
}

fn beginning(problem: &Problem) -> Result<Ask, NotAsked> {
    if problem.language != Language::Python {
        return Err(NotAsked {
            id: problem.id.clone(),
            language: problem.language,
        });
    }
    let (text, stops) = match problem.form {
        PromptForm::Code => (problem.prompt.clone(), FUNCTION_ENDS),
        PromptForm::Instruction | PromptForm::Message => {
            let prompt = problem.prompt.trim();
            (format!("\"\"\"\n{prompt}\n\"\"\"\n"), PROGRAM_ENDS)
        }
    };
    let stops = stops.map(str::to_owned).to_vec();
    Ok(Ask::Beginning { text, stops })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn the_message_is_the_instruction_followed_by_the_form() {
        let mut problem = suite("starter").unwrap().problems.remove(0);
        problem.prompt = "Write a function `one`.\n".into();
        let message = chat_message(&problem);
        // A change here changes scores: raise PROMPT_VERSION with it.
        assert_eq!(PROMPT_VERSION, "1");
        assert_eq!(
            message,
            "Write a function `one`.\n\nAnswer with the complete Python function in a single \
             ```python code block, including any imports it needs. \
             Do not add explanations, examples or tests."
        );
    }

    #[test]
    fn the_message_shows_neither_tests_nor_solution() {
        for problem in suite("starter").unwrap().problems {
            let message = chat_message(&problem);
            assert!(!message.contains(problem.tests.trim()), "{}", problem.id);
            assert!(
                !message.contains(problem.canonical_solution.trim()),
                "{}",
                problem.id
            );
        }
    }

    #[test]
    fn a_function_that_is_begun_is_asked_for_in_both_styles() {
        let mut problem = suite("starter").unwrap().problems.remove(0);
        problem.form = PromptForm::Code;
        problem.prompt = "def one():\n    \"\"\"One.\"\"\"\n".into();
        assert_eq!(
            ask(&problem, PromptStyle::Chat).unwrap(),
            Ask::Message(
                "Complete the following Python function. Reply with the complete function in a \
                 single Python code block.\n\n```python\ndef one():\n    \"\"\"One.\"\"\"\n```"
                    .into()
            )
        );
        let Ask::Beginning { text, stops } = ask(&problem, PromptStyle::Completion).unwrap() else {
            panic!("a completion has a beginning");
        };
        assert_eq!(text, problem.prompt);
        assert_eq!(stops, ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]);
        problem.language = Language::Java;
        let error = ask(&problem, PromptStyle::Completion).unwrap_err();
        assert!(error.to_string().contains("is in Java"), "{error}");
    }
}
