//! Which instructions the kernels use here; decided once, when first asked.

use std::sync::OnceLock;

/// An instruction set that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// Plain Rust, on every machine.
    Portable,
}

impl Simd {
    /// The fastest set that this machine has.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Simd> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            if has_avx2() {
                Self::Avx2
            } else {
                Self::Portable
            }
        })
    }

    /// All sets that this machine has, for tests.
    pub fn available() -> Vec<Self> {
        if has_avx2() {
            vec![Self::Portable, Self::Avx2]
        } else {
            vec![Self::Portable]
        }
    }

    /// The name that manifests carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx2 => "avx2+fma+f16c",
            Self::Portable => "portable",
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}
