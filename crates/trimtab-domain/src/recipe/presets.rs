//! The recipes that ship, with words for people who are not experts.

use super::{
    Activations, FloatFormat, Gptq, LayerCount, Override, Prune, PruneBy, Recipe, Rtn, Shrink,
    Sparsity, Step,
};

/// Names of all presets, with a sentence for people who are not experts.
const PRESETS: [(&str, &str); 12] = [
    (
        "f32",
        "Full 32-bit weights: the largest and slowest, for checking numbers.",
    ),
    (
        "f16",
        "16-bit weights: the base that others are compared with.",
    ),
    (
        "bf16",
        "16-bit weights of the other kind: a checkpoint published in bf16, as most are, keeps its \
         numbers exactly.",
    ),
    (
        "int8",
        "8-bit weights, rounded to nearest: about half the size of f16.",
    ),
    (
        "int4",
        "4-bit weights and 8-bit activations (W4A8), rounded to nearest: \
         2.6 to 3.1 times smaller than f16, fastest, loses the most.",
    ),
    (
        "int4-fast",
        "Another name of int4: of the 4-bit presets the fastest to make and to run.",
    ),
    (
        "int4-gptq",
        "As int4, but the weights make up for each other's rounding on a calibration text: \
         the same size and speed, loses less, takes minutes to make.",
    ),
    (
        "int4-quality",
        "As int4-gptq, with the most sensitive weights in 8 bits and float activations: a little \
         larger and slower, loses the least of the 4-bit presets.",
    ),
    (
        "prune-2of4",
        "Half of the weights set to zero, two of every four, the others adjusted (SparseGPT), in \
         16-bit floats. The file has no zeros and is about a third smaller than f16; memory and \
         time are the same.",
    ),
    (
        "prune-half",
        "Half of the weights set to zero, wherever they matter least, the others adjusted \
         (SparseGPT), in 16-bit floats. Unstructured sparsity saves neither memory nor time in \
         dense kernels.",
    ),
    (
        "shrink-depth",
        "A quarter of the layers taken out whole, those that change least of what passes through \
         them, in 16-bit floats: really smaller and faster, and loses a lot unless it is trained \
         again.",
    ),
    (
        "shrink-and-recover",
        "A third of the layers taken out, those that change least, and the rest taught on code to \
         answer as the whole model did (distillation), in 16-bit floats: smaller and faster, loses \
         far less than taking out alone, takes half an hour on two processor cores for 135 million \
         weights, and longer for more.",
    ),
];

impl Recipe {
    /// The recipe of a preset, `None` for an unknown name.
    pub fn preset(name: &str) -> Option<Self> {
        let f16 = Step::Cast {
            to: FloatFormat::F16,
        };
        let steps = match name {
            "f32" => vec![Step::Cast {
                to: FloatFormat::F32,
            }],
            "f16" => vec![f16],
            "bf16" => vec![Step::Cast {
                to: FloatFormat::Bf16,
            }],
            "int8" => vec![Step::Rtn(Rtn::new(8, 64, true))],
            "int4" | "int4-fast" => vec![Step::Rtn(Rtn {
                activations: Activations::Int8,
                ..Rtn::new(4, 64, false)
            })],
            "int4-gptq" => vec![Step::Gptq(Gptq {
                activations: Activations::Int8,
                act_order: true,
                ..Gptq::new(4, 64, false)
            })],
            "int4-quality" => vec![Step::Gptq(Gptq {
                act_order: true,
                overrides: vec![Override {
                    pattern: "down_proj".to_owned(),
                    bits: 8,
                    group_size: None,
                }],
                ..Gptq::new(4, 64, false)
            })],
            "prune-2of4" => vec![prune(Sparsity::Pattern { n: 2, m: 4 }), f16],
            "prune-half" => vec![prune(Sparsity::Share(0.5)), f16],
            "shrink-depth" => {
                let layers = Some(LayerCount::Share(0.25));
                let shrink = Shrink {
                    layers,
                    ..Shrink::default()
                };
                vec![Step::Shrink(shrink), f16]
            }
            "shrink-and-recover" => {
                let shrink = Shrink {
                    layers: Some(LayerCount::Share(1.0 / 3.0)),
                    ..Shrink::default()
                };
                vec![Step::Shrink(shrink), Step::Distil(Box::default()), f16]
            }
            "keep" => vec![Step::Keep],
            _ => return None,
        };
        Some(Self {
            name: name.into(),
            steps,
        })
    }

    /// Names of all presets, with a sentence for people who are not experts.
    pub fn presets() -> &'static [(&'static str, &'static str)] {
        &PRESETS
    }
}

fn prune(sparsity: Sparsity) -> Step {
    Step::Prune(Prune {
        by: PruneBy::SparseGpt,
        sparsity,
        damping: None,
        calibration: None,
    })
}
