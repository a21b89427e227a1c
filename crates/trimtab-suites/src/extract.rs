//! The program out of a model's answer.
//!
//! The rules, in order:
//!
//! 1. A *fence* is a line that begins, after at most three spaces, with three or more
//!    backticks. A block is opened by a fence and ends at the next line that begins with
//!    a fence at least as long, whatever follows on that line.
//!    A fence that is never closed (the answer was cut) reaches to the end of the answer.
//! 2. The program is the first block tagged `python`, `py` or `python3` that is not blank,
//!    or untagged and holding a line that starts Python code (rule 4).
//!    Blocks in other languages are passed over.
//! 3. Without such a block it runs from the first line that starts Python code to the
//!    first line after it that neither is blank, nor indented, nor goes on with code.
//! 4. A line *starts Python code* if it stands at the margin and reads `def NAME`,
//!    `async def NAME`, `class NAME`, `import NAME`, `from NAME import` or `@NAME`.
//! 5. Indentation is kept as it is, imports are kept, text around the program is dropped,
//!    line ends become `\n`, and blank lines at the end go.
//! 6. If nothing is found there is no program. A program that lacks the asked-for function
//!    is still a program: grading fails it.
//!
//! In other languages rule 2 asks for their own tags, an untagged block counts if it holds one of
//! `{ } ;`, and without a block the whole answer is the program if it holds an opening brace.

use trimtab_sandbox::Language;

/// Version of the rules above; part of every suite's digest.
pub const EXTRACTION_VERSION: &str = "1";

/// The Python program in `answer`, ending in one newline; `None` if nothing looks like code.
pub fn extract_program(answer: &str) -> Option<String> {
    extract_in(Language::Python, answer)
}

/// As [`extract_program`], for a program in any language.
pub fn extract_in(language: Language, answer: &str) -> Option<String> {
    let lines = lines_of(answer);
    let lines = match first_block(language, &lines) {
        Some(block) => block.body,
        None if language == Language::Python => unfenced_program(&lines)?,
        None if answer.contains("```") || !answer.contains('{') => return None,
        None => &lines,
    };
    let n_kept = lines.iter().rposition(|line| !line.trim().is_empty())? + 1;
    Some(lines[..n_kept].join("\n") + "\n")
}

/// Whether `answer` already holds its program to the end, so that generation can stop.
///
/// True once the block that [`extract_program`] takes is closed; more text after that
/// cannot change the program. To be asked after every token: no stop string can
/// tell a closing fence from an untagged opening one.
pub fn is_complete(answer: &str) -> bool {
    is_complete_in(Language::Python, answer)
}

/// As [`is_complete`], for a program in any language.
pub fn is_complete_in(language: Language, answer: &str) -> bool {
    first_block(language, &lines_of(answer)).is_some_and(|block| block.is_closed)
}

struct Block<'a> {
    body: &'a [&'a str],
    is_closed: bool,
}

fn lines_of(answer: &str) -> Vec<&str> {
    answer
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .collect()
}

