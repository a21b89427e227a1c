//! The walk over a tree that finds out which value comes from which.
//!
//! A state says, for each variable, which tokens may have given it its value. Branches begin with the
//! same state and are joined behind; loops are walked twice, so that a value of one round reaches the
//! next.

use super::{
    super::{Language, kinds::Role, tree::FlatTree},
    Few, MAX_STEPS, Relation, Rules, Source, Tokens,
    python_set::hash,
    relations::{join_equal, join_tokens},
};
use crate::keyed_hash::Keyed;
use std::{cell::RefCell, collections::HashMap};

/// Why a walk ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// A part that the rules need is not there: the reference package gives up too.
    Undefined,
    /// Too many steps.
    TooComplex,
}

/// By spelling, the tokens that may have set the variable.
type State = HashMap<u32, Few, Keyed>;

/// A state that is being put together.
type Possible = HashMap<u32, Vec<u32>, Keyed>;

pub(super) struct Walk<'a> {
    tree: &'a FlatTree<'a>,
    tokens: &'a Tokens<'a>,
    rules: &'a Rules,
    relations: Vec<Relation>,
    state: State,
    n_steps: u64,
    hash_seed: u32,
    hashes: RefCell<Vec<Option<u64>>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        tree: &'a FlatTree<'a>,
        tokens: &'a Tokens<'a>,
        rules: &'a Rules,
        hash_seed: u32,
    ) -> Self {
        Self {
            tree,
            tokens,
            rules,
            relations: Vec::new(),
            state: State::default(),
            n_steps: 0,
            hash_seed,
            hashes: RefCell::new(vec![None; tokens.n_spellings()]),
        }
    }

    /// The relations of the whole tree, one for each token that has any.
    pub(super) fn run(&mut self) -> Result<Vec<Relation>, Stop> {
        self.node(0)?;
        let relations = std::mem::take(&mut self.relations);
        let n_tokens = self.tokens.n_tokens();
        Ok(join_tokens(relations, n_tokens, |name| self.hash_of(name)))
    }

    fn hash_of(&self, spelling: u32) -> u64 {
        let known = &mut self.hashes.borrow_mut()[spelling as usize];
        *known.get_or_insert_with(|| hash(self.tokens.text(spelling), self.hash_seed))
    }

    fn take_steps(&mut self, n: usize) -> Result<(), Stop> {
        self.n_steps += n as u64;
        if self.n_steps > MAX_STEPS {
            return Err(Stop::TooComplex);
        }
        Ok(())
    }

    /// Walks one node; the depth of the tree has been checked.
    fn node(&mut self, idx: usize) -> Result<(), Stop> {
        self.take_steps(1)?;
        if let Some(token) = self.tokens.of_node(idx) {
            self.token(idx, token);
            return Ok(());
        }
        match self.tree.get(idx).kind.role {
            Role::Definition => self.definition(idx),
            Role::Assignment => self.assignment(idx),
            Role::Increment => self.increment(idx),
            Role::Branch => self.branch(idx),
            Role::For => self.for_loop(idx),
            Role::ForEach => self.for_each(idx),
            Role::Loop => {
                let start = self.relations.len();
                self.children(idx)?;
                self.children(idx)?;
                self.join_since(start)
            }
            Role::Plain => self.plain(idx),
        }
    }

    fn token(&mut self, idx: usize, token: u32) {
        if !self.tokens.is_name(token) {
            return;
        }
        let name = self.tokens.spelling(token);
        let (from_names, from_tokens) = match self.state.get(&name) {
            Some(setters) => (Few::One(name), setters.clone()),
            None => (Few::None, Few::None),
        };
        if from_names.is_empty() && self.tree.get(idx).kind.name == "identifier" {
            self.state.insert(name, Few::One(token));
        }
        self.relations.push(Relation {
            name,
            token,
            source: Source::ComesFrom,
            from_names,
            from_tokens,
        });
    }

    fn children(&mut self, idx: usize) -> Result<(), Stop> {
        let tree = self.tree;
        tree.children(idx).try_for_each(|child| self.node(child))
    }

    fn plain(&mut self, idx: usize) -> Result<(), Stop> {
        let tree = self.tree;
        for is_first in [true, false] {
            for child in tree.children(idx) {
                if tree.get(child).kind.comes_first == is_first {
                    self.node(child)?;
                }
            }
        }
        Ok(())
    }

    fn required(&self, idx: usize, field: &str) -> Result<usize, Stop> {
        self.tree.field(idx, field).ok_or(Stop::Undefined)
    }

    fn child(&self, idx: usize, place: usize) -> Result<usize, Stop> {
        self.tree.children(idx).nth(place).ok_or(Stop::Undefined)
    }

    /// The names and literals within a node.
    fn names(&mut self, idx: usize) -> Result<Vec<u32>, Stop> {
        let n_nodes = self.tree.n_nodes_below(idx) + 1;
        self.take_steps(n_nodes)?;
        let tokens = (idx..idx + n_nodes).filter_map(|node| self.tokens.of_node(node));
        Ok(tokens.filter(|&token| self.tokens.is_name(token)).collect())
    }

    /// Each token on the left comes from each on the right.
    fn connect(&mut self, left: &[u32], right: &[u32], source: Source) -> Result<(), Stop> {
        self.take_steps(left.len().saturating_mul(right.len().max(1)))?;
        for &token in left {
            let name = self.tokens.spelling(token);
            for &from in right {
                self.relations.push(Relation {
                    name,
                    token,
                    source,
                    from_names: Few::One(self.tokens.spelling(from)),
                    from_tokens: Few::One(from),
                });
            }
            self.state.insert(name, Few::One(token));
        }
        Ok(())
    }

    /// Each token on the left comes from all on the right at once.
    fn connect_at_once(&mut self, left: &[u32], right: &[u32]) -> Result<(), Stop> {
        self.take_steps(left.len().saturating_mul(right.len().max(1)))?;
        let spelling = |&token: &u32| self.tokens.spelling(token);
        let from_names: Vec<u32> = right.iter().map(spelling).collect();
        let (from_names, from_tokens) = (Few::from(&*from_names), Few::from(right));
        for &token in left {
            let name = self.tokens.spelling(token);
            self.relations.push(Relation {
                name,
                token,
                source: Source::ComputedFrom,
                from_names: from_names.clone(),
                from_tokens: from_tokens.clone(),
            });
            self.state.insert(name, Few::One(token));
        }
        Ok(())
    }

    fn definition(&mut self, idx: usize) -> Result<(), Stop> {
        let (name, value) = match self.rules.language {
            // Only `a` and its initialiser are looked at, and only where they are all there is.
            Language::CSharp => {
                let mut children = self.tree.children(idx);
                let name = children.next().ok_or(Stop::Undefined)?;
                (name, children.next().filter(|_| children.next().is_none()))
            }
            // The second and third child, whatever they are.
            Language::Rust => (self.child(idx, 1)?, self.tree.children(idx).nth(2)),
            _ => {
                let (name, value) = self.rules.definition_fields;
                (self.required(idx, name)?, self.tree.field(idx, value))
            }
        };
        let names = self.names(name)?;
        if let Some(value) = value {
            let values = self.names(value)?;
            self.node(value)?;
            return self.connect(&names, &values, Source::ComesFrom);
        }
        for &token in &names {
            let name = self.tokens.spelling(token);
            self.relations.push(Relation {
                name,
                token,
                source: Source::ComesFrom,
                from_names: Few::None,
                from_tokens: Few::None,
            });
            self.state.insert(name, Few::One(token));
        }
        Ok(())
    }

    fn assignment(&mut self, idx: usize) -> Result<(), Stop> {
        if self.rules.pairs_sides {
            return self.paired_assignment(idx);
        }
        let left = self.required(idx, "left")?;
        let right = self.required(idx, "right")?;
        self.node(right)?;
        let names = self.names(left)?;
        let values = self.names(right)?;
        self.connect(&names, &values, Source::ComputedFrom)
    }

    fn paired_assignment(&mut self, idx: usize) -> Result<(), Stop> {
        let (lefts, rights) = match self.tree.get(idx).kind.name {
            "for_in_clause" => {
                let last = self.tree.children(idx).last().ok_or(Stop::Undefined)?;
                (vec![self.required(idx, "left")?], vec![last])
            }
            "operator_assignment" => {
                // Both sides have to be there, although the outermost children are taken.
                self.required(idx, "left")?;
                self.required(idx, "right")?;
                let last = self.tree.children(idx).last().ok_or(Stop::Undefined)?;
                (vec![self.child(idx, 0)?], vec![last])
            }
            _ => {
                let right = self.tree.field(idx, "right");
                match right {
                    Some(right) => self.sides(self.required(idx, "left")?, right)?,
                    // `a: int` assigns nothing.
                    None if self.rules.language == Language::Python => return Ok(()),
                    None => return Err(Stop::Undefined),
                }
            }
        };
        self.pair(&lefts, &rights)
    }

    /// The items on both sides of a pairwise assignment; if their numbers differ, or there are
    /// none, each side is one item.
    fn sides(&mut self, left: usize, right: usize) -> Result<(Vec<usize>, Vec<usize>), Stop> {
        let tree = self.tree;
        let items = |side: usize| -> Vec<usize> {
            let children = tree.children(side);
            children
                .filter(|&child| tree.get(child).kind.name != ",")
                .collect()
        };
        let (lefts, rights) = (items(left), items(right));
        self.take_steps(lefts.len() + rights.len())?;
        if lefts.len() != rights.len() || lefts.is_empty() {
            return Ok((vec![left], vec![right]));
        }
        Ok((lefts, rights))
    }

    fn pair(&mut self, lefts: &[usize], rights: &[usize]) -> Result<(), Stop> {
        for &right in rights {
            self.node(right)?;
        }
        for (&left, &right) in lefts.iter().zip(rights) {
            let names = self.names(left)?;
            let values = self.names(right)?;
            self.connect_at_once(&names, &values)?;
        }
        Ok(())
    }

    fn increment(&mut self, idx: usize) -> Result<(), Stop> {
        let names = self.names(idx)?;
        self.connect(&names, &names, Source::ComputedFrom)
    }

    fn branch(&mut self, idx: usize) -> Result<(), Stop> {
        let tree = self.tree;
        self.take_steps(self.state.len())?;
        let before = self.state.clone();
        let mut after = Possible::default();
        let mut has_else = tree.get(idx).kind.names_else;
        let mut is_behind_way = false;
        for child in tree.children(idx) {
            let kind = tree.get(child).kind;
            has_else |= kind.names_else;
            if kind.is_way || (is_behind_way && self.rules.has_sticky_ways) {
                is_behind_way = true;
                self.take_steps(before.len())?;
                let current = std::mem::replace(&mut self.state, before.clone());
                self.node(child)?;
                let end_of_way = std::mem::replace(&mut self.state, current);
                self.add_possible(&mut after, &end_of_way)?;
            } else {
                self.node(child)?;
            }
        }
        let current = std::mem::take(&mut self.state);
        self.add_possible(&mut after, &current)?;
        if !has_else || self.rules.keeps_state_before {
            self.add_possible(&mut after, &before)?;
        }
        let sorted = |(name, mut setters): (u32, Vec<u32>)| {
            setters.sort_unstable();
            setters.dedup();
            (name, setters[..].into())
        };
        self.state = after.into_iter().map(sorted).collect();
        Ok(())
    }

    fn add_possible(&mut self, after: &mut Possible, state: &State) -> Result<(), Stop> {
        for (&name, setters) in state {
            self.take_steps(setters.len())?;
            after.entry(name).or_default().extend(&**setters);
        }
        Ok(())
    }

    fn for_loop(&mut self, idx: usize) -> Result<(), Stop> {
        let start = self.relations.len();
        match self.rules.language {
            Language::Python => self.python_for(idx)?,
            Language::Ruby => self.ruby_for(idx)?,
            _ => self.counted_for(idx)?,
        }
        self.join_since(start)
    }

    fn python_for(&mut self, idx: usize) -> Result<(), Stop> {
        for _ in 0..2 {
            let right = self.required(idx, "right")?;
            let left = self.required(idx, "left")?;
            let (lefts, rights) = self.sides(left, right)?;
            self.pair(&lefts, &rights)?;
            if let Some(last) = self.tree.children(idx).last()
                && self.tree.get(last).kind.name == "block"
            {
                self.node(last)?;
            }
        }
        Ok(())
    }

    fn ruby_for(&mut self, idx: usize) -> Result<(), Stop> {
        for _ in 0..2 {
            let pattern = self.required(idx, "pattern")?;
            let value = self.required(idx, "value")?;
            self.pair(&[pattern], &[value])?;
            let body = self.required(idx, "body")?;
            self.node(body)?;
        }
        Ok(())
    }

    /// All children once, then those behind the header once more.
    fn counted_for(&mut self, idx: usize) -> Result<(), Stop> {
        let tree = self.tree;
        self.children(idx)?;
        let mut is_behind_header = false;
        for child in tree.children(idx) {
            if is_behind_header {
                self.node(child)?;
            } else if tree.get(child).kind.ends_header {
                is_behind_header = true;
                if self.rules.language == Language::Go
                    && let Some(update) = tree.field(child, "update")
                {
                    self.node(update)?;
                }
            }
        }
        Ok(())
    }

    fn for_each(&mut self, idx: usize) -> Result<(), Stop> {
        let start = self.relations.len();
        let (name, value) = if self.rules.language == Language::Php {
            let tree = self.tree;
            let is_variable = |&child: &usize| tree.get(child).kind.name == "variable_name";
            let mut variables = tree.children(idx).filter(is_variable);
            let value = variables.next().ok_or(Stop::Undefined)?;
            (variables.next().ok_or(Stop::Undefined)?, value)
        } else {
            let (name, value) = self.rules.for_each_fields;
            (self.required(idx, name)?, self.required(idx, value)?)
        };
        let body = self.required(idx, "body")?;
        for _ in 0..2 {
            self.node(value)?;
            let names = self.names(name)?;
            let values = self.names(value)?;
            self.connect(&names, &values, Source::ComputedFrom)?;
            self.node(body)?;
        }
        self.join_since(start)
    }

    /// Joins what the rounds of a loop have said twice.
    fn join_since(&mut self, start: usize) -> Result<(), Stop> {
        let rounds = self.relations.split_off(start);
        let n_parts: usize = rounds
            .iter()
            .map(|r| 1 + r.from_names.len() + r.from_tokens.len())
            .sum();
        self.take_steps(n_parts)?;
        let joined = join_equal(rounds, |name| self.hash_of(name));
        self.relations.extend(joined);
        Ok(())
    }
}
