//! Configurations and tensors that are refused, each with its name.

use super::memory::{Content, MemorySource};
use crate::{TensorSource, quantized::QuantizedSource};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A GPTQ module of 4 bits: 8 outputs, 16 inputs, groups of 8.
fn gptq() -> (MemorySource, Value) {
    let source = MemorySource::default()
        .with_integers("m.qweight", &[2, 8], vec![0x7654_3210; 16])
        .with_integers("m.qzeros", &[2, 1], vec![0x7777_7777; 2])
        .with_floats("m.scales", &[2, 8], vec![0.5; 16])
        .with_integers(
            "m.g_idx",
            &[16],
            (0..16).map(|channel| channel / 8).collect(),
        );
    (
        source,
        json!({ "quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": false, "sym": true }),
    )
}

fn awq() -> (MemorySource, Value) {
    let source = MemorySource::default()
        .with_integers("m.qweight", &[16, 1], vec![0x7654_3210; 16])
        .with_integers("m.qzeros", &[2, 1], vec![0x7777_7777; 2])
        .with_floats("m.scales", &[2, 8], vec![0.5; 16]);
    (
        source,
        json!({ "quant_method": "awq", "bits": 4, "group_size": 8, "version": "gemm", "zero_point": true }),
    )
}

fn compressed() -> (MemorySource, Value) {
    let source = MemorySource::default()
        .with_integers("m.weight_packed", &[8, 2], vec![0x7654_3210; 16])
        .with_integers("m.weight_shape", &[2], vec![8, 16])
        .with_integers("m.weight_zero_point", &[1, 2], vec![0x7777_7777; 2])
        .with_floats("m.weight_scale", &[8, 2], vec![0.5; 16]);
    let weights = json!({ "num_bits": 4, "type": "int", "symmetric": false, "strategy": "group", "group_size": 8 });
    (source, compressed_config("pack-quantized", weights))
}

fn bytes() -> (MemorySource, Value) {
    let source = MemorySource::default()
        .with_integers("m.weight", &[2, 3], vec![-128, 0, 127, 1, 2, 3])
        .with_integers("m.weight_zero_point", &[2, 1], vec![-3, 4])
        .with_floats("m.weight_scale", &[2, 1], vec![0.5; 2]);
    let weights =
        json!({ "num_bits": 8, "type": "int", "symmetric": false, "strategy": "channel" });
    (source, compressed_config("int-quantized", weights))
}

fn compressed_config(format: &str, weights: Value) -> Value {
    json!({
        "quant_method": "compressed-tensors",
        "format": format,
        "quantization_status": "compressed",
        "config_groups": { "group_0": { "targets": ["Linear"], "weights": weights } },
        "ignore": ["lm_head"],
    })
}

fn outcome(source: &MemorySource, config: &Value) -> Result<Vec<f32>, String> {
    let quantized = QuantizedSource::open(source, config).map_err(|error| error.to_string())?;
    quantized
        .floats("m.weight")
        .map_err(|error| error.to_string())
}

#[test]
fn the_unchanged_examples_are_read() {
    for (source, config) in [gptq(), awq(), compressed(), bytes()] {
        outcome(&source, &config).unwrap();
    }
}

/// Refused with `message` after one key of the configuration is changed; `null` removes it.
#[track_caller]
fn check_config(
    example: fn() -> (MemorySource, Value),
    pointer: &str,
    value: Value,
    message: &str,
) {
    let (source, mut config) = example();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = config.pointer_mut(parent).unwrap();
    parent
        .as_object_mut()
        .unwrap()
        .insert(key.to_owned(), value);
    let error = outcome(&source, &config).unwrap_err();
    assert!(error.contains(message), "{pointer}: {error}");
}

/// Refused with `message` after one tensor is changed, or removed.
#[track_caller]
fn check_tensor(
    example: fn() -> (MemorySource, Value),
    name: &str,
    tensor: Option<(&[usize], Content)>,
    message: &str,
) {
    let (mut source, config) = example();
    match tensor {
        Some((shape, content)) => source.0.insert(name.to_owned(), (shape.to_vec(), content)),
        None => source.0.remove(name),
    };
    let error = outcome(&source, &config).unwrap_err();
    assert!(error.contains(message), "{name}: {error}");
}

fn words(n: usize) -> Content {
    Content::Integers(vec![0x7777_7777; n])
}

fn scales(n: usize) -> Content {
    Content::Floats(vec![0.5; n])
}

