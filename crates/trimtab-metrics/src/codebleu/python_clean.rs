//! Comments and docstrings out of Python code, by the rules of Python's own `tokenize` module.
//!
//! The reference package writes the tokens back one by one, which moves white space: tabs between
//! tokens become spaces, and lines joined by a backslash become one line. Where CPython 3.11's
//! tokenizer fails, nothing is taken out. Strings are dropped where a statement begins with them.

use super::{
    clean::without_blank_lines,
    python_tokens::{Token, TokenKind, tokenize},
};

/// The code without comments and docstrings, or `None` where the tokenizer refuses it.
pub(super) fn clean(code: &str) -> Option<String> {
    let mut rebuilt = Rebuilt {
        code: String::with_capacity(code.len()),
        previous: TokenKind::Indent,
        line: 0,
        column: 0,
    };
    tokenize(code, |token| rebuilt.push(&token))?;
    Some(without_blank_lines(&rebuilt.code))
}

struct Rebuilt {
    code: String,
    previous: TokenKind,
    /// Where the last token ended.
    line: usize,
    column: usize,
}

impl Rebuilt {
    fn push(&mut self, token: &Token<'_>) {
        let (line, column) = token.start;
        if line > self.line {
            self.column = 0;
        }
        let gap = column.saturating_sub(self.column);
        self.code.extend(std::iter::repeat_n(' ', gap));
        let follows_statement = !matches!(self.previous, TokenKind::Indent | TokenKind::Newline);
        let is_kept = match token.kind {
            TokenKind::Comment => false,
            TokenKind::String => follows_statement && column > 0,
            TokenKind::Indent | TokenKind::Newline | TokenKind::Other => true,
        };
        if is_kept {
            self.code.extend(token.text);
        }
        self.previous = token.kind;
        (self.line, self.column) = token.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, expected: Option<&str>) {
        assert_eq!(clean(code).as_deref(), expected);
    }

    #[test]
    fn docstrings_and_comments_go() {
        check(
            "\"\"\"Module.\"\"\"\ndef f(a):\n    '''Doc\n    more'''\n    x = 'kept'  # why\n    return x",
            Some("def f(a):\n    x = 'kept'  \n    return x"),
        );
    }

    #[test]
    fn white_space_moves_as_in_the_reference() {
        check("x =\t1", Some("x = 1"));
        check("x = 1 + \\\n  2", Some("x = 1 +  2"));
        check("if a:\n\tb\n\tc", Some("if a:\n\tb\n c"));
    }

    #[test]
    fn what_the_tokenizer_refuses_is_told() {
        check("f(1", None);
        check("'''open", None);
        check("if a:\n    b\n  c", None);
        check("a)\nb", None);
    }

    #[test]
    fn unknown_characters_are_kept() {
        check("a = $ ?", Some("a = $ ?"));
        check("s = 'open\nb", Some("s = 'open\nb"));
        check("s = 'a\\\nb'\nc", Some("s = 'a\\\nb'\nc"));
        check("s = 'a\\\nb\nc", Some("s = 'a\\\nb\nc"));
    }

    #[test]
    fn raw_bytes_and_formatted_strings_are_strings() {
        check("rb'x'\nf'y'\na = Rb'z'\nu''' b '''", Some("a = Rb'z'"));
    }

    #[test]
    fn deep_and_long_lines_take_linear_time() {
        let long = "(".repeat(100_000) + &")".repeat(100_000);
        check(&long, Some(&long));
        let open = format!("'{}", "\\'".repeat(60_000));
        check(&open, Some(&open));
    }
}
