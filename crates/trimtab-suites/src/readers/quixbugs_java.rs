//! The Java programs of QuixBugs. Their tests are classes for `JUnit` 4, which the sandbox does not
//! have: the pieces of it that they use, the classes that programs share and a runner are files
//! beside the program.
//!
//! Every test method is a case of its own. A case is a class with the method's name, which the
//! runner looks for, so that all of them together run all methods, each on an object of its own.
//! Times in the annotations are not used: they are wall-clock times, and the sandbox has its own
//! limit. What is marked as ignored is no case.

use super::quixbugs::Item;
use crate::code_text::{bare_code, without_comments};
use crate::{LineError, Problem, PromptForm};
use trimtab_sandbox::{Language, SourceFile};

/// The programs come in this package or in one for the repaired ones; the tests want this one.
const PREAMBLE: &str = "package java_programs;";

/// Files that every problem has.
const LIBRARY: [(&str, &str); 4] = [
    (
        "org/junit/Test.java",
        include_str!("quixbugs_java/Test.java"),
    ),
    (
        "org/junit/Ignore.java",
        include_str!("quixbugs_java/Ignore.java"),
    ),
    (
        "org/junit/Assert.java",
        include_str!("quixbugs_java/Assert.java"),
    ),
    (
        "TrimtabRunner.java",
        include_str!("quixbugs_java/TrimtabRunner.java"),
    ),
];

/// Classes that only some problems use, so that answers to the others may have such a class.
const SHARED: [(&str, &str, &str); 3] = [
    (
        "Node",
        "java_programs/Node.java",
        include_str!("quixbugs_java/Node.java"),
    ),
    (
        "WeightedEdge",
        "java_programs/WeightedEdge.java",
        include_str!("quixbugs_java/WeightedEdge.java"),
    ),
    (
        "QuixFixOracleHelper",
        "java_testcases/junit/QuixFixOracleHelper.java",
        include_str!("quixbugs_java/QuixFixOracleHelper.java"),
    ),
];

pub(super) fn problem(item: Item) -> Result<Problem, LineError> {
    let tests = TestClass::read(&item.junit)?;
    let cases = tests.methods.iter().enumerate().map(|(idx, method)| {
        format!("final class TrimtabCase{idx} {{ static final String NAME = \"{method}\"; }}")
    });
    let named = format!(
        "final class TrimtabTests {{ static final String NAME = \"{}.{}\"; \
         static final int CASES = {}; }}",
        tests.package,
        tests.name,
        tests.methods.len()
    );
    Ok(Problem {
        track: "repair".into(),
        difficulty: None,
        language: Language::Java,
        prompt: prompt(&item.buggy),
        form: PromptForm::Instruction,
        preamble: PREAMBLE.into(),
        tests: named,
        test_cases: cases.collect(),
        extended_tests: String::new(),
        support: support(&item, &tests),
        failing_line: None,
        id: item.task_id,
        entry_point: item.entry_point,
        canonical_solution: item.fixed,
        buggy_solution: Some(item.buggy),
    })
}

/// Comments are not shown: some name people, and some tell the fix.
fn prompt(buggy: &str) -> String {
    let shown = without_comments(buggy);
    let code = bare_code(buggy);
    let given: Vec<String> = SHARED
        .iter()
        .filter(|(name, _, _)| has_word(&code, name))
        .map(|(name, _, _)| format!("`{name}`"))
        .collect();
    let given = match given.join(" and ") {
        names if names.is_empty() => String::new(),
        names => format!(" Its package has {names} already."),
    };
    format!(
        "This Java program has a bug on one line.{given}\n\n```java\n{}\n```\n\nRepair it.",
        shown.trim()
    )
}

fn support(item: &Item, tests: &TestClass) -> Vec<SourceFile> {
    let texts = [&item.buggy, &item.fixed, &item.junit].map(|text| bare_code(text));
    let is_used = |name: &str| texts.iter().any(|text| has_word(text, name));
    let shared = SHARED.iter().filter(|(name, _, _)| is_used(name));
    let shared = shared.map(|(_, path, text)| (*path, *text));
    let files = LIBRARY.into_iter().chain(shared);
    let mut files: Vec<SourceFile> = files
        .map(|(path, text)| SourceFile {
            path: path.into(),
            text: text.into(),
        })
        .collect();
    files.push(SourceFile {
        path: format!("{}/{}.java", tests.package.replace('.', "/"), tests.name),
        text: item.junit.clone(),
    });
    files
}

/// What a class of tests says about itself.
#[derive(Debug, PartialEq, Eq)]
struct TestClass {
    package: String,
    name: String,
    /// The test methods in their order, without those that are ignored.
    methods: Vec<String>,
}