fn first_block<'a>(language: Language, lines: &'a [&'a str]) -> Option<Block<'a>> {
    let mut line_idx = 0;
    while let Some(offset) = lines[line_idx..]
        .iter()
        .position(|line| fence(line).is_some())
    {
        let start = line_idx + offset + 1;
        let (n_ticks, tag) = fence(lines[start - 1])?;
        let closing = lines[start..]
            .iter()
            .position(|line| fence(line).is_some_and(|(n_closing, _)| n_closing >= n_ticks));
        let end = closing.map_or(lines.len(), |length| start + length);
        let body = match closing {
            Some(_) => &lines[start..end],
            None => without_cut_fence(&lines[start..end]),
        };
        if holds_program(language, tag, body) {
            return Some(Block {
                body,
                is_closed: closing.is_some(),
            });
        }
        line_idx = (end + 1).min(lines.len());
    }
    None
}

/// Length of the fence that `line` begins with, and what is written after it.
fn fence(line: &str) -> Option<(usize, &str)> {
    let unindented = line.trim_start_matches(' ');
    let tag = unindented.trim_start_matches('`');
    let n_ticks = unindented.len() - tag.len();
    let is_fence = line.len() - unindented.len() <= 3 && n_ticks >= 3;
    is_fence.then_some((n_ticks, tag.trim()))
}

/// An answer that stops inside its closing fence leaves one or two backticks behind.
fn without_cut_fence<'a>(body: &'a [&'a str]) -> &'a [&'a str] {
    match body {
        [kept @ .., "`" | "``"] => kept,
        whole => whole,
    }
}

fn holds_program(language: Language, tag: &str, body: &[&str]) -> bool {
    let tags: &[&str] = match language {
        Language::Python => &["python", "py", "python3"],
        Language::Java => &["java"],
        Language::CSharp => &["csharp", "c#", "cs"],
        Language::JavaScript => &["javascript", "js"],
        Language::Rust => &["rust", "rs"],
    };
    match tag.to_ascii_lowercase().as_str() {
        "" if language == Language::Python => body.iter().any(|line| starts_code(line)),
        "" => body.iter().any(|line| line.contains(['{', '}', ';'])),
        tag => tags.contains(&tag) && body.iter().any(|line| !line.trim().is_empty()),
    }
}

fn unfenced_program<'a>(lines: &'a [&'a str]) -> Option<&'a [&'a str]> {
    let start = lines.iter().position(|line| starts_code(line))?;
    let length = lines[start..]
        .iter()
        .position(|line| !goes_on_with_code(line));
    Some(&lines[start..length.map_or(lines.len(), |length| start + length)])
}

fn starts_code(line: &str) -> bool {
    let names_something = |rest: &str| rest.starts_with(is_name_char);
    let plain = ["def ", "async def ", "import ", "@"];
    if plain
        .iter()
        .any(|word| line.strip_prefix(word).is_some_and(names_something))
    {
        return true;
    }
    if let Some(rest) = line.strip_prefix("class ") {
        let after_name = rest.trim_start_matches(is_name_char);
        return names_something(rest) && after_name.starts_with(['(', ':']);
    }
    line.strip_prefix("from ")
        .and_then(|rest| rest.split_once(' '))
        .is_some_and(|(module, rest)| names_something(module) && rest.starts_with("import "))
}

fn goes_on_with_code(line: &str) -> bool {
    let after_name = line.trim_start_matches(is_name_char);
    let is_assignment = after_name.len() < line.len() && after_name.starts_with(" = ");
    line.trim().is_empty()
        || line.starts_with([' ', '\t', ')', ']', '}', '#'])
        || is_assignment
        || starts_code(line)
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        assert_eq!(extract_program(answer).as_deref(), Some(expected));
    }

    #[test]
    fn takes_the_first_python_block_and_drops_the_text_around_it() {
        let program = "def f(x):\n    return x\n";
        for tag in ["python", "py", "python3", "Python", ""] {
            check(
                &format!("Sure:\n\n```{tag}\n{program}```\nThis returns x."),
                program,
            );
        }
        check(
            "```python\na = 1\n```\n\n```python\nb = 2\n```\n",
            "a = 1\n",
        );
    }

    #[test]
    fn passes_over_blocks_in_other_languages_and_blank_ones() {
        check(
            "```js\nlet a;\n```\nIn Python:\n```python\na = 1\n```",
            "a = 1\n",
        );
        check(
            "```text\nimport x\n```\n```\ndef f(): pass\n```",
            "def f(): pass\n",
        );
        check("```python\n\n```\n```python\na = 1\n```", "a = 1\n");
        check("```\n$ run\n```\n```python\na = 1\n```", "a = 1\n");
    }

    #[test]
    fn a_block_that_was_cut_reaches_to_the_end() {
        check(
            "```python\ndef f():\n    return [",
            "def f():\n    return [\n",
        );
        check(
            "```python\ndef f():\n    return 1\n``",
            "def f():\n    return 1\n",
        );
        check(
            "```python\ndef f():\n    return 1\n\n\n",
            "def f():\n    return 1\n",
        );
    }

    #[test]
    fn without_a_fence_takes_the_code_from_its_first_line() {
        check(
            "Here it is.\nimport re\nfrom math import pi\n\nLIMIT = 3\n\ndef f(\n    x,\n):\n    # why\n\n    return x\n\nIt works.\nx = 1\n",
            "import re\nfrom math import pi\n\nLIMIT = 3\n\ndef f(\n    x,\n):\n    # why\n\n    return x\n",
        );
        check("@cache\ndef f(): pass\nDone", "@cache\ndef f(): pass\n");
        check("class A:\n\tpass", "class A:\n\tpass\n");
    }

    #[test]
    fn a_fence_that_opens_inside_a_sentence_is_no_fence() {
        check(
            "Use this: ```python\ndef f():\n    return 1\n```\nIt is short.",
            "def f():\n    return 1\n",
        );
    }

    #[test]
    fn prose_is_no_program() {
        for answer in [
            "",
            "\n\n",
            "I cannot do that.",
            "from the list, take one",
            "class of its own",
            "import",
            "define it",
            "```python\n",
            "```python\n\n```",
            "```\njust words\n```",
        ] {
            assert_eq!(extract_program(answer), None, "{answer:?}");
        }
    }

    #[test]
    fn indentation_is_never_touched() {
        check(
            "```python\n    def f():\n\treturn 1\n```",
            "    def f():\n\treturn 1\n",
        );
        check("  ```python\n  def f(): pass\n  ```", "  def f(): pass\n");
    }

    #[test]
    fn windows_line_ends_become_plain_ones() {
        check(
            "Hi\r\n```python\r\ndef f():\r\n    return 1\r\n```\r\n",
            "def f():\n    return 1\n",
        );
        check(
            "def f():\r\n    return 1\r\nBye\r\n",
            "def f():\n    return 1\n",
        );
    }

    #[test]
    fn a_fence_inside_a_docstring_is_code_when_indented() {
        let program = "def f():\n    \"\"\"\n    ```\n    f()\n    ```\n    \"\"\"\n";
        check(&format!("```python\n{program}```"), program);
        check("````python\n```\na = 1\n````", "```\na = 1\n");
    }

    #[test]
    fn a_program_without_the_asked_for_function_is_returned() {
        check("```python\nprint(1)\n```", "print(1)\n");
    }

    #[test]
    fn an_answer_is_complete_at_its_closing_fence_and_not_before() {
        for opening in [
            "```python\n",
            "Sure!\n```\n",
            "```js\nf()\n```\nnow\n```py\r\n",
            "\n```\n```\n```\n",
        ] {
            let head = format!("{opening}def f():\n    return '```'\n");
            let whole = format!("{head}```");
            for end in (0..=head.len()).filter(|&end| head.is_char_boundary(end)) {
                assert!(!is_complete(&head[..end]), "{:?}", &head[..end]);
            }
            assert!(!is_complete(&format!("{head}``")));
            assert!(is_complete(&whole), "{whole:?}");
        }
        assert!(!is_complete("def f():\n    return 1\n\nDone."));
    }

    #[test]
    fn other_languages_have_their_own_tags() {
        let answer = "```python\nx = 1\n```\n```c#\nclass A {}\n```\n";
        let found = extract_in(Language::CSharp, answer);
        assert_eq!(found.as_deref(), Some("class A {}\n"));
        assert!(is_complete_in(Language::CSharp, answer));
        assert_eq!(extract_in(Language::Rust, answer), None);
        let bare = "fn one() -> i32 { 1 }\n";
        assert_eq!(extract_in(Language::Rust, bare).as_deref(), Some(bare));
        assert_eq!(extract_in(Language::Rust, "I cannot."), None);
        let untagged = "Here:\n```\nfn one() {}\n```";
        assert!(extract_in(Language::Rust, untagged).is_some());
    }

    #[test]
    fn nothing_after_completion_changes_the_program() {
        let whole = "```\nnote\n```\n```python\ndef f():\n    return 1\n```";
        let program = extract_program(whole);
        for tail in [
            "\n",
            "\r\n",
            "python\nx = 1\n```",
            "`",
            "\n```python\nx = 1\n```",
            " end",
        ] {
            let longer = format!("{whole}{tail}");
            assert!(is_complete(&longer), "{longer:?}");
            assert_eq!(extract_program(&longer), program, "{longer:?}");
        }
    }
}
