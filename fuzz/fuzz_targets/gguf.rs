//! Arbitrary bytes as a GGUF file: reading ends with a value or an error, never with a panic, and
//! never asks for memory out of proportion (libFuzzer stops at 2 GiB).

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab_fuzz::gguf::{GgufFile, GgufTexts};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = GgufFile::parse(bytes) else {
        return;
    };
    for key in file.metadata().keys() {
        let _ = file.find::<u32>(key);
        let _ = file.find::<&GgufTexts>(key);
    }
    for tensor in file.tensors() {
        let _ = file.dequantize_rows(&tensor.name, 0..1);
        if let Ok(elements) = file.dequantize(&tensor.name) {
            assert_eq!(elements.len(), tensor.n_elements());
            assert!(elements.len() <= 2 * bytes.len());
        }
    }
});
