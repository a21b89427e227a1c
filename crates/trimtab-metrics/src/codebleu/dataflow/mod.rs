//! The data-flow match: which values the reference makes out of which, and how many of these
//! relations the hypothesis has too.
//!
//! Source: Ren et al. 2020, <https://arxiv.org/abs/2009.10297>, section 3.4, and the extraction of
//! Guo et al. 2021, GraphCodeBERT, <https://arxiv.org/abs/2009.08366>, section 3. What the reference
//! package does differently from language to language is in [`Rules`].

mod few;
mod relations;
mod rules;
mod tokens;
mod walk;

use super::{CodeBleuError, python_set, tree::FlatTree};
use few::Few;
pub(super) use relations::count_matches;
use relations::{Relation, Source, normalised};
pub(super) use rules::Rules;
use tokens::Tokens;
use walk::{Stop, Walk};

/// Trees with longer ways from the root to a leaf have no data flow: the reference package walks
/// them by recursion, and Python ends that there.
pub(super) const MAX_DEPTH: usize = 990;

/// Most steps of the walk over one text. Nested loops are walked twice each, so code that nests
/// thirty of them would never end.
pub(super) const MAX_STEPS: u64 = 2_000_000;

/// One relation with its variables numbered in order of appearance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    variable: u32,
    source: Source,
    from: Few,
}

/// The relations of a text; empty where there are none or the reference package gives up.
///
/// # Errors
///
/// [`CodeBleuError::TooComplex`] if the walk takes more than [`MAX_STEPS`].
pub(super) fn flows(
    tree: &FlatTree<'_>,
    code: &str,
    rules: &Rules,
    hash_seed: u32,
) -> Result<Vec<Flow>, CodeBleuError> {
    if tree.depth() > MAX_DEPTH {
        return Ok(Vec::new());
    }
    let Some(tokens) = Tokens::new(tree, code) else {
        return Ok(Vec::new());
    };
    let mut walk = Walk::new(tree, &tokens, rules, hash_seed);
    match walk.run() {
        Ok(relations) => Ok(normalised(relations, tokens.n_spellings())),
        Err(Stop::Undefined) => Ok(Vec::new()),
        Err(Stop::TooComplex) => Err(CodeBleuError::TooComplex { limit: MAX_STEPS }),
    }
}
