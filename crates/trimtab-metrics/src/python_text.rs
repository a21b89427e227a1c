//! White space as Python's `str` methods see it.
//!
//! The metrics here are defined by Python programs; Rust's own idea of white space differs in the
//! separators U+001C to U+001F.

/// Whether `str.isspace` holds for the character.
pub(crate) fn is_space(character: char) -> bool {
    matches!(
        character,
        '\t'..='\r'
            | '\u{1c}'..='\u{20}'
            | '\u{85}'
            | '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
    )
}

/// `str.strip()`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.rstrip()`.
pub(crate) fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `str.split()`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_of_files_count_as_space() {
        assert_eq!(strip("\u{1c} a\u{1f}b \n"), "a\u{1f}b");
        assert_eq!(strip_end(" a\u{3000}"), " a");
        let found: Vec<&str> = words(" a\u{1d}b\u{200b}c \t").collect();
        // A zero-width space is no space, in neither language.
        assert_eq!(found, ["a", "b\u{200b}c"]);
    }
}
