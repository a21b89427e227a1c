//! A program in any language, and the files that it becomes inside the sandbox.

use crate::SandboxError;

/// A solution with its tests.
///
/// Python runs the tests after the solution in its namespace, as [`PythonCheck`](crate::PythonCheck)
/// does. In the other languages the tests stand behind the solution in one file, so that they may
/// close a class that the solution leaves open; Java and C# need exactly one main method in all
/// files together, and Rust its tests as `#[test]` functions. In Java a support file
/// `TrimtabRunner.java` has the main method that counts, and there may be others; such a program can
/// be [built](crate::Sandbox::build) once and run often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// The program text of the solution.
    pub solution: &'a str,
    /// The program text of the tests.
    pub tests: &'a str,
    /// Further files that solution and tests use: modules in Python, classes in Java and C#.
    pub support: &'a [SourceFile],
}

/// A file beside the program.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Where it lies, relative to the program: letters, digits and `_ - . /` only.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// Whether the path stays where it belongs.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if self.path.len() <= 200 && self.path.split('/').all(is_plain) {
            Ok(())
        } else {
            Err(SandboxError::FilePath {
                path: self.path.chars().take(200).collect(),
            })
        }
    }
}

impl Program<'_> {
    /// The solution and then the tests.
    pub(crate) fn joined(&self) -> String {
        format!("{}\n{}\n", self.solution, self.tests)
    }

    /// The solution behind one line that defines the support files as modules.
    pub(crate) fn python_solution(&self) -> Result<String, SandboxError> {
        let mut text = String::new();
        for file in self.support {
            let Some(module) = file.path.strip_suffix(".py").filter(|name| is_name(name)) else {
                return Err(SandboxError::FilePath {
                    path: file.path.clone(),
                });
            };
            let (name, body) = (python_literal(module), python_literal(&file.text));
            text.extend(
                [
                    &format!("import sys; sys.modules[{name}] = type(sys)({name}); "),
                    &format!("exec({body}, sys.modules[{name}].__dict__); "),
                ]
                .map(String::as_str),
            );
        }
        if !text.is_empty() {
            text.push_str("del sys\n");
        }
        text.push_str(self.solution);
        Ok(text)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The text as a string literal on one line.
fn python_literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\0' => literal.push_str("\\0"),
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

/// The name of the public class of a file, which the file must have too; `Program` without one.
pub(crate) fn public_class(source: &str) -> &str {
    source
        .lines()
        .find_map(public_class_of_line)
        .unwrap_or("Program")
}

fn public_class_of_line(line: &str) -> Option<&str> {
    // What is indented lies inside another class.
    let mut words = line
        .strip_prefix("public ")?
        .split_whitespace()
        .skip_while(|word| matches!(*word, "final" | "abstract" | "strictfp" | "sealed"));
    if !matches!(words.next()?, "class" | "interface" | "enum" | "record") {
        return None;
    }
    let name = words.next()?;
    let end = name
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    Some(&name[..end]).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_where_it_belongs() {
        let check = |path: &str| {
            let path = path.to_owned();
            SourceFile {
                path,
                text: String::new(),
            }
            .check()
        };
        assert!(check("java_programs/Node.java").is_ok());
        for path in ["../x", "/x", "a//b", "", ".said", "a b", "a/../b", "a\0b"] {
            assert!(check(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn the_public_class_names_the_file() {
        assert_eq!(public_class("import x;\npublic class Main {\n"), "Main");
        assert_eq!(public_class("public final class A<T> {"), "A");
        assert_eq!(public_class("public class B{"), "B");
        assert_eq!(
            public_class("class A {\n    public static class B {}\n}"),
            "Program"
        );
        assert_eq!(public_class("public static void x"), "Program");
        assert_eq!(public_class(""), "Program");
    }

    #[test]
    fn support_becomes_modules_on_one_line() {
        let support = [SourceFile {
            path: "node.py".into(),
            text: "A = \"\\\"\n".into(),
        }];
        let program = Program {
            solution: "x = 1\n",
            tests: "",
            support: &support,
        };
        assert_eq!(
            program.python_solution().unwrap(),
            "import sys; sys.modules[\"node\"] = type(sys)(\"node\"); \
             exec(\"A = \\\"\\\\\\\"\\n\", sys.modules[\"node\"].__dict__); del sys\nx = 1\n"
        );
    }
}