#[test]
fn configurations_of_other_gptq_and_awq_formats_are_named() {
    check_config(
        gptq,
        "/quant_method",
        json!("bitsandbytes"),
        "`bitsandbytes`",
    );
    check_config(
        gptq,
        "/quant_method",
        json!(3),
        "`quant_method` is not a string",
    );
    check_config(gptq, "/checkpoint_format", json!("marlin"), "`marlin`");
    check_config(gptq, "/is_marlin_format", json!(true), "is_marlin_format");
    check_config(gptq, "/pack_dtype", json!("int64"), "`int64`");
    check_config(gptq, "/bits", json!(5), "`5`");
    check_config(gptq, "/bits", json!(null), "`bits` is missing");
    check_config(gptq, "/bits", json!("four"), "`bits` is not an integer");
    check_config(gptq, "/group_size", json!(0), "`group_size` = 0");
    check_config(gptq, "/dynamic", json!([]), "`dynamic` is not an object");
    check_config(
        gptq,
        "/dynamic",
        json!({ "+:m": { "format": "marlin" } }),
        "dynamic.+:m",
    );
    check_config(awq, "/version", json!("gemv"), "`gemv`");
    check_config(awq, "/bits", json!(8), "AWQ of 4 bits");
    check_config(awq, "/backend", json!("llm-awq"), "llm-awq");
    let error = outcome(&gptq().0, &json!([1])).unwrap_err();
    assert!(error.contains("an object was expected"), "{error}");
}

#[test]
fn configurations_of_other_compressed_tensors_formats_are_named() {
    for format in [
        "float-quantized",
        "naive-quantized",
        "nvfp4-pack-quantized",
        "mixed-precision",
        "marlin-24",
    ] {
        check_config(compressed, "/format", json!(format), format);
    }
    check_config(compressed, "/format", json!(null), "`format` is missing");
    check_config(
        compressed,
        "/quantization_status",
        json!("frozen"),
        "frozen",
    );
    check_config(
        compressed,
        "/sparsity_config",
        json!({ "format": "sparse-bitmask" }),
        "sparsity_config",
    );
    check_config(
        compressed,
        "/transform_config",
        json!({ "a": 1 }),
        "transform_config",
    );
    check_config(
        compressed,
        "/config_groups",
        json!({}),
        "`config_groups` is empty",
    );
    check_config(
        compressed,
        "/config_groups",
        json!(null),
        "`config_groups` is missing",
    );
}

#[test]
fn groups_of_compressed_tensors_that_cannot_be_read_are_named() {
    let group = "/config_groups/group_0";
    check_config(
        compressed,
        &format!("{group}/weights"),
        json!(null),
        "`group_0` does not say",
    );
    check_config(
        compressed,
        &format!("{group}/format"),
        json!("int-quantized"),
        "group_0.format",
    );
    check_config(
        compressed,
        &format!("{group}/weights/type"),
        json!("float"),
        "`float`",
    );
    check_config(
        compressed,
        &format!("{group}/weights/num_bits"),
        json!(16),
        "`16`",
    );
    check_config(
        compressed,
        &format!("{group}/weights/strategy"),
        json!("block"),
        "`block`",
    );
    check_config(
        compressed,
        &format!("{group}/weights/group_size"),
        json!(null),
        "needs a `group_size`",
    );
    check_config(
        compressed,
        &format!("{group}/weights/symmetric"),
        json!(true),
        "`symmetric`",
    );
}

#[test]
fn configurations_that_disagree_with_the_tensors_are_named() {
    check_config(gptq, "/bits", json!(8), "`m.qweight` has shape [2, 8]");
    check_config(gptq, "/group_size", json!(4), "`m.scales`");
    check_config(
        gptq,
        "/group_size",
        json!(-1),
        "fit none of the group sizes [-1]",
    );
    check_config(
        gptq,
        "/dynamic",
        json!({ "m": { "group_size": 9 } }),
        "fit several",
    );
    check_config(awq, "/group_size", json!(16), "`m.scales`");
    check_config(awq, "/group_size", json!(5), "do not divide");
    let weights = "/config_groups/group_0/weights";
    check_config(
        compressed,
        &format!("{weights}/num_bits"),
        json!(8),
        "fits no group",
    );
    check_config(
        compressed,
        &format!("{weights}/group_size"),
        json!(16),
        "fits no group",
    );
    check_config(
        compressed,
        &format!("{weights}/strategy"),
        json!("channel"),
        "fits no group",
    );
    check_config(
        bytes,
        &format!("{weights}/num_bits"),
        json!(4),
        "fits no group",
    );
}