impl TestClass {
    fn read(source: &str) -> Result<Self, LineError> {
        if source.trim().is_empty() {
            return Err(LineError::EmptyField("junit"));
        }
        let code = bare_code(source);
        let words: Vec<&str> = words(&code).collect();
        let behind = |start: &[&str]| {
            let at = words.windows(start.len() + 1);
            let mut found = at.filter(|window| window.starts_with(start));
            found.next().map(|window| window[start.len()])
        };
        let package = behind(&["package"]).filter(|name| name.split('.').all(is_name));
        let name = behind(&["public", "class"]).filter(|name| is_name(name));
        let (Some(package), Some(name)) = (package, name) else {
            let message = "`junit` is no public class in a package";
            return Err(LineError::Content(message.into()));
        };
        let methods = test_methods(&words)?;
        if methods.is_empty() {
            let message = "`junit` has no test method; they are marked with `@Test`";
            return Err(LineError::Content(message.into()));
        }
        Ok(Self {
            package: package.to_owned(),
            name: name.to_owned(),
            methods,
        })
    }
}

fn test_methods(words: &[&str]) -> Result<Vec<String>, LineError> {
    let (mut is_test, mut is_ignored) = (false, false);
    let mut methods = Vec::new();
    for (idx, word) in words.iter().enumerate() {
        match (*word, words.get(idx + 1), words.get(idx + 2)) {
            ("@Test" | "@org.junit.Test", _, _) => is_test = true,
            ("@Ignore" | "@org.junit.Ignore", _, _) => is_ignored = true,
            ("void", Some(name), Some(&"(")) if is_name(name) => {
                if is_test && !is_ignored {
                    methods.push((*name).to_owned());
                }
                (is_test, is_ignored) = (false, false);
            }
            ("{" | "}" | ";", _, _) => {
                if is_test {
                    let message = "`junit` has a `@Test` that is not before a method without value";
                    return Err(LineError::Content(message.into()));
                }
                is_ignored = false;
            }
            _ => {}
        }
    }
    Ok(methods)
}

/// Names with their dots and the `@` before them, and every other character that is not blank.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let mut rest = code;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
        let start = first.len_utf8();
        let end = if is_part(first) || first == '@' {
            let tail = &rest[start..];
            start + tail.find(|c| !is_part(c)).unwrap_or(tail.len())
        } else {
            start
        };
        let (word, tail) = rest.split_at(end);
        rest = tail;
        Some(word)
    })
}

