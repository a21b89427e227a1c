//! The syntax match: how many subtrees of the reference the hypothesis has too.
//!
//! Source: Ren et al. 2020, <https://arxiv.org/abs/2009.10297>, section 3.3. The package compares
//! each subtree of one text with each of the other as printed expressions; equal expressions get
//! equal numbers here, from the leaves up, so that the work grows with the size of the trees.

use super::{expressions::Expressions, kinds::Kinds, tree::FlatTree};
use std::collections::HashMap;

/// Marks nodes that the parser put in because they were missing.
const MISSING: u32 = u32::MAX;
/// Marks text that fits nowhere.
const UNEXPECTED: u32 = u32::MAX - 1;

impl Expressions {
    /// The expressions of the root and of all nodes that have children.
    pub(super) fn subtrees(&mut self, tree: &FlatTree<'_>, kinds: &Kinds) -> Vec<u32> {
        let mut ids = vec![0; tree.len()];
        let mut wrapped = Vec::new();
        let mut unnamed = Unnamed::new();
        let mut expression = Vec::new();
        // Children come behind their parent, so they are numbered before it.
        for idx in (0..tree.len()).rev() {
            expression.clear();
            begin(tree, idx, &mut expression);
            let n_head = expression.len();
            for child in tree.children(idx) {
                let mut id = ids[child];
                if let Some(statement) = kinds.statement
                    && is_bare_expression(tree, idx, child)
                {
                    id = self.number(&[statement, 0, id]);
                    wrapped.push(id);
                }
                add_child(tree, child, id, &unnamed, &mut expression);
            }
            if !is_printed(tree, idx) && expression.len() > n_head {
                unnamed.insert(idx, expression[n_head..].to_vec());
            }
            ids[idx] = self.number(&expression);
        }
        let is_root = |idx: &usize| *idx == 0 || tree.has_children(*idx);
        let roots = (0..tree.len()).filter(is_root).map(|idx| ids[idx]);
        roots.chain(wrapped).collect()
    }
}

/// Whether a child is an expression in the header of a `for` of JavaScript.
///
/// The grammar that the reference package uses puts a statement around it, the newer one here
/// does not.
fn is_bare_expression(tree: &FlatTree<'_>, idx: usize, child: usize) -> bool {
    let child = tree.get(child);
    tree.get(idx).kind.name == "for_statement"
        && child.kind.is_named
        && !matches!(
            child.kind.name,
            "lexical_declaration"
                | "variable_declaration"
                | "empty_statement"
                | "comment"
                | "ERROR"
        )
        && matches!(
            tree.field_name(child.field),
            Some("initializer" | "condition")
        )
}

/// What lies within nodes that have no name, and is printed in their place.
type Unnamed = HashMap<usize, Vec<u32>>;

fn is_printed(tree: &FlatTree<'_>, idx: usize) -> bool {
    tree.get(idx).kind.is_named || tree.is_missing(idx)
}

fn begin(tree: &FlatTree<'_>, idx: usize, expression: &mut Vec<u32>) {
    let entry = tree.get(idx);
    if tree.has_error() && entry.node.is_error() && !tree.has_children(idx) {
        // Only the printed form tells which character was not expected. It has no children here,
        // so printing does not recurse.
        expression.push(UNEXPECTED);
        expression.extend(entry.node.to_sexp().chars().map(u32::from));
        return;
    }
    if tree.is_missing(idx) {
        expression.extend([MISSING, u32::from(entry.kind.is_named)]);
    }
    expression.push(entry.kind.id);
}

fn add_child(
    tree: &FlatTree<'_>,
    child: usize,
    id: u32,
    unnamed: &Unnamed,
    expression: &mut Vec<u32>,
) {
    let field = u32::from(tree.get(child).field);
    if is_printed(tree, child) {
        expression.extend([field, id]);
    } else if let Some(within) = unnamed.get(&child) {
        for pair in within.chunks_exact(2) {
            let inner_field = if pair[0] == 0 { field } else { pair[0] };
            expression.extend([inner_field, pair[1]]);
        }
    }
}

/// Subtrees of the reference that the hypothesis has, of all of them.
pub(super) fn count_matches(hypothesis: &[u32], reference: &[u32]) -> (u64, u64) {
    if hypothesis == reference {
        return (reference.len() as u64, reference.len() as u64);
    }
    let most = hypothesis.iter().max().copied().unwrap_or(0);
    let mut known = vec![false; most as usize + 1];
    for &id in hypothesis {
        known[id as usize] = true;
    }
    let is_known = |&&id: &&u32| known.get(id as usize).is_some_and(|known| *known);
    let matched = reference.iter().filter(is_known).count();
    (matched as u64, reference.len() as u64)
}
