//! Java and C# as code, text and comments: what counts brackets or looks for words must not be
//! misled by what a string or a comment says.

/// What a piece of a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    /// A string or a character, with its quotes.
    Text,
    Comment,
}

/// The source without its comments. Lines that had nothing else are left out.
pub(crate) fn without_comments(source: &str) -> String {
    // No source has this character, and it marks where a comment was.
    let marked: String = Pieces(source)
        .map(|(kind, text)| if kind == Kind::Comment { "\0" } else { text })
        .collect();
    let was_comment = |line: &&str| line.contains('\0') && line.trim_matches(blank).is_empty();
    let kept = marked.split('\n').filter(|line| !was_comment(line));
    let kept: Vec<String> = kept.map(|line| line.replace('\0', "")).collect();
    kept.join("\n")
}

/// The source without comments, strings and characters.
pub(crate) fn bare_code(source: &str) -> String {
    Pieces(source)
        .map(|(kind, text)| if kind == Kind::Code { text } else { " " })
        .collect()
}

fn blank(c: char) -> bool {
    c == '\0' || c.is_whitespace()
}

/// The source cut into pieces, in order and without a gap.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = (Kind, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let source = self.0;
        let first = source.chars().next()?;
        let (kind, end) = if let Some(rest) = source.strip_prefix("/*") {
            (Kind::Comment, rest.find("*/").map(|end| end + 4))
        } else if source.starts_with("//") {
            (Kind::Comment, source.find('\n'))
        } else if matches!(first, '"' | '\'') {
            (Kind::Text, end_of_text(source, first))
        } else {
            let starts_other = |(idx, c): &(usize, char)| match c {
                '"' | '\'' => true,
                '/' => source[*idx..].starts_with("//") || source[*idx..].starts_with("/*"),
                _ => false,
            };
            let found = source.char_indices().find(starts_other);
            (Kind::Code, found.map(|(idx, _)| idx))
        };
        let (piece, rest) = source.split_at(end.unwrap_or(source.len()));
        self.0 = rest;
        Some((kind, piece))
    }
}

/// Where a string or a character ends: behind its quote, or with its line.
fn end_of_text(source: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (idx, c) in source.char_indices().skip(1) {
        if c == '\n' {
            return Some(idx);
        }
        if c == quote && !is_escaped {
            return Some(idx + 1);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_with_their_lines_and_strings_stay() {
        let source = "/**\n * By whom.\n */\nclass A { // why\n    // all of it\n    \
                      String s = \"/* \\\" //\"; /* a */ char c = '\"';\n\n}\n";
        assert_eq!(
            without_comments(source),
            "class A { \n    String s = \"/* \\\" //\";  char c = '\"';\n\n}\n"
        );
        assert_eq!(without_comments("a /* b"), "a ");
        assert_eq!(without_comments("a // b\nc"), "a \nc");
    }

    #[test]
    fn bare_code_has_neither_text_nor_comments() {
        let code = bare_code("f('{', \"}\\\\\") /* } */ { // }\n a / b }");
        assert_eq!(code, "f( ,  )   {  \n a / b }");
        // An open string ends with its line.
        assert_eq!(bare_code("a \"b\nc '"), "a  \nc  ");
    }
}