#[test]
fn missing_tensors_are_named() {
    check_tensor(gptq, "m.qweight", None, "no tensor `m.qweight`");
    check_tensor(gptq, "m.qzeros", None, "no tensor `m.qzeros`");
    check_tensor(gptq, "m.scales", None, "no tensor `m.scales`");
    check_tensor(awq, "m.qzeros", None, "no tensor `m.qzeros`");
    check_tensor(awq, "m.scales", None, "no tensor `m.scales`");
    check_tensor(
        compressed,
        "m.weight_packed",
        None,
        "no tensor `m.weight_packed`",
    );
    check_tensor(
        compressed,
        "m.weight_scale",
        None,
        "no tensor `m.weight_scale`",
    );
    check_tensor(
        compressed,
        "m.weight_shape",
        None,
        "no tensor `m.weight_shape`",
    );
    check_tensor(
        compressed,
        "m.weight_zero_point",
        None,
        "`m.weight_zero_point`",
    );
    check_tensor(bytes, "m.weight_zero_point", None, "`m.weight_zero_point`");
    check_tensor(
        bytes,
        "m.weight",
        Some((&[2, 3], scales(6))),
        "`m.weight`: holds floats",
    );
    let error = outcome(&MemorySource::default(), &gptq().1).unwrap_err();
    assert!(error.contains("no tensor is stored that way"), "{error}");
}

#[test]
fn shapes_that_do_not_fit_in_gptq_are_named() {
    check_tensor(gptq, "m.qweight", Some((&[3, 8], words(24))), "`m.qweight`");
    check_tensor(
        gptq,
        "m.qweight",
        Some((&[16], words(16))),
        "has to be a matrix",
    );
    check_tensor(
        gptq,
        "m.qweight",
        Some((&[0, 8], words(0))),
        "has to be a matrix",
    );
    check_tensor(
        gptq,
        "m.qweight",
        Some((&[2, 8], scales(16))),
        "holds floats, not integers",
    );
    check_tensor(gptq, "m.qzeros", Some((&[2, 2], words(4))), "`m.qzeros`");
    check_tensor(gptq, "m.scales", Some((&[2, 4], scales(8))), "`m.scales`");
    check_tensor(
        gptq,
        "m.scales",
        Some((&[2, 8], words(16))),
        "holds integers, not floats",
    );
    check_tensor(gptq, "m.g_idx", Some((&[4, 4], words(16))), "`m.g_idx`");
    check_tensor(gptq, "m.g_idx", Some((&[0], words(0))), "`m.qweight`");
    check_tensor(
        gptq,
        "m.weight",
        Some((&[8, 16], scales(128))),
        "beside `qweight`",
    );
}

#[test]
fn shapes_that_do_not_fit_elsewhere_are_named() {
    check_tensor(awq, "m.qzeros", Some((&[1, 1], words(1))), "`m.qzeros`");
    check_tensor(awq, "m.scales", Some((&[2, 9], scales(18))), "`m.scales`");
    check_tensor(
        compressed,
        "m.weight_packed",
        Some((&[8, 3], words(24))),
        "fits no group",
    );
    check_tensor(
        compressed,
        "m.weight_scale",
        Some((&[8, 3], scales(24))),
        "fits no group",
    );
    check_tensor(
        compressed,
        "m.weight_shape",
        Some((&[3], words(3))),
        "`m.weight_shape`",
    );
    check_tensor(
        compressed,
        "m.weight_zero_point",
        Some((&[2, 2], words(4))),
        "`m.weight_zero_point`",
    );
    check_tensor(
        compressed,
        "m.weight_g_idx",
        Some((&[15], words(15))),
        "`m.weight_g_idx`",
    );
    check_tensor(
        bytes,
        "m.weight_zero_point",
        Some((&[3, 1], words(3))),
        "`m.weight_zero_point`",
    );
}

