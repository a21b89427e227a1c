//! Files of texts: one JSON object with `text` a line, hypotheses beside references.

use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};
use trimtab_domain::Failure;

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 8 * 1024 * 1024;
const FORM: &str = "each line is a JSON object with the text, such as {\"text\": \"x = 1\"}";

#[derive(Deserialize)]
struct Line {
    text: String,
}

/// Hypotheses, each with its references.
#[derive(Debug)]
pub struct TextPairs {
    hypotheses: Vec<String>,
    /// By file of references, then by line.
    references: Vec<Vec<String>>,
}

impl TextPairs {
    /// Reads the texts of both sides; several files of references give each hypothesis several.
    ///
    /// # Errors
    ///
    /// Bad input that names file and line: unreadable, malformed, empty, or of different lengths.
    pub fn read(hypotheses: &Path, references: &[impl AsRef<Path>]) -> Result<Self, Failure> {
        if references.is_empty() {
            return Err(Failure::bad_input("there is no file of references"));
        }
        let texts = read_texts(hypotheses)?;
        let read = |path: &dyn AsRef<Path>| {
            let path = path.as_ref();
            let found = read_texts(path)?;
            if found.len() != texts.len() {
                let (n_found, n_texts) = (found.len(), texts.len());
                return Err(Failure::bad_input(format!(
                    "`{}` has {n_found} lines, but `{}` has {n_texts}",
                    path.display(),
                    hypotheses.display()
                ))
                .with_hint(
                    "hypothesis and reference of a pair stand in lines of the same number",
                ));
            }
            Ok(found)
        };
        let references: Result<_, Failure> = references.iter().map(|path| read(path)).collect();
        Ok(Self {
            references: references?,
            hypotheses: texts,
        })
    }

    /// How many pairs there are.
    pub(super) fn len(&self) -> usize {
        self.hypotheses.len()
    }

    /// How many references each hypothesis has.
    pub(super) fn n_references(&self) -> usize {
        self.references.len()
    }

    /// One hypothesis and its references.
    pub(super) fn get(&self, idx: usize) -> (&str, Vec<&str>) {
        let references = self.references.iter().map(|file| &*file[idx]);
        (&self.hypotheses[idx], references.collect())
    }
}

/// The texts of one file.
pub(super) fn read_texts(path: &Path) -> Result<Vec<String>, Failure> {
    let shown = path.display();
    let unreadable = |error| Failure::bad_input(format!("cannot read `{shown}`: {error}"));
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut texts = Vec::new();
    loop {
        let mut bytes = Vec::new();
        let mut line = reader.by_ref().take(MAX_LINE_BYTES + 1);
        let n_bytes = line.read_until(b'\n', &mut bytes).map_err(unreadable)?;
        if n_bytes == 0 {
            break;
        }
        let number = texts.len() + 1;
        if n_bytes as u64 > MAX_LINE_BYTES {
            let message =
                format!("line {number} of `{shown}` is longer than {MAX_LINE_BYTES} bytes");
            return Err(Failure::bad_input(message).with_hint(FORM));
        }
        let parsed: Line = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::bad_input(format!("line {number} of `{shown}` is malformed: {error}"))
                .with_hint(FORM)
        })?;
        texts.push(parsed.text);
    }
    if texts.is_empty() {
        return Err(Failure::bad_input(format!("`{shown}` holds no text")).with_hint(FORM));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(hypotheses: &str, references: &[&str]) -> Result<TextPairs, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: String, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let hypotheses = write("h.jsonl".to_owned(), hypotheses);
        let references: Vec<_> = references
            .iter()
            .enumerate()
            .map(|(idx, text)| write(format!("r{idx}.jsonl"), text))
            .collect();
        TextPairs::read(&hypotheses, &references)
    }

    const TWO: &str = "{\"text\": \"a\"}\n{\"text\": \"b\\n\", \"id\": 7}";

    #[test]
    fn lines_are_paired_with_all_references() {
        let pairs = read(TWO, &[TWO, TWO]).unwrap();
        assert_eq!((pairs.len(), pairs.n_references()), (2, 2));
        assert_eq!(pairs.get(1), ("b\n", vec!["b\n", "b\n"]));
    }

    #[track_caller]
    fn check(hypotheses: &str, references: &[&str], expected: &str) {
        let refused = read(hypotheses, references).unwrap_err();
        assert!(refused.message.contains(expected), "{refused}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        check(TWO, &["{\"text\": \"a\"}\n"], "has 1 lines, but");
        check("{\"text\": \"a\"}\n\n", &[TWO], "line 2 of");
        check("{\"txt\": \"a\"}", &[TWO], "missing field `text`");
        check(TWO, &["{\"text\": 5}"], "line 1 of");
        check("", &[TWO], "holds no text");
        check(TWO, &[], "no file of references");
    }

    #[test]
    fn another_encoding_and_endless_lines_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin.jsonl");
        fs::write(&path, b"{\"text\": \"\xe9\"}\n").unwrap();
        let refused = TextPairs::read(&path, &[&path]).unwrap_err();
        assert!(refused.message.contains("line 1 of"), "{refused}");
        fs::write(&path, vec![b'x'; MAX_LINE_BYTES as usize + 5]).unwrap();
        let refused = TextPairs::read(&path, &[&path]).unwrap_err();
        assert!(refused.message.contains("is longer than"), "{refused}");
        assert_eq!(refused.hint.as_deref(), Some(FORM));
    }
}
