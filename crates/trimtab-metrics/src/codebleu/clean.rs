//! Comments out, before code is parsed.
//!
//! One rule serves all languages but Python and Ruby, as in the reference package: `//` and `/* */`
//! become a space, quotes of either kind protect what they enclose, and lines that are left blank go.

use super::{Language, python_clean};
use crate::python_text::strip;
use std::borrow::Cow;

/// The code as it is parsed.
///
/// Python that its own tokenizer would refuse is left as it is.
pub(super) fn clean(code: &str, language: Language) -> Cow<'_, str> {
    match language {
        Language::Python => python_clean::clean(code).map_or(Cow::Borrowed(code), Cow::Owned),
        Language::Ruby => Cow::Borrowed(code),
        // One line without a slash: there is nothing to take out.
        _ if !code.contains(['/', '\n']) && !strip(code).is_empty() => Cow::Borrowed(code),
        _ => Cow::Owned(without_blank_lines(&without_comments(code))),
    }
}

pub(super) fn without_blank_lines(code: &str) -> String {
    let lines: Vec<&str> = code
        .split('\n')
        .filter(|line| !strip(line).is_empty())
        .collect();
    lines.join("\n")
}

/// What has no end from here on: looking again would read the rest of the text once more each time.
#[derive(Default)]
struct Endless {
    comment: bool,
    single: bool,
    double: bool,
}

fn without_comments(code: &str) -> String {
    let bytes = code.as_bytes();
    let mut cleaned = String::with_capacity(code.len());
    let mut endless = Endless::default();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let (end, is_comment) = match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'/')) => (Some(end_of_line(bytes, at)), true),
            (b'/', Some(b'*')) if !endless.comment => {
                let end = end_of_comment(bytes, at + 2);
                endless.comment = end.is_none();
                (end, true)
            }
            (b'\'', _) if !endless.single => {
                let end = end_of_quote(bytes, at);
                endless.single = end.is_none();
                (end, false)
            }
            (b'"', _) if !endless.double => {
                let end = end_of_quote(bytes, at);
                endless.double = end.is_none();
                (end, false)
            }
            _ => (None, false),
        };
        if let (Some(end), true) = (end, is_comment) {
            cleaned.push_str(&code[copied..at]);
            cleaned.push(' ');
            copied = end;
        }
        at = end.unwrap_or(at + 1);
    }
    cleaned.push_str(&code[copied..]);
    cleaned
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    let rest = bytes[from..].iter();
    rest.take_while(|&&byte| byte != b'\n').count() + from
}

fn end_of_comment(bytes: &[u8], from: usize) -> Option<usize> {
    let mut pairs = bytes[from..].windows(2);
    pairs.position(|pair| pair == b"*/").map(|n| from + n + 2)
}

/// Behind the quote that closes the one at `from`; a backslash hides what follows it.
fn end_of_quote(bytes: &[u8], from: usize) -> Option<usize> {
    let quote = bytes[from];
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            byte if byte == quote => return Some(at + 1),
            // The second byte may begin a longer character, whose other bytes are no quotes.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, expected: &str) {
        assert_eq!(clean(code, Language::Java), expected);
    }

    #[test]
    fn comments_become_a_space_and_blank_lines_go() {
        check("int a; // first\n\n// only\nint b;", "int a;  \nint b;");
        check("int /* a\n b */ c;", "int   c;");
        check("a /* open", "a /* open");
    }

    #[test]
    fn quotes_protect_what_looks_like_a_comment() {
        check(
            r#"s = "http://x \" // y"; // z"#,
            r#"s = "http://x \" // y";  "#,
        );
        check("c = '\"'; // d", "c = '\"';  ");
        // An open quote protects nothing.
        check("it's // d", "it's  ");
        check("é = \"\\é//\"", "é = \"\\é//\"");
    }

    #[test]
    fn ruby_keeps_its_comments() {
        assert_eq!(clean("a # b\n\nc", Language::Ruby), "a # b\n\nc");
    }

    #[test]
    fn many_open_quotes_take_linear_time() {
        // Quadratic work would be some 10^10 steps: the test would not end.
        let open = format!("'{}", "\\'".repeat(120_000));
        assert!(clean(&open, Language::Java) == open, "an open quote stays");
        let open = "/* ".repeat(80_000);
        assert!(
            clean(&open, Language::Java) == open,
            "an open comment stays"
        );
    }
}
