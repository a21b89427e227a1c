//! Arbitrary tensors: whatever they are, the readers do not panic.

use super::{Content, TensorSource, awq, bytes, compressed, gptq, outcome};
use proptest::prelude::*;

/// A tensor of any small shape and any numbers, sometimes shorter than its shape, sometimes absent.
fn any_tensor() -> impl Strategy<Value = Option<(Vec<usize>, Content)>> {
    let shape = prop::collection::vec(0_usize..20, 0..3);
    let content = (any::<bool>(), any::<u64>(), 0_usize..10);
    prop::option::weighted(0.9, (shape, content)).prop_map(|tensor| {
        let (shape, (is_float, seed, cut)) = tensor?;
        let n = shape.iter().product::<usize>();
        let n = if cut == 0 { n / 2 } else { n };
        let number = |idx: usize| (seed.wrapping_mul(2 * idx as u64 + 1) >> 20) as i32;
        let small = |idx: usize| match seed % 3 {
            0 => number(idx),
            _ => number(idx).rem_euclid(20) - 1,
        };
        let content = match is_float {
            true => Content::Floats(
                (0..n)
                    .map(|idx| f32::from_bits(number(idx).cast_unsigned()))
                    .collect(),
            ),
            false => Content::Integers((0..n).map(small).collect()),
        };
        Some((shape, content))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_tensors_make_the_readers_panic(
        which in 0_usize..4,
        tensors in prop::collection::vec((0_usize..5, any_tensor()), 0..3),
    ) {
        let (mut source, config) = [gptq, awq, compressed, bytes][which]();
        let names = source.names();
        for (idx, tensor) in tensors {
            let name = names.get(idx).cloned().unwrap_or_else(|| "m.weight_g_idx".to_owned());
            match tensor {
                Some(tensor) => source.0.insert(name, tensor),
                None => source.0.remove(&name),
            };
        }
        if let Err(message) = outcome(&source, &config) {
            prop_assert!(!message.is_empty());
        }
    }
}
