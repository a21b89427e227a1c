//! Configurations of other formats, and those that disagree with the tensors.

use super::{MemorySource, awq, bytes, compressed, gptq, outcome};
use serde_json::{Value, json};

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