#[test]
fn numbers_that_cannot_be_are_named() {
    let integers = |values: &[i32]| Content::Integers(values.to_vec());
    let group_idx = |wrong: i32| {
        let mut groups = vec![0; 16];
        groups[3] = wrong;
        Content::Integers(groups)
    };
    check_tensor(
        gptq,
        "m.g_idx",
        Some((&[16], group_idx(2))),
        "group 2 of channel 3",
    );
    check_tensor(
        gptq,
        "m.g_idx",
        Some((&[16], group_idx(-1))),
        "group -1 of channel 3",
    );
    check_tensor(
        compressed,
        "m.weight_g_idx",
        Some((&[16], group_idx(7))),
        "group 7 of channel 3",
    );
    for shape in [[8, 0], [7, 16], [-8, 16], [8, i32::MAX], [8, 33]] {
        check_tensor(
            compressed,
            "m.weight_shape",
            Some((&[2], integers(&shape))),
            "m.weight_",
        );
    }
    check_tensor(
        bytes,
        "m.weight",
        Some((&[2, 3], integers(&[0, 0, 0, 0, 128, 0]))),
        "128 is no signed number",
    );
    check_tensor(
        bytes,
        "m.weight_zero_point",
        Some((&[2, 1], integers(&[0, -129]))),
        "-129 is no signed number",
    );
    let nan = Content::Floats([vec![f32::NAN], vec![0.5; 15]].concat());
    check_tensor(
        gptq,
        "m.scales",
        Some((&[2, 8], nan)),
        "tensor `m.scales` holds NaN",
    );
    let huge = Content::Floats(vec![f32::MAX; 16]);
    check_tensor(
        gptq,
        "m.scales",
        Some((&[2, 8], huge)),
        "tensor `m.weight` holds",
    );
}

#[test]
fn a_source_whose_tensors_are_shorter_than_their_shapes_is_refused() {
    check_tensor(gptq, "m.qweight", Some((&[2, 8], words(15))), "`m.qweight`");
    check_tensor(awq, "m.scales", Some((&[2, 8], scales(15))), "m.qweight");
    check_tensor(
        compressed,
        "m.weight_packed",
        Some((&[8, 2], words(15))),
        "15 elements",
    );
    check_tensor(
        compressed,
        "m.weight_scale",
        Some((&[8, 2], scales(15))),
        "15 elements",
    );
}

#[test]
fn activation_order_of_older_compressed_tensors_is_read() {
    let (source, config) = compressed();
    let scales = [0.5, 2.0].repeat(8);
    let source = source.with_floats("m.weight_scale", &[8, 2], scales);
    let plain = outcome(&source, &config).unwrap();
    let swapped = (0..16).map(|channel| i32::from(channel < 8)).collect();
    let swapped = source
        .clone()
        .with_integers("m.weight_g_idx", &[16], swapped);
    // The zero points are alike, so only the scale of each half of a row changes.
    let want: Vec<f32> = (plain.iter().enumerate())
        .map(|(idx, value)| value * if idx % 16 < 8 { 4.0 } else { 0.25 })
        .collect();
    assert_eq!(outcome(&swapped, &config).unwrap(), want);
    let unset = source.with_integers("m.weight_g_idx", &[16], vec![-1; 16]);
    assert_eq!(outcome(&unset, &config).unwrap(), plain);
}

#[test]
fn old_and_other_names_of_keys_are_read() {
    let (source, config) = gptq();
    let want = outcome(&source, &config).unwrap();
    let old = json!({ "bits": 4, "group_size": 8, "damp_percent": 0.01, "desc_act": false, "static_groups": false,
        "sym": true, "true_sequential": true, "model_name_or_path": null, "model_file_base_name": "m",
        "is_marlin_format": false });
    assert_eq!(outcome(&source, &old).unwrap(), want);
    let aliases =
        json!({ "quant_method": "gptq", "wbits": 4, "q_group_size": 8, "format": "gptq" });
    assert_eq!(outcome(&source, &aliases).unwrap(), want);
    let dynamic = json!({ "quant_method": "gptq", "bits": 8, "group_size": 16,
        "dynamic": { "+:m": { "bits": 4, "group_size": 8 }, "-:lm_head": {} } });
    assert_eq!(outcome(&source, &dynamic).unwrap(), want);
    let (source, config) = awq();
    let want = outcome(&source, &config).unwrap();
    let old = json!({ "w_bit": 4, "q_group_size": 8, "zero_point": true, "version": "GEMM" });
    assert_eq!(outcome(&source, &old).unwrap(), want);
}

#[test]
fn without_group_numbers_the_width_of_codes_has_to_be_known() {
    let (mut source, config) = gptq();
    let want = outcome(&source, &config).unwrap();
    source.0.remove("m.g_idx");
    assert_eq!(outcome(&source, &config).unwrap(), want);
    let dynamic = json!({ "quant_method": "gptq", "bits": 4, "group_size": 8, "dynamic": { "x": { "bits": 8 } } });
    let error = outcome(&source, &dynamic).unwrap_err();
    assert!(error.contains("needs `g_idx`"), "{error}");
}

#[test]
fn a_source_behind_the_decorator_passes_its_own_errors_on() {
    let (source, config) = gptq();
    let quantized = QuantizedSource::open(&source, &config).unwrap();
    let error = quantized.floats("absent").unwrap_err().to_string();
    assert_eq!(error, "there is no tensor `absent`");
}

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
