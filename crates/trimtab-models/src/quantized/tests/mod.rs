//! Tests of quantised checkpoints: against the packages that define the formats, there and back
//! through files, and what is refused.

mod export;
mod golden;
mod memory;
mod packed;
mod refused;
