//! Tests of exported files: weights by value, tokenizers by what they encode, mistakes by name.

mod grid_rows;
mod model;
mod refusals;
mod tokenizer;
