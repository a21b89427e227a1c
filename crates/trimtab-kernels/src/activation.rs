//! The gate of a gated MLP.

use crate::Simd;
#[cfg(target_arch = "x86_64")]
use crate::avx2;

/// `gate ← silu(gate) · up`, with silu(x) = x / (1 + e⁻ˣ).
///
/// # Shapes
///
/// - `gate`, `up`: the same length
pub fn silu_mul(simd: Simd, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::Avx2` is only handed out where the processor has these features.
        Simd::Avx2 => unsafe { avx2::silu_mul(gate, up) },
        _ => silu_mul_reference(gate, up),
    }
}

/// The plain form of [`silu_mul`].
pub fn silu_mul_reference(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_and_plain_gates_agree_from_tiny_to_huge() {
        let values: Vec<f32> = (-60..=60).map(|i| i as f32 * 1.7).collect();
        let up: Vec<f32> = values.iter().map(|v| v * 0.5 + 1.0).collect();
        let mut want = values.clone();
        silu_mul_reference(&mut want, &up);
        for simd in Simd::available() {
            let mut got = values.clone();
            silu_mul(simd, &mut got, &up);
            for (want, got) in want.iter().zip(&got) {
                assert!(
                    (want - got).abs() <= 2e-6 * want.abs().max(1.0),
                    "{simd:?} {want} {got}"
                );
            }
        }
    }
}
