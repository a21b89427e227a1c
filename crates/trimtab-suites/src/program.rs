//! From an answer to the program that is graded.
//!
//! The rules, which follow those of [`extract_program`]:
//!
//! 1. *Completion*: the program is the prompt with the answer directly behind it, the answer cut
//!    before the first of the texts that end it. Nothing is trimmed, so that indentation holds. A
//!    prompt in words is not part of the program.
//! 2. *Chat*: the program is taken out of the answer. Behind a prompt that is the beginning of a
//!    program stands an answer that only goes on with it: one whose first line is indented and
//!    that does not define the function. Any other answer stands behind the *preamble*: what the
//!    prompt has above the function, its imports and helpers.
//! 3. Rust: imports of crates outside the standard library are left out; a program that does need
//!    them fails.
//! 4. Java and C#, where the tests close braces that the solution has opened: closing braces at the
//!    end of the program are taken away until as many are open as the tests close. Braces in text
//!    and comments do not count.
//! 5. Java, where the preamble names a package: the program stands behind it, without the package
//!    that it names itself and without imports from the preamble's.

use crate::code_text::bare_code;
use crate::prompt::{Ask, ask};
use crate::{Problem, PromptForm, extract_in};
use trimtab_domain::PromptStyle;
use trimtab_sandbox::Language;

/// Crates that published Rust problems import without using them.
const FOREIGN_CRATES: [&str; 3] = ["rand", "regex", "md5"];

/// The program of an answer; `None` if nothing in it looks like one.
pub fn program_of(problem: &Problem, style: PromptStyle, answer: &str) -> Option<String> {
    match style {
        PromptStyle::Completion => completed(problem, answer),
        PromptStyle::Chat => {
            let program = extract_in(problem.language, answer)?;
            Some(complete_program(problem, &program))
        }
    }
}

/// A whole program, such as a reference solution, as it is graded.
pub fn complete_program(problem: &Problem, program: &str) -> String {
    match problem.language {
        Language::Python if goes_on_with_prompt(problem, program) => {
            format!("{}{program}", problem.prompt)
        }
        Language::Python if problem.preamble.is_empty() => program.to_owned(),
        Language::Python => format!("{}\n{program}", problem.preamble),
        Language::Rust => without_foreign_crates(program),
        Language::Java if !problem.preamble.is_empty() => {
            left_open(&in_package(&problem.preamble, program), &problem.tests)
        }
        Language::Java | Language::CSharp => left_open(program, &problem.tests),
        Language::JavaScript => program.to_owned(),
    }
}

/// What a prompt has above the function that it asks for.
pub(crate) fn preamble_of(prompt: &str, entry_point: &str) -> String {
    let start = format!("def {entry_point}(");
    let lines = prompt.lines().take_while(|line| !line.starts_with(&start));
    let preamble: Vec<&str> = lines.collect();
    if preamble.len() == prompt.lines().count() {
        return String::new();
    }
    preamble.join("\n").trim_end().to_owned()
}

fn completed(problem: &Problem, answer: &str) -> Option<String> {
    let Ok(Ask::Beginning { text, stops }) = ask(problem, PromptStyle::Completion) else {
        return None;
    };
    let end = stops.iter().filter_map(|stop| answer.find(stop)).min();
    let kept = &answer[..end.unwrap_or(answer.len())];
    match problem.form {
        PromptForm::Code => Some(format!("{text}{kept}\n")),
        _ if kept.trim().is_empty() => None,
        _ => Some(format!("{kept}\n")),
    }
}

fn goes_on_with_prompt(problem: &Problem, program: &str) -> bool {
    let first = program.lines().find(|line| !line.trim().is_empty());
    let is_indented = first.is_some_and(|line| line.starts_with([' ', '\t']));
    let defines_it = program.contains(&format!("def {}", problem.entry_point));
    problem.form == PromptForm::Code && is_indented && !defines_it
}

fn without_foreign_crates(program: &str) -> String {
    let is_foreign = |line: &str| {
        FOREIGN_CRATES.iter().any(|name| {
            let rest = line
                .trim()
                .strip_prefix("use ")
                .and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with("::") || rest == ";")
        })
    };
    let kept: Vec<&str> = program.lines().filter(|line| !is_foreign(line)).collect();
    kept.join("\n")
}

fn left_open(program: &str, tests: &str) -> String {
    let n_wanted = (-open_braces(tests)).max(0);
    let mut kept = program.trim_end();
    while open_braces(kept) < n_wanted {
        match kept.strip_suffix('}') {
            Some(rest) => kept = rest.trim_end(),
            None => break,
        }
    }
    kept.to_owned()
}

/// Opening braces less closing ones, without those in text and comments.
fn open_braces(source: &str) -> i64 {
    let step = |c| match c {
        '{' => 1,
        '}' => -1,
        _ => 0,
    };
    bare_code(source).chars().map(step).sum()
}

