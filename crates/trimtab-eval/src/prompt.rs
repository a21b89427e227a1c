//! The chat message that asks a model to solve a problem.
//!
//! One plain message for every problem and every model; the model's own chat template
//! is put around it where the answer is generated.

use crate::Problem;

/// Version of the message's wording; part of every suite's digest.
pub const PROMPT_VERSION: &str = "1";

const ANSWER_FORM: &str = "Answer with the complete Python function in a single \
    ```python code block, including any imports it needs. \
    Do not add explanations, examples or tests.";

/// The message for `problem`: what to do, then the form that the answer must have.
pub fn chat_message(problem: &Problem) -> String {
    format!("{}\n\n{ANSWER_FORM}", problem.prompt.trim_end())
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
}