/// Whether it can be the name of a class and of its file.
fn is_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|c: char| c.is_ascii_digit())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn has_word(code: &str, name: &str) -> bool {
    words(code).any(|word| word.split('.').any(|part| part == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FieldMap, Grader, Suite, SuiteFormat, complete_program, read_suite};
    use serde_json::json;
    use trimtab_domain::Verdict;
    use trimtab_sandbox::{Limits, Sandbox};

    /// Has a main method and a class of its own, as some programs have.
    const FIXED: &str = "package correct_java_programs;\nimport java.util.*;\n\nimport java_programs.Node;\n\n\
        public class TAIL {\n    public static void main(String[] arguments) {}\n\n    \
        public static List<Node> tail(Node node) {\n        List<Node> found = new ArrayList<>();\n        \
        for (Node next = node; next != null; next = next.getSuccessor()) { found.add(next); }\n        \
        return found.subList(1, found.size());\n    }\n}\n";

    const JUNIT: &str = r#"package java_testcases.junit;
import static org.junit.Assert.assertEquals;
import org.junit.Test;
import java_programs.Node;
import java_programs.TAIL;

public class TAIL_TEST {
    Node last = new Node("c");
    int n_calls = 0;

    // @Test public void commented() {}
    @Test
    public void two() {
        n_calls++;
        assertEquals(1, java_programs.TAIL.tail(new Node("b", last)).size());
        assertEquals(last, TAIL.tail(new Node("b", last)).get(0));
        assertEquals(1.0, 1.05, 0.1);
    }

    @org.junit.Test(timeout = 3000)
    public void one() throws Exception {
        assertEquals("@Test public void said() {", "[]", QuixFixOracleHelper.format(TAIL.tail(last), true));
        assertEquals(0, n_calls);
    }

    @org.junit.Test(timeout = 3000)
    @org.junit.Ignore
    public void ignored() { assertEquals(1, 2); }
}
"#;

    fn line(junit: &str) -> String {
        let fixed = FIXED.replace("correct_", "");
        let buggy = fixed.replace("subList(1,", "subList(0, // one in the correct version\n");
        let buggy = buggy.replace("import java_programs.Node;\n", "/** @author somebody */\n");
        json!({"task_id": "Q/java/TAIL", "language": "java", "entry_point": "TAIL",
            "buggy": buggy, "fixed": FIXED, "junit": junit})
        .to_string()
    }

    fn read(junit: &str) -> Result<Suite, String> {
        let text = line(junit);
        let files = [text.as_bytes()];
        read_suite(
            "s",
            "S",
            SuiteFormat::QuixBugs,
            &files,
            &FieldMap::default(),
        )
        .map_err(|error| error.to_string())
    }

    fn junit() -> String {
        // The message is not among the forms that are known.
        JUNIT.replace("\"@Test public void said() {\", ", "")
    }

    #[test]
    fn the_prompt_shows_the_program_without_its_comments() {
        let problem = read(JUNIT).unwrap().problems.remove(0);
        let start = "This Java program has a bug on one line. Its package has `Node` already.\n\n\
                     ```java\npackage java_programs;\nimport java.util.*;\n";
        assert!(problem.prompt.starts_with(start), "{}", problem.prompt);
        for word in ["somebody", "correct", "//", "/*"] {
            assert!(!problem.prompt.contains(word), "{}", problem.prompt);
        }
        assert!(problem.prompt.ends_with("}\n```\n\nRepair it."));
    }

    #[test]
    fn a_test_method_is_a_case_unless_it_is_ignored_or_only_said() {
        let tests = TestClass::read(JUNIT).unwrap();
        assert_eq!(
            (tests.package.as_str(), tests.name.as_str()),
            ("java_testcases.junit", "TAIL_TEST")
        );
        assert_eq!(tests.methods, ["two", "one"]);
    }

    #[test]
    fn tests_that_are_no_class_of_tests_are_named() {
        for (junit, told) in [
            (" ".to_owned(), "`junit` is empty"),
            (
                JUNIT.replace("java_testcases.", "../"),
                "`junit` is no public class in a package",
            ),
            (
                JUNIT.replace("public class TAIL_TEST", "class TAIL_TEST"),
                "`junit` is no public class in a package",
            ),
            (
                JUNIT.replace("public void one", "public int one"),
                "`junit` has a `@Test` that is not before a method without value",
            ),
            (
                JUNIT
                    .replace("Test\n", "Before\n")
                    .replace("Test(", "After("),
                "`junit` has no test method; they are marked with `@Test`",
            ),
        ] {
            assert_eq!(
                read(&junit).unwrap_err(),
                format!("suite `s`, line 1: {told}")
            );
        }
        let other = line(JUNIT).replace("\"java\"", "\"perl\"");
        let files = [other.as_bytes()];
        let format = SuiteFormat::QuixBugs;
        let error = read_suite("s", "S", format, &files, &FieldMap::default()).unwrap_err();
        assert!(error.to_string().contains("programs in `perl`"), "{error}");
    }

    #[test]
    fn the_fix_and_an_answer_that_equals_it_are_one_program() {
        let problem = read(JUNIT).unwrap().problems.remove(0);
        let answer = FIXED
            .replace("package correct_java_programs;", "")
            .replace("import java_programs.Node;", "");
        assert_eq!(
            complete_program(&problem, FIXED),
            complete_program(&problem, &answer)
        );
    }

    #[test]
    fn the_fix_passes_and_the_bug_is_told_by_its_case() {
        let suite = read(&junit()).unwrap();
        let problem = &suite.problems[0];
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        let grader = Grader::new(sandbox, [&suite]);
        let missing: Vec<_> = grader.missing().collect();
        assert!(missing.is_empty(), "{missing:?}");
        let limits = Limits::default();
        let right = grader.grade_reference(problem, &limits).unwrap();
        assert_eq!(right.verdict, Verdict::Passed, "{}", right.output);
        let both = [Verdict::Failed, Verdict::Failed];
        let cases = grader.cases_of_broken(problem, &limits).unwrap();
        assert_eq!(cases, both);

        // Right for lists of one, where it adds nothing.
        let answer = FIXED.replace(
            "return found",
            "if (found.size() > 1) found.add(node); return found",
        );
        let program = complete_program(problem, &answer);
        let graded = grader.grade_program(problem, &program, &limits).unwrap();
        assert_eq!(graded.cases, [Verdict::Failed, Verdict::Passed]);
        let told = "two fails: java.lang.AssertionError: expected 1, found 2";
        assert!(graded.output.contains(told), "{}", graded.output);

        // Without its imports it does not compile.
        let bare = complete_program(problem, &FIXED.replace("import java.util.*;", ""));
        let graded = grader.grade_program(problem, &bare, &limits).unwrap();
        assert_eq!(graded.verdict, Verdict::Failed);
        assert!(
            graded.output.contains("error: cannot find symbol"),
            "{}",
            graded.output
        );
    }
}
