//! Grammars whose parse table has a full row for each state.
//!
//! A grammar is small because most states list only the symbols that they take, and the parser reads
//! such a list from its beginning each time it asks for one symbol. That was a fifth of the time of
//! CodeBLEU. Here the lists are written out once a process, two bytes for each state and symbol: 10 MB
//! for C#, 1 MB for Java. Nothing else of a grammar changes, so the trees are the same.

use super::Language;
use std::{ffi::c_void, slice, sync::OnceLock};
use tree_sitter::Language as Grammar;

/// The version of tree-sitter's binary interface that [`Tables`] is laid out for.
pub(super) const INTERFACE: usize = 14;

/// A grammar as tree-sitter lays it out: `struct TSLanguage` of its interface 14.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Tables {
    version: u32,
    symbol_count: u32,
    alias_count: u32,
    token_count: u32,
    external_token_count: u32,
    state_count: u32,
    large_state_count: u32,
    production_id_count: u32,
    field_count: u32,
    max_alias_sequence_length: u16,
    parse_table: *const u16,
    small_parse_table: *const u16,
    small_parse_table_map: *const u32,
    /// From the actions to the function that knows keywords.
    others: [*const c_void; 12],
    keyword_capture_token: u16,
    external_scanner: [*const c_void; 7],
    primary_state_ids: *const u16,
}

#[derive(Debug)]
struct Widened(Tables);

// SAFETY: the tables and all that they point to are static and never written.
unsafe impl Send for Widened {}
// SAFETY: as above.
unsafe impl Sync for Widened {}

static WIDENED: [OnceLock<Option<Widened>>; Language::ALL.len()] = [const { OnceLock::new() }; 10];

/// The grammar with full rows, made at the first call; `None` if its layout is another one.
pub(super) fn widened(language: Language) -> Option<Grammar> {
    let known = WIDENED[language as usize].get_or_init(|| widen(&language.tree_sitter()));
    let Widened(tables) = known.as_ref()?;
    // SAFETY: a whole grammar of this layout that lives as long as the process.
    Some(unsafe { Grammar::from_raw(std::ptr::from_ref(tables).cast()) })
}

fn layout(grammar: &Grammar) -> Option<Tables> {
    let tables = grammar.clone().into_raw().cast::<Tables>();
    // SAFETY: a grammar of this version has this layout, and is static.
    (grammar.version() == INTERFACE).then(|| unsafe { *tables })
}

fn widen(grammar: &Grammar) -> Option<Widened> {
    let mut tables = layout(grammar)?;
    if tables.large_state_count < tables.state_count {
        tables.parse_table = full_rows(&tables).leak().as_ptr();
        tables.large_state_count = tables.state_count;
    }
    Some(Widened(tables))
}

/// By state and symbol, what the parser would find.
fn full_rows(tables: &Tables) -> Vec<u16> {
    let n_symbols = tables.symbol_count as usize;
    let (n_states, n_large) = (
        tables.state_count as usize,
        tables.large_state_count as usize,
    );
    // SAFETY: the grammar has a row for each large state.
    let large = unsafe { slice::from_raw_parts(tables.parse_table, n_large * n_symbols) };
    // SAFETY: the grammar tells for each other state where its list begins; there is one at least.
    let starts = unsafe { slice::from_raw_parts(tables.small_parse_table_map, n_states - n_large) };
    let mut rows = vec![0; n_states * n_symbols];
    let (of_large, of_small) = rows.split_at_mut(large.len());
    of_large.copy_from_slice(large);
    for (row, &start) in of_small.chunks_exact_mut(n_symbols).zip(starts) {
        let mut at = start as usize;
        let mut next = || {
            // SAFETY: lists tell their own lengths, and lie within the grammar.
            let value = unsafe { *tables.small_parse_table.add(at) };
            at += 1;
            value
        };
        for _ in 0..next() {
            let value = next();
            for _ in 0..next() {
                row[usize::from(next())] = value;
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree_sitter::Parser;

    /// What the parser finds: it reads the list of the state up to the symbol.
    fn lookup_reference(tables: &Tables, state: usize, symbol: usize) -> u16 {
        let n_large = tables.large_state_count as usize;
        if state < n_large {
            // SAFETY: the grammar has a row for each large state.
            return unsafe {
                *tables
                    .parse_table
                    .add(state * tables.symbol_count as usize + symbol)
            };
        }
        // SAFETY: the grammar tells for each other state where its list begins.
        let mut at = unsafe { *tables.small_parse_table_map.add(state - n_large) } as usize;
        let mut next = || {
            // SAFETY: lists tell their own lengths, and lie within the grammar.
            let value = unsafe { *tables.small_parse_table.add(at) };
            at += 1;
            value
        };
        for _ in 0..next() {
            let value = next();
            let symbols: Vec<usize> = (0..next()).map(|_| next().into()).collect();
            if symbols.contains(&symbol) {
                return value;
            }
        }
        0
    }

    #[test]
    fn rows_say_what_the_lists_say() {
        for language in Language::ALL {
            let grammar = language.tree_sitter();
            let tables = layout(&grammar).unwrap();
            let n_symbols = tables.symbol_count as usize;
            let rows = full_rows(&tables);
            let n_states = tables.state_count as usize;
            assert_eq!(rows.len(), n_states * n_symbols, "{language}");
            for state in (0..n_states).rev().step_by(23) {
                for symbol in 0..n_symbols {
                    let expected = lookup_reference(&tables, state, symbol);
                    let got = rows[state * n_symbols + symbol];
                    assert_eq!(got, expected, "{language}: {symbol} in {state}");
                }
            }
        }
    }

    fn parser(grammar: &Grammar) -> Parser {
        let mut parser = Parser::new();
        parser.set_language(grammar).unwrap();
        parser
    }

    #[test]
    fn trees_are_the_same_with_and_without_errors() {
        let whole = include_str!("wide_tables.rs");
        let lines: Vec<&str> = whole.lines().collect();
        for language in Language::ALL {
            let mut narrow = parser(&language.tree_sitter());
            let mut wide = parser(&widened(language).unwrap());
            for piece in lines.chunks(7) {
                let code = piece.join("\n");
                let expected = narrow.parse(&code, None).unwrap();
                let got = wide.parse(&code, None).unwrap();
                let (got, expected) = (got.root_node(), expected.root_node());
                assert_eq!(got.to_sexp(), expected.to_sexp(), "{language}");
            }
        }
    }
}
