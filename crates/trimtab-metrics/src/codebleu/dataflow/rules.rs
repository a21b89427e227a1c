//! Which nodes of each grammar define, assign and branch.
//!
//! The names are those of the reference package. Some are of older grammars and match nothing in
//! these, so that, for one, assignments with `=` in JavaScript make no relation. C and C++ are read
//! with the rules of C#.

use super::super::{Language, kinds::Role};

/// What differs between languages.
#[derive(Debug)]
pub(in super::super) struct Rules {
    pub(super) language: Language,
    definitions: &'static [&'static str],
    assignments: &'static [&'static str],
    increments: &'static [&'static str],
    branches: &'static [&'static str],
    fors: &'static [&'static str],
    for_eachs: &'static [&'static str],
    loops: &'static [&'static str],
    /// Kinds that have their own state after a branch.
    pub(in super::super) ways: &'static [&'static str],
    /// Kinds that are walked before their siblings.
    pub(in super::super) first: &'static [&'static str],
    /// The kind behind which the children of a `for` are walked once more.
    pub(in super::super) header: Option<&'static str>,
    /// All that follows a way within a branch is a way too.
    pub(super) has_sticky_ways: bool,
    /// The state before a branch stays possible even if there is an `else`.
    pub(super) keeps_state_before: bool,
    /// Fields of a definition: name and value.
    pub(super) definition_fields: (&'static str, &'static str),
    /// Fields of a `for` over values.
    pub(super) for_each_fields: (&'static str, &'static str),
    /// Sides of an assignment are matched item by item.
    pub(super) pairs_sides: bool,
}

impl Rules {
    pub(in super::super) fn of(language: Language) -> &'static Self {
        match language {
            Language::Python => &PYTHON,
            Language::Java => &JAVA,
            Language::CSharp | Language::C | Language::Cpp => &C_SHARP,
            Language::JavaScript => &JAVASCRIPT,
            Language::Go => &GO,
            Language::Rust => &RUST,
            Language::Php => &PHP,
            Language::Ruby => &RUBY,
        }
    }

    pub(in super::super) fn role(&self, kind: &str) -> Role {
        let roles = [
            (self.definitions, Role::Definition),
            (self.assignments, Role::Assignment),
            (self.increments, Role::Increment),
            (self.branches, Role::Branch),
            (self.fors, Role::For),
            (self.for_eachs, Role::ForEach),
            (self.loops, Role::Loop),
        ];
        let found = roles.iter().find(|(kinds, _)| kinds.contains(&kind));
        found.map_or(Role::Plain, |(_, role)| *role)
    }
}

const NONE: Rules = Rules {
    language: Language::Java,
    definitions: &[],
    assignments: &[],
    increments: &[],
    branches: &[],
    fors: &[],
    for_eachs: &[],
    loops: &[],
    ways: &[],
    first: &[],
    header: None,
    has_sticky_ways: true,
    keeps_state_before: false,
    definition_fields: ("name", "value"),
    for_each_fields: ("name", "value"),
    pairs_sides: false,
};

const PYTHON: Rules = Rules {
    language: Language::Python,
    definitions: &["default_parameter"],
    assignments: &["assignment", "augmented_assignment", "for_in_clause"],
    branches: &["if_statement"],
    fors: &["for_statement"],
    loops: &["while_statement"],
    ways: &["elif_clause", "else_clause"],
    first: &["for_in_clause"],
    has_sticky_ways: false,
    pairs_sides: true,
    ..NONE
};

const JAVA: Rules = Rules {
    definitions: &["variable_declarator"],
    assignments: &["assignment_expression"],
    increments: &["update_expression"],
    branches: &["if_statement", "else"],
    fors: &["for_statement"],
    for_eachs: &["enhanced_for_statement"],
    loops: &["while_statement"],
    ways: &["if_statement", "else"],
    header: Some("local_variable_declaration"),
    ..NONE
};

const C_SHARP: Rules = Rules {
    language: Language::CSharp,
    definitions: &["variable_declarator"],
    assignments: &["assignment_expression"],
    increments: &["postfix_unary_expression"],
    branches: &["if_statement", "else"],
    fors: &["for_statement"],
    for_eachs: &["for_each_statement"],
    loops: &["while_statement"],
    ways: &["if_statement", "else"],
    header: Some("local_variable_declaration"),
    for_each_fields: ("left", "right"),
    ..NONE
};

const JAVASCRIPT: Rules = Rules {
    language: Language::JavaScript,
    definitions: &["variable_declarator"],
    assignments: &["assignment_pattern", "augmented_assignment_expression"],
    increments: &["update_expression"],
    branches: &["if_statement", "else"],
    fors: &["for_statement"],
    loops: &["while_statement"],
    ways: &["if_statement", "else"],
    header: Some("variable_declaration"),
    keeps_state_before: true,
    ..NONE
};

const GO: Rules = Rules {
    language: Language::Go,
    definitions: &["var_spec"],
    assignments: &["assignment_statement"],
    increments: &["inc_statement"],
    branches: &["if_statement", "else"],
    fors: &["for_statement"],
    ways: &["if_statement", "else"],
    header: Some("for_clause"),
    keeps_state_before: true,
    ..NONE
};

const RUST: Rules = Rules {
    language: Language::Rust,
    definitions: &["function_item"],
    assignments: &[
        "assignment_expression",
        "compound_assignment_expr",
        "let_expression",
    ],
    branches: &[
        "if_expression",
        "if_let_expression",
        "match_expression",
        "else",
    ],
    fors: &["for_expression"],
    loops: &[
        "while_expression",
        "while_let_expression",
        "loop_expression",
    ],
    ways: &[
        "if_expression",
        "if_let_expression",
        "match_expression",
        "else",
    ],
    ..NONE
};

const PHP: Rules = Rules {
    language: Language::Php,
    definitions: &["simple_parameter"],
    assignments: &["assignment_expression", "augmented_assignment_expression"],
    increments: &["update_expression"],
    branches: &["if_statement", "else_clause"],
    fors: &["for_statement"],
    for_eachs: &["foreach_statement"],
    loops: &["while_statement"],
    ways: &["if_statement", "else_clause"],
    header: Some("assignment_expression"),
    keeps_state_before: true,
    definition_fields: ("name", "default_value"),
    ..NONE
};

const RUBY: Rules = Rules {
    language: Language::Ruby,
    definitions: &["keyword_parameter"],
    assignments: &["assignment", "operator_assignment"],
    branches: &["if", "elsif", "else", "unless", "when"],
    fors: &["for"],
    loops: &["while_modifier", "until"],
    ways: &["if", "elsif", "else", "unless", "when"],
    has_sticky_ways: false,
    pairs_sides: true,
    ..NONE
};
