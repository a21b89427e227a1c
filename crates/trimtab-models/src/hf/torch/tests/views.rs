//! Tensors in their storages: strides, offsets and lengths.

use super::{archive, dict, names, parsed, stopped, storage, tensor, tensor_of};
use crate::tensor_source::TensorSource;

#[test]
fn views_of_a_storage_are_read_by_their_strides() {
    for (offset, shape, strides, expected) in [
        (
            0,
            [2, 4].as_slice(),
            [4, 1].as_slice(),
            [0, 1, 2, 3, 4, 5, 6, 7].as_slice(),
        ),
        (0, &[4, 2], &[1, 4], &[0, 4, 1, 5, 2, 6, 3, 7]),
        (1, &[2, 2], &[4, 2], &[1, 3, 5, 7]),
        (2, &[1, 3], &[99_999_999_999, 1], &[2, 3, 4]),
        (3, &[2, 2, 1], &[0, 1, 7], &[3, 4, 3, 4]),
        (7, &[], &[], &[7]),
        (99, &[0, 3], &[3, 1], &[]),
    ] {
        let pickle = stopped(dict(&[("t", tensor(offset, shape, strides))]));
        let weights = parsed(archive(pickle).bytes()).unwrap();
        assert_eq!(
            weights.integers("t").unwrap(),
            expected,
            "{shape:?} {strides:?}"
        );
    }
}

#[test]
fn views_that_lead_out_of_their_storage_are_refused() {
    for (offset, shape, strides) in [
        (0, [9].as_slice(), [1].as_slice()),
        (1, &[8], &[1]),
        (0, &[2], &[8]),
        (-1, &[1], &[1]),
        (0, &[-1], &[1]),
        (0, &[2], &[-1]),
        (8, &[], &[]),
        (0, &[9], &[0]),
        (0, &[i64::MAX, i64::MAX], &[0, 0]),
        (0, &[2], &[i64::MAX]),
        (i64::MAX, &[2], &[i64::MAX]),
        (0, &[i64::MAX, i64::MAX, 0], &[1, 1, 1]),
    ] {
        let error = names(dict(&[("t", tensor(offset, shape, strides))])).unwrap_err();
        assert!(
            error.contains("lead out of a storage of 8 elements"),
            "{error}"
        );
    }
    let error = names(dict(&[("t", tensor(0, &[1], &[1, 1]))])).unwrap_err();
    assert!(error.contains("do not fit"), "{error}");
    let error = names(dict(&[("t", tensor(0, &[1; 9], &[1; 9]))])).unwrap_err();
    assert!(error.contains("do not fit"), "{error}");
}

#[test]
fn a_storage_of_another_length_than_its_member_is_refused() {
    for (class, n_elements) in [
        ("ByteStorage", 7),
        ("LongStorage", 8),
        ("ByteStorage", -1),
        ("LongStorage", i64::MAX),
    ] {
        let view = tensor_of(storage(class, "0", n_elements), 0, &[1], &[1]);
        let error = names(dict(&[("t", view)])).unwrap_err();
        assert!(
            error.contains("elements has 8 bytes in the file"),
            "{error}"
        );
    }
    let view = tensor_of(storage("ByteStorage", "1", 8), 0, &[1], &[1]);
    let error = names(dict(&[("t", view)])).unwrap_err();
    assert_eq!(error, "the archive has no member `a/data/1`");
}
