//! How BLEU cuts a text into words: sacreBLEU's `13a`, `intl` and `none`.
//!
//! Source: the scripts `mteval-v13a.pl` and `mteval-v14.pl` of NIST, in the form that sacreBLEU
//! 2.6.0 gives them.

use crate::python_text::strip_end;
use regex::Regex;
use std::{borrow::Cow, sync::LazyLock};

/// How a text is cut into words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenization {
    /// Punctuation of ASCII stands apart, except within numbers.
    #[default]
    V13a,
    /// Punctuation and symbols of all scripts stand apart, except within numbers.
    International,
    /// White space alone separates.
    None,
}

impl Tokenization {
    /// The name in signatures and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::International => "intl",
            Self::None => "none",
        }
    }

    /// Puts spaces between words; the result is then split at white space.
    pub(super) fn apply(self, text: &str) -> Cow<'_, str> {
        let text = strip_end(text);
        match self {
            Self::V13a => Cow::Owned(tokenize_13a(text)),
            Self::International => Cow::Owned(tokenize_international(text)),
            Self::None => Cow::Borrowed(text),
        }
    }
}

fn tokenize_13a(text: &str) -> String {
    let mut line = text
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ");
    if line.contains('&') {
        line = line
            .replace("&quot;", "\"")
            .replace("&amp;", "&")
            .replace("&lt;", "<")
            .replace("&gt;", ">");
    }
    let line = set_apart(&format!(" {line} "));
    let is_digit = |c: char| c.is_ascii_digit();
    let is_point = |c: char| matches!(c, '.' | ',');
    let line = space_pairs(
        &line,
        |a, b| !is_digit(a) && is_point(b),
        [false, true, true],
    );
    let line = space_pairs(
        &line,
        |a, b| is_point(a) && !is_digit(b),
        [true, true, false],
    );
    space_pairs(&line, |a, b| is_digit(a) && b == '-', [false, true, true])
}

/// Spaces around every ASCII punctuation mark but `'`, `,`, `-` and `.`.
fn set_apart(line: &str) -> String {
    let mut spaced = String::with_capacity(line.len() * 2);
    for character in line.chars() {
        let stands_apart = matches!(
            character,
            '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/'
        );
        if stands_apart {
            spaced.extend([' ', character, ' ']);
        } else {
            spaced.push(character);
        }
    }
    spaced
}

/// Writes spaces before, within and after pairs of characters, from the left, without overlap.
fn space_pairs(line: &str, is_pair: impl Fn(char, char) -> bool, spaces: [bool; 3]) -> String {
    let mut spaced = String::with_capacity(line.len() * 2);
    let mut characters = line.chars().peekable();
    while let Some(first) = characters.next() {
        let Some(second) = characters.next_if(|&second| is_pair(first, second)) else {
            spaced.push(first);
            continue;
        };
        let parts = [None, Some(first), Some(second)];
        for (part, is_spaced_after) in parts.into_iter().zip(spaces) {
            spaced.extend(part);
            spaced.extend(is_spaced_after.then_some(' '));
        }
    }
    spaced
}

/// Punctuation after and before what is no number, then symbols.
static INTERNATIONAL: LazyLock<[(Regex, &str); 3]> = LazyLock::new(|| {
    let compiled = |pattern| Regex::new(pattern).expect("the pattern is a constant");
    [
        (compiled(r"(\P{N})(\p{P})"), "$1 $2 "),
        (compiled(r"(\p{P})(\P{N})"), " $1 $2"),
        (compiled(r"(\p{S})"), " $1 "),
    ]
});

fn tokenize_international(text: &str) -> String {
    let mut line = text.to_owned();
    for (pattern, replacement) in INTERNATIONAL.iter() {
        line = pattern.replace_all(&line, *replacement).into_owned();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python_text::words;

    #[track_caller]
    fn check(tokenization: Tokenization, text: &str, expected: &[&str]) {
        let line = tokenization.apply(text);
        assert_eq!(words(&line).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn points_within_numbers_stay() {
        check(
            Tokenization::V13a,
            "f(3.14,x)-2 &lt; a.b",
            &["f", "(", "3.14", ",", "x", ")", "-2", "<", "a", ".", "b"],
        );
        check(
            Tokenization::V13a,
            "1-2, it's 5.",
            &["1", "-", "2", ",", "it's", "5", "."],
        );
    }

    #[test]
    fn symbols_of_other_scripts_stand_apart() {
        // The first mark has no character before it, and a digit behind it: it stays.
        let text = "«2.5» a+b。";
        check(
            Tokenization::International,
            text,
            &["«2.5", "»", "a", "+", "b", "。"],
        );
        check(Tokenization::V13a, "a。", &["a。"]);
    }

    #[test]
    fn nothing_is_cut_without_tokenization() {
        check(Tokenization::None, "f(x);  y\n", &["f(x);", "y"]);
    }
}
