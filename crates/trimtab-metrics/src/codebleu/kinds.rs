//! What the kinds of a grammar's nodes mean for data flow, looked up once for each grammar.

use super::{Language, dataflow::Rules};
use std::{collections::HashMap, sync::OnceLock};

/// What a node is for the walk over statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `a = 0` in a declaration, or a parameter with its default.
    Definition,
    /// `a = b`.
    Assignment,
    /// `a++`.
    Increment,
    /// One of several ways.
    Branch,
    /// `for` over a counter.
    For,
    /// `for` over values.
    ForEach,
    /// `while` and the like.
    Loop,
    /// Anything else: its children are walked in order.
    Plain,
}

/// What is known of one kind of node.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "seven independent facts of a grammar, any of which may hold"
)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The same for all kinds of one name.
    pub(super) id: u32,
    pub(super) is_named: bool,
    pub(super) role: Role,
    /// A literal that is one token, whatever lies within.
    pub(super) is_text: bool,
    pub(super) is_comment: bool,
    /// Has its own state after a branch.
    pub(super) is_way: bool,
    pub(super) names_else: bool,
    /// Walked before its siblings.
    pub(super) comes_first: bool,
    /// Behind the first child of this kind, the children of a `for` are walked once more.
    pub(super) ends_header: bool,
}

/// The kinds of one grammar.
#[derive(Debug)]
pub(super) struct Kinds {
    by_id: Vec<Kind>,
    error: Kind,
    /// The statement that is put around expressions in the header of a `for` of JavaScript.
    pub(super) statement: Option<u32>,
}

static TABLES: [OnceLock<Kinds>; Language::ALL.len()] = [const { OnceLock::new() }; 10];

impl Kinds {
    /// The table of a language; made at the first call.
    pub(super) fn of(language: Language) -> &'static Self {
        TABLES[language as usize].get_or_init(|| Self::read(language))
    }

    /// The kind of a node; tree-sitter gives errors a number far outside the table.
    pub(super) fn get(&self, kind_id: u16) -> &Kind {
        self.by_id.get(usize::from(kind_id)).unwrap_or(&self.error)
    }

    fn read(language: Language) -> Self {
        let grammar = language.tree_sitter();
        let rules = Rules::of(language);
        let mut ids = HashMap::new();
        let by_id = (0..grammar.node_kind_count())
            .map(|idx| {
                let name = grammar.node_kind_for_id(idx as u16).unwrap_or_default();
                let next = ids.len() as u32;
                let is_named = grammar.node_kind_is_named(idx as u16);
                Kind::new(name, *ids.entry(name).or_insert(next), is_named, rules)
            })
            .collect();
        let error = Kind::new("ERROR", ids.len() as u32, true, rules);
        let statement = ids.get("expression_statement").copied();
        Self {
            by_id,
            error,
            statement: statement.filter(|_| language == Language::JavaScript),
        }
    }
}

impl Kind {
    fn new(name: &'static str, id: u32, is_named: bool, rules: &Rules) -> Self {
        Self {
            name,
            id,
            is_named,
            role: rules.role(name),
            is_text: matches!(name, "string_literal" | "string" | "character_literal"),
            is_comment: name == "comment",
            is_way: rules.ways.contains(&name),
            names_else: name.contains("else"),
            comes_first: rules.first.contains(&name),
            ends_header: rules.header == Some(name),
        }
    }
}
