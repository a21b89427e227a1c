//! The tokens of a tree: the leaves, with the text that the reference package sees in them.

use super::super::tree::FlatTree;
use crate::keyed_hash::Keyed;
use std::{borrow::Cow, collections::HashMap, ops::Range};

/// No token.
const NONE: u32 = u32::MAX;

/// The tokens of one text.
#[derive(Debug)]
pub(super) struct Tokens<'c> {
    /// By node: which token it is.
    token_of: Vec<u32>,
    /// By token: which spelling it has; none if that is the name of its kind, as for signs and keywords.
    spelled: Vec<u32>,
    /// By spelling.
    spellings: Vec<Cow<'c, str>>,
}

impl<'c> Tokens<'c> {
    /// Reads the leaves; `None` if one lies outside the text.
    pub(super) fn new(tree: &FlatTree<'_>, code: &'c str) -> Option<Self> {
        let lines = Lines::new(code);
        let mut tokens = Self {
            token_of: vec![NONE; tree.len()],
            spelled: Vec::new(),
            spellings: Vec::new(),
        };
        let n_expected = tree.len() / 8;
        let mut numbers: HashMap<Cow<'c, str>, u32, Keyed> =
            HashMap::with_capacity_and_hasher(n_expected, Keyed::default());
        let mut within = 0;
        for idx in 0..tree.len() {
            if idx < within || !is_token(tree, idx) {
                continue;
            }
            within = idx + tree.n_nodes_below(idx) + 1;
            tokens.token_of[idx] = tokens.spelled.len() as u32;
            let text = lines.slice(tree, idx)?;
            if tree.get(idx).kind.name == text {
                tokens.spelled.push(NONE);
                continue;
            }
            let spelling = *numbers.entry(text).or_insert_with_key(|text| {
                tokens.spellings.push(text.clone());
                tokens.spellings.len() as u32 - 1
            });
            tokens.spelled.push(spelling);
        }
        tokens.join_empty(tree);
        Some(tokens)
    }

    /// Tokens at the same place, as the parser puts in where something is missing, count as the
    /// last of them.
    fn join_empty(&mut self, tree: &FlatTree<'_>) {
        let mut behind: Option<(Range<usize>, u32)> = None;
        for idx in (0..tree.len()).rev() {
            let token = self.token_of[idx];
            if token == NONE {
                continue;
            }
            let place = tree.get(idx).node.byte_range();
            match &behind {
                Some((known, last)) if *known == place => self.token_of[idx] = *last,
                _ => behind = Some((place, token)),
            }
        }
    }

    /// The token that a node is.
    pub(super) fn of_node(&self, idx: usize) -> Option<u32> {
        let token = self.token_of[idx];
        (token != NONE).then_some(token)
    }

    /// The spelling of a name.
    pub(super) fn spelling(&self, token: u32) -> u32 {
        self.spelled[token as usize]
    }

    /// Whether a token is a name or a literal, and not a sign or a keyword.
    pub(super) fn is_name(&self, token: u32) -> bool {
        self.spelled[token as usize] != NONE
    }

    /// The text of a spelling.
    pub(super) fn text(&self, spelling: u32) -> &str {
        &self.spellings[spelling as usize]
    }

    pub(super) fn n_tokens(&self) -> usize {
        self.spelled.len()
    }

    pub(super) fn n_spellings(&self) -> usize {
        self.spellings.len()
    }
}

/// Leaves, and literals as a whole; comments are none.
fn is_token(tree: &FlatTree<'_>, idx: usize) -> bool {
    let kind = tree.get(idx).kind;
    (kind.is_text || !tree.has_children(idx)) && !kind.is_comment
}

/// The lines of a text, to be cut at the columns of nodes.
///
/// tree-sitter counts columns in bytes; the package cuts at the same numbers of characters. So a
/// token behind a letter outside ASCII is another piece of the line there, and has to be here.
struct Lines<'a> {
    lines: Vec<(&'a str, Option<Vec<usize>>)>,
}

impl<'a> Lines<'a> {
    fn new(code: &'a str) -> Self {
        let with_starts = |line: &'a str| {
            let starts = || line.char_indices().map(|(at, _)| at).collect();
            (line, (!line.is_ascii()).then(starts))
        };
        Self {
            lines: code.split('\n').map(with_starts).collect(),
        }
    }

    fn slice(&self, tree: &FlatTree<'_>, idx: usize) -> Option<Cow<'a, str>> {
        let (start, end) = {
            let node = tree.get(idx).node;
            (node.start_position(), node.end_position())
        };
        if start.row == end.row {
            return Some(self.cut(start.row, start.column, end.column)?.into());
        }
        let mut text = self.cut(start.row, start.column, usize::MAX)?.to_owned();
        for row in start.row + 1..end.row {
            text += self.lines.get(row)?.0;
        }
        text += self.cut(end.row, 0, end.column)?;
        Some(text.into())
    }

    /// A part of a line, as Python slices: what lies outside is empty.
    fn cut(&self, row: usize, from: usize, to: usize) -> Option<&'a str> {
        let (line, starts) = self.lines.get(row)?;
        let byte = |column: usize| match starts {
            None => column.min(line.len()),
            Some(starts) => starts.get(column).copied().unwrap_or(line.len()),
        };
        let (from, to) = (byte(from), byte(to));
        Some(&line[from..to.max(from)])
    }
}
