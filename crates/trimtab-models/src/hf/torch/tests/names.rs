//! From what a pickle holds to names.

use super::{dict, integer, names, storage, tensor, text};

#[test]
fn what_is_no_dictionary_of_tensors_is_named() {
    for (body, found) in [
        (b"N".to_vec(), "nothing"),
        (b"]".to_vec(), "a list"),
        (integer(1), "an integer"),
        (tensor(0, &[1], &[1]), "a tensor"),
        (storage("ByteStorage", "0", 8), "a storage"),
    ] {
        let expected = format!("the file holds {found}, not a dictionary of tensors");
        assert_eq!(names(body).unwrap_err(), expected);
    }
}

#[test]
fn nested_names_are_joined_and_wrappers_left_out() {
    let t = || tensor(0, &[1], &[1]);
    let inner = || dict(&[("w", t()), ("steps", integer(3))]);
    let accepted = |body, expected: &[&str]| assert_eq!(names(body).unwrap(), expected);
    accepted(dict(&[("a", t()), ("b", inner())]), &["a", "b.w"]);
    accepted(dict(&[("a", inner()), ("b", inner())]), &["a.w", "b.w"]);
    accepted(
        dict(&[("state_dict", inner()), ("epoch", integer(1))]),
        &["w"],
    );
    accepted(
        dict(&[
            ("model", inner()),
            ("optimizer", dict(&[("state", inner())])),
        ]),
        &["w"],
    );
    // Beside a tensor, `model` is the first part of a name.
    accepted(
        dict(&[("model", inner()), ("head", t())]),
        &["head", "model.w"],
    );
    accepted(dict(&[]), &[]);
}

#[test]
fn names_that_are_unclear_are_refused() {
    let t = || tensor(0, &[1], &[1]);
    let inner = || dict(&[("w", t())]);
    let list = [b"](".to_vec(), t(), b"e".to_vec()].concat();
    let numbered = [b"}".to_vec(), integer(0), t(), b"s".to_vec()].concat();
    for (body, expected) in [
        (
            dict(&[("model", inner()), ("ema", inner())]),
            "the entries `model`, `ema` all hold tensors",
        ),
        (
            dict(&[("model", inner()), ("state_dict", dict(&[]))]),
            "the entries `model`, `state_dict`",
        ),
        (
            dict(&[("a", t()), ("b", list)]),
            "`b` holds tensors without names",
        ),
        (
            dict(&[("a", t()), ("b", numbered)]),
            "`b` holds tensors under keys that are an integer",
        ),
        (dict(&[("a", t()), ("a", t())]), "tensor `a` occurs twice"),
        (
            dict(&[("a.w", t()), ("a", inner())]),
            "tensor `a.w` occurs twice",
        ),
    ] {
        let error = names(body).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn dictionaries_that_hold_themselves_are_refused() {
    let itself = [b"}q\x00".to_vec(), text("a"), b"h\x00s".to_vec()].concat();
    assert_eq!(
        names(itself).unwrap_err(),
        "the dictionary of tensors goes beyond 16 levels"
    );
    // Each level holds the next one a hundred times.
    let mut body = b"}q\x00".to_vec();
    for level in 1..8 {
        body.extend([b'}', b'q', level, b'(']);
        for key in 0..100 {
            body.extend(text(&key.to_string()));
            body.extend([b'h', level - 1]);
        }
        body.push(b'u');
    }
    let error = names(body).unwrap_err();
    assert_eq!(
        error,
        "the dictionary of tensors goes beyond 262144 entries"
    );
    let long = "x".repeat(200);
    let mut body = dict(&[("w", tensor(0, &[1], &[1]))]);
    for _ in 0..8 {
        body = dict(&[(&long, body)]);
    }
    assert!(names(body).unwrap_err().contains("1024 bytes in a name"));
}
