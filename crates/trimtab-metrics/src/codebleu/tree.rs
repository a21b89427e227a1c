//! The syntax tree as a flat list, in the order in which nodes begin.
//!
//! tree-sitter's cursor is asked once; the walks over the tree then follow numbers. Nothing here
//! recurses, so deeply nested code costs no stack.

use super::kinds::{Kind, Kinds};
use tree_sitter::{Node, Tree};

/// One visible node.
#[derive(Debug)]
pub(super) struct TreeNode<'t> {
    pub(super) node: Node<'t>,
    pub(super) kind: &'static Kind,
    /// Which field of its parent it is; 0 for none.
    pub(super) field: u16,
    /// Behind its last descendant.
    end: u32,
}

/// The visible nodes of a tree.
#[derive(Debug)]
pub(super) struct FlatTree<'t> {
    nodes: Vec<TreeNode<'t>>,
    /// The most nodes on a way from the root.
    depth: usize,
    has_error: bool,
}

impl<'t> FlatTree<'t> {
    pub(super) fn new(tree: &'t Tree, kinds: &'static Kinds) -> Self {
        let n_nodes = tree.root_node().descendant_count();
        let mut nodes: Vec<TreeNode<'t>> = Vec::with_capacity(n_nodes);
        // Nodes on the way from the root, and how many of their children are still to come.
        let mut open: Vec<(usize, usize)> = Vec::new();
        let mut depth = 0;
        let mut cursor = tree.walk();
        loop {
            let node = cursor.node();
            let idx = nodes.len();
            nodes.push(TreeNode {
                node,
                kind: kinds.get(node.kind_id()),
                field: cursor.field_id().map_or(0, Into::into),
                end: idx as u32 + 1,
            });
            depth = depth.max(open.len() + 1);
            let n_children = node.child_count();
            if n_children > 0 && cursor.goto_first_child() {
                open.push((idx, n_children - 1));
                continue;
            }
            // Asking for a sibling that is not there costs as much as finding one.
            while open.last().is_none_or(|&(_, n_left)| n_left == 0) || !cursor.goto_next_sibling()
            {
                let Some((parent, _)) = open.pop() else {
                    return Self {
                        nodes,
                        depth,
                        has_error: tree.root_node().has_error(),
                    };
                };
                nodes[parent].end = nodes.len() as u32;
                cursor.goto_parent();
            }
            if let Some((_, n_left)) = open.last_mut() {
                *n_left -= 1;
            }
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn has_error(&self) -> bool {
        self.has_error
    }

    /// Whether the parser put a node in because it was missing.
    pub(super) fn is_missing(&self, idx: usize) -> bool {
        self.has_error && self.nodes[idx].node.is_missing()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn get(&self, idx: usize) -> &TreeNode<'t> {
        &self.nodes[idx]
    }

    pub(super) fn has_children(&self, idx: usize) -> bool {
        self.n_nodes_below(idx) > 0
    }

    /// The name of a field.
    pub(super) fn field_name(&self, field: u16) -> Option<&'static str> {
        self.nodes[0].node.language().field_name_for_id(field)
    }

    /// How many nodes lie below one.
    pub(super) fn n_nodes_below(&self, idx: usize) -> usize {
        self.nodes[idx].end as usize - idx - 1
    }

    /// Numbers of the children, in order.
    pub(super) fn children(&self, idx: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes[idx].end as usize;
        let mut next = idx + 1;
        std::iter::from_fn(move || {
            let child = (next < end).then_some(next)?;
            next = self.nodes[child].end as usize;
            Some(child)
        })
    }

    /// The first child in a field.
    pub(super) fn field(&self, idx: usize, name: &str) -> Option<usize> {
        let wanted = self.nodes[idx].node.child_by_field_name(name)?.id();
        self.children(idx)
            .find(|&child| self.nodes[child].node.id() == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Language;
    use super::*;

    #[test]
    fn what_is_looked_up_by_kind_is_what_the_parser_says() {
        let lines: Vec<&str> = include_str!("tree.rs").lines().collect();
        let mut n_missing = 0;
        for language in Language::ALL {
            let mut parser = language.parser().unwrap();
            for piece in lines.chunks(6) {
                let tree = parser.parse(piece.join("\n"), None).unwrap();
                let flat = FlatTree::new(&tree, Kinds::of(language));
                assert_eq!(flat.len(), tree.root_node().descendant_count());
                for (idx, entry) in flat.nodes.iter().enumerate() {
                    let node = entry.node;
                    assert_eq!(entry.kind.is_named, node.is_named(), "{language}: {node:?}");
                    assert_eq!(
                        flat.is_missing(idx),
                        node.is_missing(),
                        "{language}: {node:?}"
                    );
                    n_missing += usize::from(node.is_missing());
                }
            }
        }
        assert!(n_missing > 0, "some piece lacks something");
    }
}
