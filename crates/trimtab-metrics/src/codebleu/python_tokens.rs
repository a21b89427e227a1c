//! Cuts Python code into tokens where CPython 3.11's `tokenize` module does.
//!
//! Source: <https://docs.python.org/3.11/library/tokenize.html> and the lexical analysis of the
//! language reference, <https://docs.python.org/3.11/reference/lexical_analysis.html>. Only the kinds
//! that matter here are told apart; numbers and names need no border between them, because both are
//! written back as they are.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Comment,
    String,
    Indent,
    /// The end of a statement; other line ends are [`Self::Other`].
    Newline,
    Other,
}

/// A piece of the code with its place: lines from 1, columns in characters from 0.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a [char],
    pub(super) start: (usize, usize),
    pub(super) end: (usize, usize),
}

/// Tells every token to `each`; `None` where the tokenizer raises an error.
pub(super) fn tokenize(code: &str, each: impl FnMut(Token<'_>)) -> Option<()> {
    let mut tokenizer = Tokenizer {
        each,
        line_number: 0,
        n_open: 0,
        is_continued: false,
        open: None,
        indents: vec![0],
        unclosed: Vec::new(),
    };
    let mut last_line = Vec::new();
    for line in code.split_inclusive('\n') {
        let line: Vec<char> = line.chars().collect();
        tokenizer.line_number += 1;
        if tokenizer.read_line(&line)? == Flow::Stop {
            tokenizer.end_last_line(&last_line);
            return Some(());
        }
        last_line = line;
    }
    tokenizer.line_number += 1;
    // The end of the text within a string or brackets is an error.
    if tokenizer.open.is_some() || tokenizer.n_open != 0 || tokenizer.is_continued {
        return None;
    }
    tokenizer.end_last_line(&last_line);
    Some(())
}

#[derive(PartialEq, Eq)]
enum Flow {
    Go,
    /// A last line of white space ends the text.
    Stop,
}

/// A string that goes on in the next line.
struct OpenString {
    text: Vec<char>,
    start: (usize, usize),
    quote: char,
    is_triple: bool,
}

struct Tokenizer<F> {
    each: F,
    line_number: usize,
    /// Open brackets; closing ones without an opening one make it negative.
    n_open: i64,
    /// The line before ended with a backslash.
    is_continued: bool,
    open: Option<OpenString>,
    /// Columns of the blocks that are open.
    indents: Vec<usize>,
    /// Quotes that nothing closes in the rest of this line: looking again would read it once more
    /// for each of them.
    unclosed: Vec<char>,
}

impl<F: FnMut(Token<'_>)> Tokenizer<F> {
    fn tell(&mut self, kind: TokenKind, line: &[char], start: usize, end: usize) {
        let line_number = self.line_number;
        (self.each)(Token {
            kind,
            text: &line[start..end],
            start: (line_number, start),
            end: (line_number, end),
        });
    }

    fn read_line(&mut self, line: &[char]) -> Option<Flow> {
        let mut at = 0;
        self.unclosed.clear();
        if let Some(open) = self.open.take() {
            match self.continue_string(open, line) {
                Some(end) => at = end,
                None => return Some(Flow::Go),
            }
        } else if self.n_open == 0 && !self.is_continued {
            match self.begin_statement(line)? {
                Begin::At(start) => at = start,
                Begin::Done => return Some(Flow::Go),
                Begin::Stop => return Some(Flow::Stop),
            }
        } else {
            self.is_continued = false;
        }
        while at < line.len() {
            at = self.read_token(line, at);
        }
        Some(Flow::Go)
    }

    /// Where the string ends in this line, or `None` if the whole line belongs to it.
    fn continue_string(&mut self, mut open: OpenString, line: &[char]) -> Option<usize> {
        let end = end_of_string(line, 0, open.quote, open.is_triple);
        open.text.extend(&line[..end.unwrap_or(line.len())]);
        if end.is_none() && (open.is_triple || joins_next_line(line)) {
            self.open = Some(open);
            return None;
        }
        let kind = match end {
            Some(_) => TokenKind::String,
            // The line ends within quotes: an error token, but no error.
            None => TokenKind::Other,
        };
        (self.each)(Token {
            kind,
            text: &open.text,
            start: open.start,
            end: (self.line_number, end.unwrap_or(line.len())),
        });
        end
    }

    fn begin_statement(&mut self, line: &[char]) -> Option<Begin> {
        let mut column = 0;
        let mut at = 0;
        while let Some(character) = line.get(at) {
            match character {
                ' ' => column += 1,
                '\t' => column = (column / 8 + 1) * 8,
                '\u{c}' => column = 0,
                _ => break,
            }
            at += 1;
        }
        match line.get(at) {
            None => return Some(Begin::Stop),
            Some('#') => {
                let text = &line[at..];
                let n_ends = text.iter().rev().take_while(|c| matches!(c, '\r' | '\n'));
                let end = line.len() - n_ends.count();
                self.tell(TokenKind::Comment, line, at, end);
                self.tell(TokenKind::Other, line, end, line.len());
                return Some(Begin::Done);
            }
            Some('\r' | '\n') => {
                self.tell(TokenKind::Other, line, at, line.len());
                return Some(Begin::Done);
            }
            Some(_) => {}
        }
        self.indent(line, at, column)?;
        Some(Begin::At(at))
    }

    fn indent(&mut self, line: &[char], at: usize, column: usize) -> Option<()> {
        if self.indents.last().is_some_and(|&outer| column > outer) {
            self.indents.push(column);
            self.tell(TokenKind::Indent, line, 0, at);
        }
        while self.indents.last().is_some_and(|&block| column < block) {
            self.indents.pop();
            // Blocks lie in rising columns, so one that is passed over is not there.
            if self.indents.last().is_some_and(|&block| column > block) {
                return None;
            }
            self.tell(TokenKind::Other, line, at, at);
        }
        Some(())
    }

    /// Reads the token at `at` and returns where it ends.
    fn read_token(&mut self, line: &[char], at: usize) -> usize {
        let n_blank = line[at..]
            .iter()
            .take_while(|c| matches!(c, ' ' | '\u{c}' | '\t'));
        let start = at + n_blank.count();
        if start == line.len() {
            return start;
        }
        if let Some(quote_at) = quote_after_prefix(line, start)
            && let Some(end) = self.read_string(line, start, quote_at)
        {
            return end;
        }
        let rest = &line[start..];
        let length_of_word = rest.iter().take_while(|c| is_word(**c)).count();
        let (kind, length) = match rest {
            ['\\', '\n', ..] | ['\\', '\r', '\n', ..] => {
                self.is_continued = true;
                return start + if rest[1] == '\n' { 2 } else { 3 };
            }
            ['\n', ..] => (self.kind_of_line_end(), 1),
            ['\r', '\n', ..] => (self.kind_of_line_end(), 2),
            ['#', ..] => {
                let is_part = |c: &&char| !matches!(c, '\r' | '\n');
                (TokenKind::Comment, rest.iter().take_while(is_part).count())
            }
            _ if length_of_word > 0 => (TokenKind::Other, length_of_word),
            ['!', '=', ..] => (TokenKind::Other, 2),
            [sign, ..] if is_sign(*sign) => {
                self.n_open += match sign {
                    '(' | '[' | '{' => 1,
                    ')' | ']' | '}' => -1,
                    _ => 0,
                };
                (TokenKind::Other, 1)
            }
            _ => {
                // White space before what is no token is kept as it is.
                self.tell(TokenKind::Other, line, at, start + 1);
                return start + 1;
            }
        };
        self.tell(kind, line, start, start + length);
        start + length
    }

    /// Reads a string whose first quote is at `quote_at`, if it is one.
    fn read_string(&mut self, line: &[char], start: usize, quote_at: usize) -> Option<usize> {
        let quote = line[quote_at];
        if self.unclosed.contains(&quote) {
            return None;
        }
        let is_triple = line[quote_at..].starts_with(&[quote; 3]);
        let from = quote_at + if is_triple { 3 } else { 1 };
        let end = match end_of_string(line, from, quote, is_triple) {
            Some(end) => end,
            None if is_triple || joins_next_line_within(line, from, quote) => {
                self.open = Some(OpenString {
                    text: line[start..].to_vec(),
                    start: (self.line_number, start),
                    quote,
                    is_triple,
                });
                return Some(line.len());
            }
            None => {
                self.unclosed.push(quote);
                return None;
            }
        };
        self.tell(TokenKind::String, line, start, end);
        Some(end)
    }

    fn kind_of_line_end(&self) -> TokenKind {
        if self.n_open > 0 {
            TokenKind::Other
        } else {
            TokenKind::Newline
        }
    }

    /// A text that does not end its last line gets a line end that holds nothing.
    fn end_last_line(&mut self, last_line: &[char]) {
        let is_open = last_line
            .last()
            .is_some_and(|end| !matches!(end, '\r' | '\n'));
        let text: String = last_line.iter().collect();
        if !is_open || crate::python_text::strip(&text).starts_with('#') {
            return;
        }
        let place = (self.line_number - 1, last_line.len());
        (self.each)(Token {
            kind: TokenKind::Newline,
            text: &[],
            start: place,
            end: place,
        });
    }
}

enum Begin {
    /// Tokens start here.
    At(usize),
    /// A comment or a blank line.
    Done,
    /// White space without a line end.
    Stop,
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn is_sign(character: char) -> bool {
    matches!(character, '%'..='/' | ':'..='>' | '@' | '[' | ']' | '^' | '{'..='~')
        && character != '\''
}

/// Where the quote of a string stands that starts at `start`, behind one of the prefixes that
/// Python knows.
fn quote_after_prefix(line: &[char], start: usize) -> Option<usize> {
    let is_quote = |idx: usize| matches!(line.get(idx), Some('\'' | '"'));
    let letter = |idx: usize| line.get(idx).map(char::to_ascii_lowercase);
    let n_letters = match (letter(start)?, letter(start + 1)) {
        ('\'' | '"', _) => 0,
        ('b' | 'r' | 'u' | 'f', _) if is_quote(start + 1) => 1,
        ('b' | 'f', Some('r')) | ('r', Some('b' | 'f')) if is_quote(start + 2) => 2,
        _ => return None,
    };
    Some(start + n_letters)
}

/// Behind the closing quotes; `None` where they do not come, or a backslash ends the line first.
fn end_of_string(line: &[char], from: usize, quote: char, is_triple: bool) -> Option<usize> {
    let mut at = from;
    while let Some(&character) = line.get(at) {
        if character == '\\' {
            if matches!(line.get(at + 1), None | Some('\n')) {
                return None;
            }
            at += 2;
        } else if character == quote && (!is_triple || line[at..].starts_with(&[quote; 3])) {
            return Some(at + if is_triple { 3 } else { 1 });
        } else {
            at += 1;
        }
    }
    None
}

/// Whether a line ends with a backslash.
fn joins_next_line(line: &[char]) -> bool {
    line.ends_with(&['\\', '\n']) || line.ends_with(&['\\', '\r', '\n'])
}

/// Whether the string that is open from `from` on goes on in the next line: the last backslash
/// escapes the line end, and is not itself escaped.
fn joins_next_line_within(line: &[char], from: usize, quote: char) -> bool {
    let mut at = from;
    while let Some(&character) = line.get(at) {
        match character {
            '\\' if matches!(line[at + 1..], ['\n'] | ['\r', '\n']) => return true,
            '\\' => at += 2,
            '\n' => return false,
            _ if character == quote => return false,
            _ => at += 1,
        }
    }
    false
}
