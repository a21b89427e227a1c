//! What a compiler is given for a text that may be a bare method.

use crate::code_text::without_comments;
use std::borrow::Cow;
use trimtab_sandbox::Language;

/// Words that begin the declaration of a type, in Java or C#.
const TYPE_WORDS: [&str; 7] = [
    "class",
    "interface",
    "enum",
    "record",
    "struct",
    "namespace",
    "@interface",
];

/// The text itself if it declares a type, or inside a class: Java and C# know no method outside one.
/// Imports stay above the class. Other languages take the text as it is.
pub fn compilation_unit(language: Language, program: &str) -> Cow<'_, str> {
    if !matches!(language, Language::Java | Language::CSharp) || declares_type(program) {
        return Cow::Borrowed(program);
    }
    let is_import = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("import ") || line.starts_with("using ") && line.trim_end().ends_with(';')
    };
    let (imports, rest): (Vec<&str>, Vec<&str>) = program.lines().partition(is_import);
    let (imports, rest) = (imports.join("\n"), rest.join("\n"));
    Cow::Owned(format!("{imports}\nclass Enclosing {{\n{rest}\n}}\n"))
}

/// Whether a word of [`TYPE_WORDS`] stands before the first bracket of the code.
fn declares_type(program: &str) -> bool {
    let code = without_comments(program);
    let lines = code.lines().map(str::trim_start);
    let lines = lines.filter(|line| {
        !["import ", "using ", "package "]
            .iter()
            .any(|word| line.starts_with(word))
    });
    let code = lines.collect::<Vec<_>>().join(" ");
    // Annotations may have brackets of their own.
    let head = code.split('{').next().unwrap_or_default();
    head.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '@'))
        .any(|word| TYPE_WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_method_is_put_into_a_class() {
        let unit = compilation_unit(
            Language::Java,
            "import java.util.List;\n/* a class of its own */\npublic int f(int a) { return a; }",
        );
        assert!(
            unit.starts_with("import java.util.List;\nclass Enclosing {\n"),
            "{unit}"
        );
        assert!(
            unit.ends_with("public int f(int a) { return a; }\n}\n"),
            "{unit}"
        );
        // A local class inside a method does not make it a type.
        let local = "void f() { class A {} }";
        assert!(compilation_unit(Language::CSharp, local).contains("Enclosing"));
    }

    #[test]
    fn a_declared_type_stays_as_it_is() {
        for program in [
            "public class A { int f() { return 1; } }",
            "// text\nusing System;\nnamespace N { class B {} }",
            "@Deprecated(since = \"1\") final record P(int x) {}",
        ] {
            assert!(matches!(
                compilation_unit(Language::Java, program),
                Cow::Borrowed(_)
            ));
        }
        let rust = "fn f() {}";
        assert_eq!(compilation_unit(Language::Rust, rust), rust);
    }
}
