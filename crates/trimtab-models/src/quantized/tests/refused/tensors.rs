//! Tensors that are missing, or have shapes or numbers that cannot be.

use super::{Content, MemorySource, awq, bytes, compressed, gptq, outcome};
use serde_json::Value;

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
