//! Adapters written by PEFT: merged weights and outputs as PEFT has them.

use crate::{
    Layout,
    hf::WeightFiles,
    peft::{AdaptableLinear, MergedSource, PeftAdapter},
    tensor_source::TensorSource,
};
use std::path::{Path, PathBuf};

/// Largest difference to PEFT's numbers; they are sums of at most 24 products below 1.
const MAX_DIFFERENCE: f32 = 1e-6;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/peft")
        .join(name)
}

fn linear(name: &str, d_out: usize, d_in: usize) -> AdaptableLinear {
    AdaptableLinear {
        name: name.to_owned(),
        d_out,
        d_in,
        layout: Layout::Rows,
    }
}

/// The layers of the Llama that `scripts/golden/peft_adapter.py` makes.
fn llama() -> Vec<AdaptableLinear> {
    let layers = (0..2).flat_map(|idx| {
        let name = move |part: &str| format!("model.layers.{idx}.{part}");
        [
            linear(&name("self_attn.q_proj"), 16, 16),
            linear(&name("self_attn.k_proj"), 8, 16),
            linear(&name("self_attn.v_proj"), 8, 16),
            linear(&name("self_attn.o_proj"), 16, 16),
            linear(&name("mlp.gate_proj"), 24, 16),
            linear(&name("mlp.up_proj"), 24, 16),
            linear(&name("mlp.down_proj"), 16, 24),
        ]
    });
    layers.collect()
}

fn gpt2() -> Vec<AdaptableLinear> {
    let name = |part: &str| format!("transformer.h.0.{part}");
    let transposed = |name: &str, d_out, d_in| AdaptableLinear {
        layout: Layout::Transposed,
        ..linear(name, d_out, d_in)
    };
    vec![
        transposed(&name("attn.c_attn"), 48, 16),
        transposed(&name("attn.c_proj"), 16, 16),
        transposed(&name("mlp.c_fc"), 64, 16),
        transposed(&name("mlp.c_proj"), 16, 64),
    ]
}

fn expected(name: &str) -> WeightFiles {
    WeightFiles::from_file(&folder(name).join("expected.safetensors")).unwrap()
}

#[track_caller]
fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= MAX_DIFFERENCE, "{what}: {got} {want}");
    }
}

/// `[n_columns, n_rows]` of `[n_rows, n_columns]`.
fn transposed(values: &[f32], n_columns: usize) -> Vec<f32> {
    let column = |idx| values.iter().skip(idx).step_by(n_columns).copied();
    (0..n_columns).flat_map(column).collect()
}

#[test]
fn merged_weights_of_a_llama_are_those_of_peft() {
    let adapter = PeftAdapter::open(&folder("llama"), &llama()).unwrap();
    assert_eq!(adapter.layers().count(), 6);
    let expected = expected("llama");
    for layer in adapter.layers() {
        let mut weight = expected.floats(&format!("base.{layer}")).unwrap();
        adapter.merge(layer, &mut weight).unwrap();
        let want = expected.floats(&format!("merged.{layer}")).unwrap();
        assert_close(&weight, &want, layer);
    }
}

#[test]
fn merged_weights_of_transposed_layers_are_those_of_peft() {
    let adapter = PeftAdapter::open(&folder("gpt2"), &gpt2()).unwrap();
    let expected = expected("gpt2");
    let layer = "transformer.h.0.attn.c_attn";
    let base = expected.floats(&format!("base.{layer}")).unwrap();
    let want = expected.floats(&format!("merged.{layer}")).unwrap();

    // Stored as [d_in, d_out] = [16, 48]; merging takes [d_out, d_in].
    let mut weight = transposed(&base, 48);
    adapter.merge(layer, &mut weight).unwrap();
    assert_close(&transposed(&weight, 16), &want, layer);
}

#[test]
fn outputs_with_the_factors_kept_apart_are_those_of_peft() {
    for (name, linears) in [("llama", llama()), ("gpt2", gpt2())] {
        let adapter = PeftAdapter::open(&folder(name), &linears).unwrap();
        let expected = expected(name);
        for layer in adapter.layers() {
            let part = adapter.part(layer).unwrap();
            let floats = |kind: &str| expected.floats(&format!("{kind}.{layer}")).unwrap();
            let (base, xs, ys) = (floats("base"), floats("x"), floats("y"));
            let base = match name {
                "gpt2" => transposed(&base, part.d_out),
                _ => base,
            };
            for (x, want) in xs.chunks(part.d_in).zip(ys.chunks(part.d_out)) {
                let rows = base.chunks(part.d_in);
                let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| w * x).sum();
                let mut y: Vec<f32> = rows.map(dot).collect();
                part.add_product_reference(x, &mut y);
                assert_close(&y, want, layer);
            }
        }
        assert!(adapter.part("model.layers.0.self_attn.k_proj").is_none());
    }
}

/// The base weights of the fixture under the names of a checkpoint.
#[derive(Debug)]
struct Base<'a>(&'a WeightFiles);

impl TensorSource for Base<'_> {
    fn names(&self) -> Vec<String> {
        let names = self.0.names().into_iter();
        let base = names.filter_map(|name| Some(format!("{}.weight", name.strip_prefix("base.")?)));
        base.collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0
            .shape(&format!("base.{}", name.strip_suffix(".weight")?))
    }

    fn stored_type(&self, name: &str) -> Option<crate::StoredType> {
        self.0
            .stored_type(&format!("base.{}", name.strip_suffix(".weight")?))
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, crate::TensorError> {
        let name = name.strip_suffix(".weight").unwrap_or(name);
        self.0.floats(&format!("base.{name}"))
    }

    fn integers(&self, name: &str) -> Result<Vec<i32>, crate::TensorError> {
        self.0.integers(name)
    }
}

#[test]
fn a_checkpoint_under_an_adapter_reads_as_merged() {
    for (name, linears) in [("llama", llama()), ("gpt2", gpt2())] {
        let adapter = PeftAdapter::open(&folder(name), &linears).unwrap();
        let expected = expected(name);
        let base = Base(&expected);
        let merged = MergedSource::new(&base, &adapter).unwrap();
        assert_eq!(merged.names(), base.names());
        for tensor in merged.names() {
            let layer = tensor.strip_suffix(".weight").unwrap();
            let want = expected.floats(&format!("merged.{layer}")).unwrap();
            assert_close(&merged.floats(&tensor).unwrap(), &want, layer);
            assert_eq!(merged.shape(&tensor), base.shape(&tensor));
            assert_eq!(merged.stored_type(&tensor), base.stored_type(&tensor));
        }
        assert!(merged.integers("none").is_err());
    }
}
