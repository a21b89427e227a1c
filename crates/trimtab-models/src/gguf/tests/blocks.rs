//! Block values against those of the `gguf` package: equal bit for bit.

use crate::gguf::{GgmlType, GgufFile, GgufWriter};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    dequantized: Vec<GoldenTensor>,
    quantized: Vec<GoldenTensor>,
}

#[derive(Deserialize)]
struct GoldenTensor {
    ggml_type: String,
    code: u32,
    stored: String,
    elements: String,
}

impl GoldenTensor {
    fn stored(&self) -> Vec<u8> {
        hex::decode(&self.stored).unwrap()
    }

    fn elements(&self) -> Vec<f32> {
        let bytes = hex::decode(&self.elements).unwrap();
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bits| f32::from_le_bytes(bits))
            .collect()
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../tests/golden/gguf_blocks.json")).unwrap()
}

fn bits(elements: &[f32]) -> Vec<u32> {
    elements.iter().map(|element| element.to_bits()).collect()
}

#[test]
fn every_type_is_dequantised_as_the_reference_does_it() {
    let tensors = golden().dequantized;
    assert_eq!(tensors.len(), 14, "one for each supported type");
    for tensor in tensors {
        let ggml_type = GgmlType::from_code(tensor.code);
        assert_eq!(ggml_type.to_string(), tensor.ggml_type);
        let expected = tensor.elements();
        let shape = [expected.len()];
        let file = GgufWriter::new().stored_tensor("t", &shape, ggml_type, tensor.stored());
        let file = GgufFile::parse(&file.to_bytes()).unwrap();
        assert_eq!(
            bits(&file.dequantize("t").unwrap()),
            bits(&expected),
            "{ggml_type}"
        );
    }
}

#[test]
fn blocks_are_the_same_wherever_a_row_begins() {
    for tensor in golden().dequantized {
        let ggml_type = GgmlType::from_code(tensor.code);
        let expected = tensor.elements();
        let block = ggml_type.block().unwrap();
        let shape = [expected.len() / block.n_elements, block.n_elements];
        let file = GgufWriter::new().stored_tensor("t", &shape, ggml_type, tensor.stored());
        let file = GgufFile::parse(&file.to_bytes()).unwrap();
        let last = file.dequantize_rows("t", shape[0] - 1..shape[0]).unwrap();
        assert_eq!(
            bits(&last),
            bits(&expected[expected.len() - block.n_elements..])
        );
    }
}

#[test]
fn the_writer_quantises_as_the_reference_does_it() {
    for tensor in golden().quantized {
        let ggml_type = GgmlType::from_code(tensor.code);
        let elements = tensor.elements();
        let file = GgufWriter::new()
            .tensor("t", &[elements.len()], ggml_type, &elements)
            .unwrap();
        let file = GgufFile::parse(&file.to_bytes()).unwrap();
        assert_eq!(
            file.tensor_bytes("t").unwrap(),
            tensor.stored(),
            "{ggml_type}"
        );
    }
}
