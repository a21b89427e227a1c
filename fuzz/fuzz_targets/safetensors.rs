//! Arbitrary bytes as a safetensors file: reading ends with a value or an error, never with a panic, and
//! never asks for memory out of proportion.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab_fuzz::{
    hf::{WeightFiles, WeightFormat},
    read_all,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(weights) = WeightFiles::from_bytes(bytes.to_vec(), WeightFormat::Safetensors) {
        read_all(&weights, bytes.len());
    }
});
