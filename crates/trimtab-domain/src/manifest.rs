//! The manifest of a run: all that is needed to do it again. Written once, never changed.

use crate::{DeviceName, Digest, Recipe, RunSpec, Timestamp, VariantName};
use serde::{Deserialize, Serialize};

/// All that is needed to do a run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format; readers refuse what is newer.
    pub format_version: u32,
    /// Version of Trimtab.
    pub code_version: String,
    /// When the run was created.
    pub created_at: Timestamp,
    /// What was asked for.
    pub spec: RunSpec,
    /// The recipes behind the variants.
    pub recipes: Vec<(VariantName, Recipe)>,
    /// The artifacts that existed when the run began; the rest is in the event log.
    pub variants: Vec<VariantDigest>,
    /// The suites, by digest.
    pub suites: Vec<SuiteDigest>,
    /// The machine.
    pub hardware: Hardware,
}

impl Manifest {
    /// The version that this code writes. Version 1 did not record the format of the KV cache, which
    /// was f32.
    pub const FORMAT_VERSION: u32 = 2;
}

/// A variant and the digest of its artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantDigest {
    /// The variant.
    pub variant: VariantName,
    /// The artifact.
    pub digest: Digest,
}

/// A suite and the digest of its problems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteDigest {
    /// The suite.
    pub suite: String,
    /// Digest of its problems, prompts and tests included.
    pub digest: Digest,
    /// Problems in all.
    pub n_problems: u32,
}

/// The machine that a run is measured on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// The processor's own name.
    pub cpu: String,
    /// Worker threads.
    pub n_threads: u32,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// Instruction sets that the kernels use here, for example `avx2+fma+f16c`.
    pub simd: String,
    /// Kernel name and release.
    pub os: String,
    /// Where models are computed; manifests written before there was a choice say nothing.
    #[serde(default)]
    pub device: DeviceName,
}
