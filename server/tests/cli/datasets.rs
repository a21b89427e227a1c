//! Suites of one's own: imported, shown, and refused with the line and what to do.

use crate::program::{answered, folder, stderr, stdout, trimtab};
use std::{fs, path::Path};

const LINE: &str = r#"{"id":"a/1","prompt":"Write f that returns 1.","reference":"def f():\n    return 1","tests":"assert f() == 1"}"#;

/// Imports `bytes` as suite `mine`; the refusal, which must be bad input and leave nothing behind.
#[track_caller]
fn refused(bytes: &[u8], more: &[&str]) -> String {
    let folder = folder();
    fs::write(folder.path().join("mine.jsonl"), bytes).expect("writable");
    let import = ["datasets", "import", "mine.jsonl", "--name", "mine"];
    let output = trimtab(folder.path(), &[&import, more].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        stdout(&output).is_empty() && said.starts_with("error: "),
        "{said}"
    );
    let listed = answered(folder.path(), &["datasets", "list"]);
    let mut names = listed.as_array().into_iter().flatten();
    assert!(names.all(|dataset| dataset["name"] != "mine"), "{listed}");
    said
}

#[test]
fn a_suite_is_imported_shown_and_listed() {
    let folder = folder();
    let data = folder.path();
    let theirs = LINE
        .replace("\"prompt\"", "\"text\"")
        .replace("\"id\"", "\"task\"");
    fs::write(data.join("mine.jsonl"), theirs).expect("writable");
    let mut import = vec!["datasets", "import", "mine.jsonl", "--name", "mine"];
    import.extend(["--fields", "prompt=text,id=task", "--licence", "MIT"]);
    let made = answered(data, &import);
    assert_eq!(
        (&made["n_problems"], &made["licence"]),
        (&1.into(), &"MIT".into())
    );
    let shown = answered(data, &["datasets", "show", "mine"]);
    assert_eq!(shown, made);
    let text = stdout(&trimtab(data, &["datasets", "show", "mine"]));
    let digest = made["digest"].as_str().expect("a digest");
    assert!(
        text.contains(digest) && text.contains("problems  1"),
        "{text}"
    );
    let list = stdout(&trimtab(data, &["datasets", "list"]));
    let states = ["bundled", "here", "can be pulled", "can be imported"];
    assert!(states.iter().all(|state| list.contains(state)), "{list}");
}

#[test]
fn problems_that_cannot_be_are_named_by_their_line() {
    let twice = refused(format!("{LINE}\n\n{LINE}").as_bytes(), &[]);
    assert!(
        twice.contains("suite `mine`, line 3: the id `a/1` was used in line 1"),
        "{twice}"
    );
    let untested = LINE.replace("tests", "notes");
    let said = refused(format!("{LINE}\n{untested}").as_bytes(), &[]);
    assert!(said.contains("line 2: it has no tests"), "{said}");
    let blank = refused(LINE.replace("assert f() == 1", " ").as_bytes(), &[]);
    assert!(blank.contains("line 1: `tests` is empty"), "{blank}");
    let said = refused(b"{\"id\": 1,\n", &[]);
    assert!(said.contains("suite `mine`, line 1: "), "{said}");
    let said = refused(b"\n \n", &[]);
    assert!(said.contains("suite `mine` has no problems"), "{said}");
}

#[test]
fn files_that_are_no_text_or_too_long_are_refused() {
    let latin = [LINE.as_bytes(), b"\n{\"id\":\"\xe4\"}"].concat();
    let said = refused(&latin, &[]);
    assert!(
        said.contains("line 2: it is not UTF-8 from byte 8 on")
            && said.contains("save the file as UTF-8"),
        "{said}"
    );
    let utf16: Vec<u8> = LINE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let said = refused(&[b"\xff\xfe", &utf16[..]].concat(), &[]);
    assert!(
        said.contains("line 1: it is not UTF-8 from byte 1"),
        "{said}"
    );
    let long = format!("{LINE}\n{{\"id\":\"{}\"}}", "x".repeat(9 << 20));
    let said = refused(long.as_bytes(), &[]);
    assert!(
        said.contains("line 2: it has") && said.contains("a problem has at most"),
        "{said}"
    );
    let said = refused(b"\x1f\x8b\x08torn", &[]);
    assert!(said.contains("it cannot be unpacked"), "{said}");
    let endless = refused(LINE.as_bytes(), &["/dev/zero"]);
    assert!(
        endless.contains("`/dev/zero` is too large: a suite's file has at most 256 MiB"),
        "{endless}"
    );
    let said = refused(LINE.as_bytes(), &["/no/such/file"]);
    assert!(said.contains("cannot read `/no/such/file`"), "{said}");
}

