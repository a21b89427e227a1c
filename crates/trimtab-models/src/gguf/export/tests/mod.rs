//! Tests of exported files: weights by value, tokenizers by what they encode, mistakes by name.

mod model;
mod refusals;
mod tokenizer;
