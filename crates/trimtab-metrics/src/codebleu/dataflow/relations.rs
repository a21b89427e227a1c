//! Relations between values: how they are merged, numbered and matched.

use super::{Flow, python_set::list_of_set};
use crate::keyed_hash::Keyed;
use std::collections::{BTreeSet, HashMap, HashSet};

/// How a value arises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// It is the same value, or has none yet.
    ComesFrom,
    /// It is computed.
    ComputedFrom,
}

/// A token and those that its value comes from.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) name: u32,
    pub(super) token: u32,
    pub(super) source: Source,
    pub(super) from_names: Vec<u32>,
    pub(super) from_tokens: Vec<u32>,
}

/// Joins two lists of names as the reference package does, which sets their order.
pub(super) fn join_names(names: &mut Vec<u32>, others: &[u32], hash_of: impl Fn(u32) -> u64) {
    names.extend(others);
    *names = list_of_set(names, hash_of);
}

/// Joins relations of the same token, name and source, as at the end of a loop.
pub(super) fn join_equal(relations: Vec<Relation>, hash_of: impl Fn(u32) -> u64) -> Vec<Relation> {
    let mut places: HashMap<_, usize, Keyed> = HashMap::default();
    let mut joined: Vec<Relation> = Vec::new();
    for relation in relations {
        let key = (relation.name, relation.token, relation.source);
        let Some(&place) = places.get(&key) else {
            places.insert(key, joined.len());
            joined.push(relation);
            continue;
        };
        let known: &mut Relation = &mut joined[place];
        join_names(&mut known.from_names, &relation.from_names, &hash_of);
        let tokens: BTreeSet<u32> = known
            .from_tokens
            .iter()
            .chain(&relation.from_tokens)
            .copied()
            .collect();
        known.from_tokens = tokens.into_iter().collect();
    }
    joined
}

/// In order of tokens, without those that neither come from another nor lead to one, and one for
/// each token.
pub(super) fn join_tokens(
    mut relations: Vec<Relation>,
    hash_of: impl Fn(u32) -> u64,
) -> Vec<Relation> {
    relations.sort_by_key(|relation| relation.token);
    let mut connected: HashSet<u32, Keyed> = HashSet::default();
    for relation in &relations {
        if !relation.from_tokens.is_empty() {
            connected.insert(relation.token);
            connected.extend(&relation.from_tokens);
        }
    }
    let mut joined: Vec<Relation> = Vec::new();
    for relation in relations {
        if !connected.contains(&relation.token) {
            continue;
        }
        match joined.last_mut() {
            Some(known) if known.token == relation.token => {
                join_names(&mut known.from_names, &relation.from_names, &hash_of);
                known.name = relation.name;
                known.source = relation.source;
            }
            _ => joined.push(relation),
        }
    }
    joined
}

/// Numbers variables by their first appearance, sources before what comes from them.
pub(super) fn normalised(relations: Vec<Relation>) -> Vec<Flow> {
    let mut numbers: HashMap<u32, u32, Keyed> = HashMap::default();
    let mut number = |name: u32| {
        let next = numbers.len() as u32;
        *numbers.entry(name).or_insert(next)
    };
    relations
        .into_iter()
        .map(|relation| {
            let from = relation
                .from_names
                .iter()
                .map(|&name| number(name))
                .collect();
            Flow {
                variable: number(relation.name),
                source: relation.source,
                from,
            }
        })
        .collect()
}

/// Relations of the reference that the hypothesis has, each taken once.
pub(in super::super) fn count_matches(hypothesis: &[Flow], reference: &[Flow]) -> u64 {
    let mut left: HashMap<&Flow, u64, Keyed> = HashMap::default();
    for flow in hypothesis {
        *left.entry(flow).or_insert(0) += 1;
    }
    let mut n_matched = 0;
    for flow in reference {
        if let Some(n_left @ 1..) = left.get_mut(flow) {
            *n_left -= 1;
            n_matched += 1;
        }
    }
    n_matched
}
