//! Pieces of Python for the tests of suites.

/// The text as a Python string literal on one line: what JSON writes is one.
pub(super) fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether `text` has the line of a function's definition.
pub(super) fn defines(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        line.trim_start()
            .strip_prefix("def ")
            .and_then(|rest| rest.trim_start().strip_prefix(name))
            .is_some_and(|rest| rest.trim_start().starts_with('('))
    })
}

/// The names that are called in `text`, in their order.
pub(super) fn calls(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices('(').filter_map(move |(end, _)| {
        let before = text[..end].trim_end();
        let start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| is_name(*c))
            .last()
            .map(|(idx, _)| idx)?;
        Some(&before[start..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_stays_on_its_line() {
        assert_eq!(literal("a\"\\\n\u{1}ä"), r#""a\"\\\n\u0001ä""#);
    }

    #[test]
    fn definitions_and_calls_are_found() {
        assert!(defines("x = 1\ndef  f (a):\n", "f"));
        assert!(!defines("def fg(a):", "f"));
        let found: Vec<_> = calls("assert set(f (1)) == (g(2))").collect();
        assert_eq!(found, ["set", "f", "g"]);
    }
}