#[test]
fn options_of_an_import_are_checked() {
    let line = LINE.as_bytes();
    let said = refused(line, &["--fields", "prompt=text"]);
    assert!(said.contains("line 1: it has no field `text`"), "{said}");
    let said = refused(line, &["--fields", "promt=text"]);
    assert!(said.contains("a problem has no field `promt`"), "{said}");
    let said = refused(line, &["--format", "csv"]);
    assert!(
        said.contains("there is no format `csv`") && said.contains("hint: formats are"),
        "{said}"
    );
    for name in ["starter", "../mine", "Mine"] {
        let folder = folder();
        fs::write(folder.path().join("mine.jsonl"), LINE).expect("writable");
        let import = ["datasets", "import", "mine.jsonl", "--name", name];
        let output = trimtab(folder.path(), &import);
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}

#[test]
fn what_is_not_in_the_catalog_or_cannot_be_pulled_says_what_to_do() {
    let folder = folder();
    let said = |arguments: &[&str]| stderr(&trimtab(folder.path(), arguments));
    let unknown = said(&["datasets", "pull", "nothing"]);
    assert!(
        unknown.contains("hint: the catalog has humaneval"),
        "{unknown}"
    );
    let offline = said(&["datasets", "pull", "humaneval"]);
    assert!(
        offline.contains("`TRIMTAB_OFFLINE` forbids downloads"),
        "{offline}"
    );
    assert!(offline.contains("trimtab datasets import"), "{offline}");
    let unmirrored = said(&["datasets", "pull", "mbpp"]);
    assert!(unmirrored.contains("`mbpp` has no mirror"), "{unmirrored}");
}

#[test]
fn a_damaged_suite_is_listed_as_such_and_harms_no_other() {
    let folder = folder();
    let data = folder.path();
    fs::write(data.join("mine.jsonl"), LINE).expect("writable");
    let made = answered(
        data,
        &["datasets", "import", "mine.jsonl", "--name", "mine"],
    );
    let digest = made["files"][0]["sha256"].as_str().expect("a digest");
    let stored = find(&data.join("datasets"), digest);
    fs::write(stored, LINE.replace("== 1", "== 2")).expect("writable");
    let listed = answered(data, &["datasets", "list"]);
    let listed = listed.as_array().expect("a list");
    let state = |name: &str| {
        let found = listed.iter().find(|dataset| dataset["name"] == name);
        found.expect("listed")["state"].clone()
    };
    assert_eq!(
        (state("mine"), state("starter")),
        ("damaged".into(), "bundled".into())
    );
    let shown = stdout(&trimtab(data, &["datasets", "show", "mine"]));
    assert!(
        shown.contains("is damaged; import or pull it again"),
        "{shown}"
    );
    let variants = "smollm2-135m-instruct:f16,smollm2-135m-instruct:int8";
    let evaluate = ["evaluate", "--variants", variants, "--plan", "--suite"];
    let plan = trimtab(data, &[&evaluate[..], &["starter"]].concat());
    assert_eq!(plan.status.code(), Some(0), "{}", stderr(&plan));
    let broken = trimtab(data, &[&evaluate[..], &["mine"]].concat());
    assert_ne!(broken.status.code(), Some(0));
    assert!(
        stderr(&broken).contains("is damaged"),
        "{}",
        stderr(&broken)
    );
}

/// The stored file whose name begins with `digest`.
fn find(folder: &Path, digest: &str) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if name.starts_with(digest) {
                return entry.path();
            }
        }
    }
    panic!("no file of digest {digest}")
}
