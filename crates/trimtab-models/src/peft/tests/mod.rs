//! Tests of adapters: against what PEFT makes of them, and every mistake by name.

mod golden;
mod refusals;
mod settings;
