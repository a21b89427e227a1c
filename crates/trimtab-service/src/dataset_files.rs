//! Imported data sets in the data folder: their files by digest, and a note of what they are.

use crate::{DataPaths, disk};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use trimtab_domain::{Bytes, CatalogDataset, Digest, Failure};
use trimtab_eval::{Suite, suite, suite_names};
use trimtab_suites::{FieldMap, MAX_FILE_BYTES, SuiteFormat, read_suite};

/// Version of the note; readers refuse what is newer.
const FORMAT_VERSION: u32 = 1;

/// What is known of an imported data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    pub(crate) format_version: u32,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) licence: String,
    pub(crate) format: SuiteFormat,
    pub(crate) fields: FieldMap,
    pub(crate) files: Vec<StoredFile>,
}

/// One of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredFile {
    pub(crate) sha256: Digest,
    pub(crate) size: Bytes,
    /// Where it came from.
    pub(crate) source: String,
}

impl Note {
    pub(crate) fn new(
        name: &str,
        title: &str,
        licence: &str,
        format: SuiteFormat,
        fields: FieldMap,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            name: name.to_owned(),
            title: title.to_owned(),
            licence: licence.to_owned(),
            format,
            fields,
            files: Vec::new(),
        }
    }
}

/// The suite of that name: one of the program, or an imported one.
///
/// # Errors
///
/// An unknown name, and an imported suite whose files are gone or damaged.
pub(crate) fn load(paths: &DataPaths, name: &str) -> Result<Suite, Failure> {
    if suite_names().contains(&name) {
        return suite(name).map_err(Failure::failed);
    }
    match note(paths, name)? {
        Some(note) => read(paths, &note),
        None => Err(unknown(paths, name)),
    }
}

/// Names of all suites that can be asked: those of the program first.
pub(crate) fn names(paths: &DataPaths) -> Vec<String> {
    let entries = fs::read_dir(paths.datasets()).into_iter().flatten();
    let mut imported: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let name = name.strip_suffix(".json")?;
            is_name(name).then(|| name.to_owned())
        })
        .collect();
    imported.sort();
    suite_names()
        .into_iter()
        .map(str::to_owned)
        .chain(imported)
        .collect()
}

/// The note of an imported data set; `None` if there is none of that name.
pub(crate) fn note(paths: &DataPaths, name: &str) -> Result<Option<Note>, Failure> {
    if !is_name(name) {
        return Ok(None);
    }
    let path = note_path(paths, name);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let path = path.display();
            return Err(Failure::failed(format!("cannot read `{path}`: {error}")));
        }
    };
    let damaged = |detail: String| {
        Failure::failed(format!(
            "the note of data set `{name}` cannot be used: {detail}"
        ))
        .with_hint("import it again")
    };
    let note: Note = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if note.format_version > FORMAT_VERSION {
        return Err(damaged(format!(
            "it has version {}, and this program knows {FORMAT_VERSION}",
            note.format_version
        )));
    }
    Ok(Some(note))
}

/// Reads the problems of an imported data set; its files must still have their digests.
pub(crate) fn read(paths: &DataPaths, note: &Note) -> Result<Suite, Failure> {
    let store = paths.dataset_files()?;
    let mut texts = Vec::new();
    for file in &note.files {
        let path = store.path(&file.sha256);
        let gone = |what: &str| {
            let (name, digest) = (&note.name, &file.sha256);
            Failure::failed(format!("file {digest} of data set `{name}` {what}"))
                .with_hint("import or pull it again")
        };
        if !path.is_file() {
            return Err(gone("is not in the data folder"));
        }
        if !store.verify(&file.sha256)? {
            return Err(gone("is damaged"));
        }
        texts.push(fs::read(&path).map_err(|error| gone(&format!("cannot be read: {error}")))?);
    }
    let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let suite = read_suite(&note.name, &note.title, note.format, &texts, &note.fields)?;
    Ok(suite)
}

/// Stores files and their note, once the suite could be read from them; returns the suite.
pub(crate) fn store(
    paths: &DataPaths,
    mut note: Note,
    files: &[(String, Vec<u8>)],
) -> Result<(Note, Suite), Failure> {
    let texts: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let suite = read_suite(&note.name, &note.title, note.format, &texts, &note.fields)?;
    let store = paths.dataset_files()?;
    for (source, bytes) in files {
        let tmp = paths.tmp();
        let failed = |error: std::io::Error| disk::write_failure(&tmp, &error);
        let mut file = tempfile::NamedTempFile::new_in(&tmp).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        let (_, path) = file.keep().map_err(|error| failed(error.error))?;
        let (sha256, size) = store.adopt(&path)?;
        let source = source.clone();
        note.files.push(StoredFile {
            sha256,
            size,
            source,
        });
    }
    let path = note_path(paths, &note.name);
    let unfinished = path.with_extension("unfinished");
    let text = serde_json::to_vec_pretty(&note).expect("a note has string keys");
    fs::write(&unfinished, text)
        .and_then(|()| fs::rename(&unfinished, &path))
        .map_err(|error| disk::write_failure(&path, &error))?;
    Ok((note, suite))
}