/// A Java program behind a preamble that names its package: its own name of the package goes, and
/// so do its imports from there, which say nothing.
fn in_package(preamble: &str, program: &str) -> String {
    let package = preamble.trim().strip_prefix("package ");
    let Some(package) = package.and_then(|rest| rest.strip_suffix(';')) else {
        return format!("{preamble}\n{program}");
    };
    let import = format!("import {}.", package.trim());
    let mut text = format!("{preamble}\n");
    for line in program.lines() {
        let start = line.trim_start();
        let is_ours = start.starts_with("package ") || start.starts_with(&import);
        text.push_str(match start.split_once(';') {
            Some((_, rest)) if is_ours => rest,
            _ => line,
        });
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    const PROMPT: &str =
        "import math\n\ndef half(x):\n    return x / 2\n\ndef f(x):\n    \"\"\"F.\"\"\"\n";

    fn code_problem() -> Problem {
        let mut problem = suite("starter").unwrap().problems.remove(0);
        problem.form = PromptForm::Code;
        problem.prompt = PROMPT.into();
        problem.entry_point = "f".into();
        problem.preamble = preamble_of(PROMPT, "f");
        problem
    }

    #[test]
    fn the_preamble_is_what_stands_above_the_function() {
        assert_eq!(
            preamble_of(PROMPT, "f"),
            "import math\n\ndef half(x):\n    return x / 2"
        );
        assert_eq!(preamble_of("def f(x):\n", "f"), "");
        assert_eq!(preamble_of("words", "f"), "");
    }

    #[test]
    fn a_chat_answer_stands_behind_the_preamble() {
        let answer = "Sure:\n```python\ndef f(x):\n    return half(x)\n```";
        let program = program_of(&code_problem(), PromptStyle::Chat, answer).unwrap();
        let preamble = "import math\n\ndef half(x):\n    return x / 2";
        assert_eq!(
            program,
            format!("{preamble}\ndef f(x):\n    return half(x)\n")
        );
    }

    #[test]
    fn a_chat_answer_that_only_goes_on_stands_behind_the_prompt() {
        let answer = "```python\n    return half(x)\n```";
        let program = program_of(&code_problem(), PromptStyle::Chat, answer).unwrap();
        assert_eq!(program, format!("{PROMPT}    return half(x)\n"));
    }

    #[test]
    fn a_completion_keeps_its_indentation_and_ends_before_the_next_definition() {
        let answer = "    y = half(x)\n    return y\n\ndef g():\n    pass\n";
        let program = program_of(&code_problem(), PromptStyle::Completion, answer).unwrap();
        assert_eq!(
            program,
            format!("{PROMPT}    y = half(x)\n    return y\n\n")
        );
    }

    #[test]
    fn a_completion_of_words_is_a_program_by_itself() {
        let mut problem = code_problem();
        problem.form = PromptForm::Instruction;
        let answer = "def f(x):\n    return 1\n\nassert f(1) == 1\n";
        let program = program_of(&problem, PromptStyle::Completion, answer).unwrap();
        assert_eq!(program, "def f(x):\n    return 1\n\n");
        assert_eq!(program_of(&problem, PromptStyle::Completion, "\n"), None);
    }

    #[test]
    fn a_class_is_left_as_open_as_its_tests_close_it() {
        let tests = "static void Main() { /* } */ }\n}";
        let open = "class A {\n  int f() { return '{' + \"}\".Length; } // }";
        assert_eq!(left_open(&format!("{open}\n}}\n"), tests), open);
        assert_eq!(left_open(open, tests), open);
        assert_eq!(
            left_open("class A { }", "static class B { }"),
            "class A { }"
        );
        assert_eq!(left_open("no braces", tests), "no braces");
    }

    #[test]
    fn a_java_program_moves_into_the_package_of_the_preamble() {
        let preamble = "package p;";
        let class = "import java.util.*;\npublic class A {\n    // package of all\n}\n";
        let expected = format!("package p;\n\n{class}");
        for head in [
            "package q;\n",
            "  package q.r; // mine\n",
            "import p.Node;\n",
        ] {
            let moved = in_package(preamble, &format!("{head}{class}"));
            assert_eq!(moved.replace(" // mine", ""), expected, "{head}");
        }
        assert_eq!(
            in_package(preamble, "package q; import p.N; class A { }"),
            "package p;\n import p.N; class A { }\n"
        );
    }

    #[test]
    fn imports_of_other_crates_are_left_out() {
        let program =
            "use rand::Rng;\n use regex::Regex;\nuse md5;\nuse std::fmt;\nuse random::X;\n";
        assert_eq!(
            without_foreign_crates(program),
            "use std::fmt;\nuse random::X;"
        );
    }
}
