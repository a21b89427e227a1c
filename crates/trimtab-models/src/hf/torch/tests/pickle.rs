//! Steps, calls and sizes of pickles.

use super::{refused, stopped, text};

#[test]
fn nothing_but_tensors_is_called() {
    for (module, name) in [
        ("os", "system"),
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_tensor_v3"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("collections", "namedtuple"),
    ] {
        let expected = format!("the pickle asks for `{module}.{name}`, which is not executed");
        let error = refused(format!("c{module}\n{name}\n"));
        assert!(error.starts_with(&expected), "{error}");
        let stacked = [text(module), text(name), vec![0x93]].concat();
        let error = refused(stacked);
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn steps_that_tensors_do_not_need_are_named() {
    for (code, name) in [
        (b'i', "INST"),
        (b'o', "OBJ"),
        (0x81, "NEWOBJ"),
        (0x92, "NEWOBJ_EX"),
        (0x82, "EXT1"),
        (b'P', "PERSID"),
        (b'0', "POP"),
        (b'2', "DUP"),
        (b'B', "BINBYTES"),
        (0x8f, "EMPTY_SET"),
        (0x97, "NEXT_BUFFER"),
        (0xff, "unknown"),
    ] {
        let error = refused([code]);
        let expected = format!("the pickle has the step `{name}` (0x{code:02x}) at byte 0");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn calls_with_other_arguments_are_refused() {
    let tuple_of_text = [text("x"), vec![0x85]].concat();
    for body in [
        // A storage class is not called, a tensor has six arguments, a dictionary has none.
        b"ctorch\nFloatStorage\n)R".to_vec(),
        b"ctorch._utils\n_rebuild_tensor_v2\n)R".to_vec(),
        [
            b"ccollections\nOrderedDict\n".to_vec(),
            tuple_of_text.clone(),
            b"R".to_vec(),
        ]
        .concat(),
        [
            b"ctorch._utils\n_rebuild_parameter\n(".to_vec(),
            text("x"),
            b"\x88NtR".to_vec(),
        ]
        .concat(),
    ] {
        let error = refused(stopped(body));
        assert!(
            error.contains("`REDUCE`") && error.contains("the arguments of a tensor"),
            "{error}"
        );
    }
    for (body, step) in [
        ([text("x"), b")R".to_vec()].concat(), "REDUCE"),
        ([tuple_of_text, b"Q".to_vec()].concat(), "BINPERSID"),
        ([text("x"), b"Q".to_vec()].concat(), "BINPERSID"),
        (b"]}b".to_vec(), "BUILD"),
        (b"}Na".to_vec(), "APPEND"),
        (b"]NNs".to_vec(), "SETITEM"),
        (b"}(Nu".to_vec(), "SETITEM"),
        (b"NN\x93".to_vec(), "GLOBAL"),
        (b"h\x05".to_vec(), "GET"),
        (b"q\x05".to_vec(), "PUT"),
        (b"t".to_vec(), "TUPLE"),
        (b"N\x86".to_vec(), "TUPLE"),
        (b"N(\x85".to_vec(), "TUPLE"),
        (b"}(e".to_vec(), "APPEND"),
        (b"".to_vec(), "STOP"),
        (b"N(".to_vec(), "STOP"),
        (b"\x8a\x09123456789".to_vec(), "LONG1"),
    ] {
        let error = refused(stopped(body));
        assert!(
            error.starts_with(&format!("the pickle is damaged: `{step}`")),
            "{step}: {error}"
        );
    }
}

#[test]
fn a_pickle_that_ends_or_begins_wrongly_is_refused() {
    for body in ["", "X", "J\u{1}", "ctorch", "ctorch\n_utils", "G123", "q"] {
        let error = refused(body);
        assert!(error.starts_with("the pickle ends at byte "), "{error}");
    }
    let huge = [vec![0x8d], u64::MAX.to_le_bytes().to_vec()].concat();
    assert!(refused(huge).starts_with("the pickle ends at byte "));
    assert_eq!(
        refused(b"\x80\x01."),
        "pickle protocol 1 is not read; 2 to 5 are"
    );
    assert_eq!(
        refused(b"\x80\x06."),
        "pickle protocol 6 is not read; 2 to 5 are"
    );
    assert!(refused(b"\x8c\x01\xff.").ends_with("that is not UTF-8"));
}

#[test]
fn a_pickle_cannot_ask_for_any_amount_of_memory() {
    let marks = vec![b'('; (1 << 20) + 1];
    assert!(refused(marks).contains("more than 1048576 values on its stack"));
    // A tuple of a million values, and the tuple again and again.
    let tuples = [vec![b'('], vec![b'N'; (1 << 20) - 20], vec![b't']]
        .concat()
        .repeat(9);
    assert!(refused(tuples).contains("more than 8388608 values"));
    let memo: Vec<u8> = [vec![b'N'], vec![0x94; (1 << 22) + 1]].concat();
    assert!(refused(memo).contains("more than 4194304 values in its memo"));
    assert!(refused(vec![b'N'; (64 << 20) + 1]).contains("at most 67108864 are read"));
}