/// Whether a data set can be called so: the name is part of a path.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('-')
}

/// Refuses files larger than any suite before they are read.
pub(crate) fn require_size(source: &str, n_bytes: u64) -> Result<(), Failure> {
    if n_bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    Err(too_large(source))
}

/// The refusal of a file that is larger than any suite.
pub(crate) fn too_large(source: &str) -> Failure {
    let limit = MAX_FILE_BYTES >> 20;
    Failure::bad_input(format!(
        "`{source}` is too large: a suite's file has at most {limit} MiB"
    ))
    .with_hint("split it into several suites")
}

fn note_path(paths: &DataPaths, name: &str) -> PathBuf {
    paths.datasets().join(format!("{name}.json"))
}

fn unknown(paths: &DataPaths, name: &str) -> Failure {
    let names = names(paths).join(", ");
    let catalog = trimtab_domain::dataset_catalog();
    let entry = catalog.iter().find(|entry| entry.name == name);
    let has_mirrors = |entry: &CatalogDataset| entry.files.iter().all(|it| it.mirror.is_some());
    let hint = match entry {
        Some(entry) if has_mirrors(entry) => {
            format!("`trimtab datasets pull {name}` brings it here")
        }
        Some(_) => format!(
            "`trimtab datasets show {name}` tells where its files are, and `trimtab datasets \
             import FILE… --name {name}` brings them here"
        ),
        None => format!("suites are {names}; `trimtab datasets list` shows what can be had"),
    };
    Failure::not_found(format!("there is no suite `{name}`")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"id":"a/1","prompt":"Write f.","reference":"def f(): return 1","tests":"assert f() == 1"}"#;

    fn paths() -> (tempfile::TempDir, DataPaths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = DataPaths::new(folder.path());
        paths.create().unwrap();
        (folder, paths)
    }

    fn new_note(name: &str) -> Note {
        Note::new(name, "Mine", "MIT", SuiteFormat::Own, FieldMap::default())
    }

    #[test]
    fn what_is_stored_is_read_again_and_listed() {
        let (_folder, paths) = paths();
        let files = [("mine.jsonl".to_owned(), LINE.as_bytes().to_vec())];
        let (note, suite) = store(&paths, new_note("mine"), &files).unwrap();
        assert_eq!(load(&paths, "mine").unwrap(), suite);
        assert_eq!(names(&paths), ["starter", "mine"]);
        assert_eq!(super::note(&paths, "mine").unwrap(), Some(note));
    }

    #[test]
    fn a_damaged_file_is_told() {
        let (_folder, paths) = paths();
        let files = [("mine.jsonl".to_owned(), LINE.as_bytes().to_vec())];
        let (note, _) = store(&paths, new_note("mine"), &files).unwrap();
        let file = paths.dataset_files().unwrap().path(&note.files[0].sha256);
        fs::write(&file, LINE.replace('1', "2")).unwrap();
        assert!(
            load(&paths, "mine")
                .unwrap_err()
                .message
                .contains("is damaged")
        );
        fs::remove_file(&file).unwrap();
        let failure = load(&paths, "mine").unwrap_err();
        assert!(failure.message.contains("is not in the data folder"));
    }

    #[test]
    fn a_broken_suite_is_not_stored() {
        let (_folder, paths) = paths();
        let files = [(
            "mine.jsonl".to_owned(),
            format!("{LINE}\n{LINE}").into_bytes(),
        )];
        let failure = store(&paths, new_note("mine"), &files).unwrap_err();
        assert!(
            failure
                .message
                .contains("line 2: the id `a/1` was used in line 1")
        );
        assert_eq!(
            failure.hint.as_deref(),
            Some("give each problem an id of its own")
        );
        assert_eq!(names(&paths), ["starter"]);
    }

    #[test]
    fn an_unknown_suite_says_what_can_be_had() {
        let (_folder, paths) = paths();
        let hint = |name: &str| load(&paths, name).unwrap_err().hint.unwrap();
        assert_eq!(
            hint("humaneval"),
            "`trimtab datasets pull humaneval` brings it here"
        );
        assert!(hint("mbpp").starts_with("`trimtab datasets show mbpp` tells where"));
        assert!(hint("../etc").starts_with("suites are starter"));
    }

    #[test]
    fn names_stay_in_their_folder() {
        assert!(is_name("humaneval-plus"));
        for name in ["", "-a", "A", "a/b", "..", "a.b", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
