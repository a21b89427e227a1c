//! Telling a program that is wrong from one that only uses names which are defined elsewhere: a method
//! taken out of its project cannot know its own field, and neither can the compiler.

use trimtab_sandbox::Language;

/// What `javac` says of names that it does not know.
const JAVA: [&str; 3] = [
    "cannot find symbol",
    "does not exist",
    "method does not override or implement a method from a supertype",
];

/// What `mcs` and `csc` say: unknown types, names, members and namespaces, nothing to override.
const CSHARP: [&str; 8] = [
    "CS0246", "CS0103", "CS0234", "CS1061", "CS0117", "CS0115", "CS0400", "CS0432",
];

/// What `rustc` says: unknown names, types, modules, traits and their members, macros.
const RUST: [&str; 8] = [
    "E0425", "E0412", "E0433", "E0432", "E0405", "E0407", "E0422", "E0531",
];

/// Whether a compiler's output holds errors, and none but of names that it does not know.
pub(crate) fn only_unknown_names(language: Language, output: &str) -> bool {
    let mut errors = output
        .lines()
        .filter(|line| is_error(language, line))
        .peekable();
    errors.peek().is_some() && errors.all(|line| is_unknown_name(language, line))
}

fn is_error(language: Language, line: &str) -> bool {
    match language {
        Language::Java => line.contains(": error: "),
        Language::CSharp => line.contains("error CS"),
        Language::Rust => {
            let is_error = line.starts_with("error[") || line.starts_with("error:");
            // The last line only counts them.
            is_error && !line.starts_with("error: aborting due to")
        }
        Language::Python | Language::JavaScript => false,
    }
}

fn is_unknown_name(language: Language, line: &str) -> bool {
    let known: &[&str] = match language {
        Language::Java => &JAVA,
        Language::CSharp => &CSHARP,
        Language::Rust => &RUST,
        Language::Python | Language::JavaScript => &[],
    };
    known.iter().any(|error| line.contains(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_no_fault_of_the_program() {
        let java = "A.java:3: error: cannot find symbol\n  symbol: variable x\n\
                    A.java:4: error: package org.a does not exist\n2 errors\n";
        assert!(only_unknown_names(Language::Java, java));
        let csharp = "a.cs(2,9): error CS0246: The type or namespace name `Foo' could not be found\n\
                      Compilation failed: 1 error(s), 0 warnings\n";
        assert!(only_unknown_names(Language::CSharp, csharp));
        let rust = "error[E0425]: cannot find value `x` in this scope\n\
                    error: aborting due to 1 previous error\n";
        assert!(only_unknown_names(Language::Rust, rust));
    }

    #[test]
    fn any_other_error_is() {
        let java = "A.java:3: error: cannot find symbol\nA.java:9: error: ';' expected\n";
        assert!(!only_unknown_names(Language::Java, java));
        assert!(!only_unknown_names(
            Language::CSharp,
            "a.cs(2,9): error CS1525: Unexpected"
        ));
        assert!(!only_unknown_names(
            Language::Rust,
            "error[E0308]: mismatched types\n"
        ));
        // A compiler that was killed says nothing.
        assert!(!only_unknown_names(Language::Java, ""));
        assert!(!only_unknown_names(Language::Python, "error"));
    }
}
