//! Relations between values: how they are merged, numbered and matched.

use super::{Few, Flow, python_set::list_of_set};
use crate::keyed_hash::Keyed;
use std::collections::{BTreeSet, HashMap};

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
    pub(super) from_names: Few,
    pub(super) from_tokens: Few,
}

/// Joins two lists of names as the reference package does, which sets their order.
pub(super) fn join_names(names: &mut Few, others: &[u32], hash_of: impl Fn(u32) -> u64) {
    let all = [&**names, others].concat();
    *names = list_of_set(&all, hash_of)[..].into();
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
            .chain(&*relation.from_tokens)
            .copied()
            .collect();
        known.from_tokens = tokens.into_iter().collect::<Vec<_>>()[..].into();
    }
    joined
}

/// In order of tokens, without those that neither come from another nor lead to one, and one for
/// each token.
pub(super) fn join_tokens(
    mut relations: Vec<Relation>,
    n_tokens: usize,
    hash_of: impl Fn(u32) -> u64,
) -> Vec<Relation> {
    relations.sort_by_key(|relation| relation.token);
    let mut is_connected = vec![false; n_tokens];
    for relation in &relations {
        if !relation.from_tokens.is_empty() {
            is_connected[relation.token as usize] = true;
            for &token in &*relation.from_tokens {
                is_connected[token as usize] = true;
            }
        }
    }
    let mut joined: Vec<Relation> = Vec::new();
    for relation in relations {
        if !is_connected[relation.token as usize] {
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
pub(super) fn normalised(relations: Vec<Relation>, n_names: usize) -> Vec<Flow> {
    let mut numbers = vec![None; n_names];
    let mut next = 0..;
    let mut number = |name: u32| {
        let known: &mut Option<u32> = &mut numbers[name as usize];
        *known.get_or_insert_with(|| next.next().unwrap_or(u32::MAX))
    };
    relations
        .into_iter()
        .map(|relation| {
            let from = match &*relation.from_names {
                [name] => Few::One(number(*name)),
                names => names.iter().map(|&name| number(name)).collect::<Vec<_>>()[..].into(),
            };
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
    if hypothesis == reference {
        return reference.len() as u64;
    }
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
