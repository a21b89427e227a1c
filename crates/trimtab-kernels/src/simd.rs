//! Which instructions the kernels use here; decided once, when first asked.

use std::sync::OnceLock;

/// An instruction set that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 64-bit ARM with NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// Plain Rust, on every machine.
    Portable,
}

impl Simd {
    /// The fastest set that this machine has.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Simd> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::available()[0])
    }

    /// All sets that this machine has, the fastest first.
    pub fn available() -> Vec<Self> {
        [
            #[cfg(target_arch = "x86_64")]
            has_avx512().then_some(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            has_avx2().then_some(Self::Avx2),
            #[cfg(target_arch = "aarch64")]
            has_neon().then_some(Self::Neon),
            Some(Self::Portable),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The name that manifests carry.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512+vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2+fma+f16c",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(target_arch = "aarch64")]
fn has_neon() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}
