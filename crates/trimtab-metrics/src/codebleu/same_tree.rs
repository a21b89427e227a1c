//! Whether two programs are the same but for layout, comments, documentation strings and brackets
//! that change nothing.
//!
//! The trees are read in the order in which nodes begin, with a mark where each ends; names and
//! literals count as they are spelt. Nothing here recurses.

use super::{CodeBleuError, Language, MAX_CODE_BYTES};
use tree_sitter::{Node, Tree};

/// One step on the way through a tree.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Begin(u16),
    Leaf(u16, &'a str),
    End,
}

/// Whether `one` and `other` are the same program but for layout and comments; `None` where one of
/// them does not parse or is longer than [`MAX_CODE_BYTES`].
///
/// # Errors
///
/// [`CodeBleuError::Grammar`].
pub fn is_same_program(
    language: Language,
    one: &str,
    other: &str,
) -> Result<Option<bool>, CodeBleuError> {
    if MAX_CODE_BYTES < one.len().max(other.len()) {
        return Ok(None);
    }
    let mut parser = language.parser()?;
    let mut parse = |code: &str| {
        let tree = parser.parse(code, None);
        tree.filter(|tree| !tree.root_node().has_error())
    };
    let (Some(first), Some(second)) = (parse(one), parse(other)) else {
        return Ok(None);
    };
    Ok(Some(steps(&first, one) == steps(&second, other)))
}

fn steps<'a>(tree: &Tree, code: &'a str) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    // Of each open node, whether its end is marked.
    let mut open: Vec<bool> = Vec::new();
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        let is_left_out = is_comment(node) || is_documentation(node) || is_empty_bracket(node);
        let is_marked = !is_bracketed(node);
        if !is_left_out && cursor.goto_first_child() {
            if is_marked {
                steps.push(Step::Begin(node.kind_id()));
            }
            open.push(is_marked);
            continue;
        }
        if !is_left_out {
            let text = code.get(node.byte_range()).unwrap_or_default();
            steps.push(Step::Leaf(node.kind_id(), text));
        }
        while !cursor.goto_next_sibling() {
            match open.pop() {
                None => return steps,
                Some(true) => steps.push(Step::End),
                Some(false) => {}
            }
            cursor.goto_parent();
        }
    }
}

fn is_comment(node: Node<'_>) -> bool {
    node.is_extra() || node.kind().contains("comment")
}

/// An expression in brackets, which are left out with it: what they hold together is a node of its
/// own.
fn is_bracketed(node: Node<'_>) -> bool {
    node.kind() == "parenthesized_expression"
}

fn is_empty_bracket(node: Node<'_>) -> bool {
    matches!(node.kind(), "(" | ")") && node.parent().is_some_and(is_bracketed)
}

/// A string that stands first in a Python body.
fn is_documentation(node: Node<'_>) -> bool {
    if node.kind() != "expression_statement" || node.named_child_count() != 1 {
        return false;
    }
    let is_string = node
        .named_child(0)
        .is_some_and(|child| child.kind() == "string");
    let is_first = || {
        let mut before = node.prev_named_sibling();
        while let Some(sibling) = before {
            if !is_comment(sibling) {
                return false;
            }
            before = sibling.prev_named_sibling();
        }
        true
    };
    let is_body = node
        .parent()
        .is_some_and(|parent| matches!(parent.kind(), "block" | "module"));
    is_string && is_body && is_first()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(language: Language, one: &str, other: &str) -> Option<bool> {
        is_same_program(language, one, other).unwrap()
    }

    #[test]
    fn layout_comments_and_documentation_do_not_count() {
        let one = "def f(a):\n    \"\"\"Adds.\"\"\"\n    # one more\n    return (a + 1)\n";
        let other = "def f( a ):\n  return a+1";
        assert_eq!(same(Language::Python, one, other), Some(true));
        let java = "int f(int a) { /* x */ return (a + 1) * 2; }";
        let same_java = "int f(int a) {\n  return (a + 1) * 2; // y\n}";
        assert_eq!(same(Language::Java, java, same_java), Some(true));
    }

    #[test]
    fn names_literals_and_structure_do() {
        let one = "def f(a):\n    if a:\n        b()\n        c()\n";
        for other in [
            "def f(x):\n    if x:\n        b()\n        c()\n",
            "def f(a):\n    if a:\n        b()\n    c()\n",
            "def f(a):\n    if a:\n        b()\n        c(1)\n",
            "def f(a):\n    if a:\n        b()\n        'text'\n        c()\n",
        ] {
            assert_eq!(same(Language::Python, one, other), Some(false), "{other}");
        }
        let bracketed = "int f() { return (1 + 2) * 3; }";
        let plain = "int f() { return 1 + 2 * 3; }";
        assert_eq!(same(Language::Java, bracketed, plain), Some(false));
    }

    #[test]
    fn what_does_not_parse_is_not_judged() {
        assert_eq!(same(Language::Python, "def f(:", "def f(): pass"), None);
        let long = "x = 1\n".repeat(MAX_CODE_BYTES / 6 + 1);
        assert_eq!(same(Language::Python, &long, "x = 1"), None);
        // Deep nesting takes no stack.
        let deep = format!("x = {}1{}", "(".repeat(20_000), ")".repeat(20_000));
        assert_eq!(same(Language::Python, &deep, "x = 1"), Some(true));
    }
}
