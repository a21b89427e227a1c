//! The parsers under test, compiled from the same source files as the product.
//!
//! Included by path and not as a dependency on `trimtab-models`, because that crate brings the
//! whole engine, which takes twenty minutes to build with instrumentation and is not under test.

#[path = "../../crates/trimtab-models/src/gguf/mod.rs"]
pub mod gguf;

#[path = "../../crates/trimtab-models/src/tensor_source.rs"]
pub mod tensor_source;

#[path = "../../crates/trimtab-models/src/hf/mod.rs"]
pub mod hf;

#[path = "../../crates/trimtab-models/src/sparse_pattern.rs"]
pub mod sparse_pattern;

use hf::WeightFiles;
use tensor_source::TensorSource;

/// Reads every tensor that can be read; none may be larger than the file.
pub fn read_all(weights: &WeightFiles, n_bytes: usize) {
    for name in weights.names() {
        let shape = weights.shape(&name).expect("the tensor is listed");
        let n_elements: usize = shape.iter().product();
        assert!(n_elements <= n_bytes);
        if let Ok(floats) = weights.floats(&name) {
            assert_eq!(floats.len(), n_elements);
        }
        if let Ok(integers) = weights.integers(&name) {
            assert_eq!(integers.len(), n_elements);
        }
    }
}
