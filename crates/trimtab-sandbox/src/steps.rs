//! The commands that compile and run a program, and how they are handed to the first process.

use crate::{Limits, SourceFile};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Length of the first line, padded with blanks.
const HEADER_LEN: usize = 32;

/// Compilers open more files than exercises do.
const N_OPEN_FILES: u32 = 256;

/// What compilers may use, whatever the program: they are larger and slower than what they make.
pub(crate) const COMPILE_LIMITS: Limits = Limits {
    wall: std::time::Duration::from_mins(1),
    cpu: std::time::Duration::from_secs(30),
    memory_bytes: 1 << 30,
    n_processes: 64,
    file_bytes: 64 << 20,
    tmp_bytes: 192 << 20,
    output_bytes: 64 << 10,
};

/// One command inside the sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The program, by its whole path, and its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// What it finds in its environment besides what every program finds there.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) limits: Limits,
    /// Whether its address space can be limited. Runtimes that reserve it by the gigabyte are
    /// limited by options of their own and by the watcher.
    pub(crate) limits_address_space: bool,
}

/// A file inside: where it lies below `/tmp`, and its bytes.
pub(crate) type File<'a> = (&'a [u8], &'a [u8]);

/// The files of a program.
pub(crate) fn files_of(files: &[SourceFile]) -> Vec<File<'_>> {
    files
        .iter()
        .map(|file| (file.path.as_bytes(), file.text.as_bytes()))
        .collect()
}

/// The bytes that the first process reads: header, files and steps, the folder whose files it hands
/// out at the end or nothing, and the word.
pub(crate) fn encode(files: &[File<'_>], steps: &[Step], handed_out: &str, word: &str) -> Vec<u8> {
    let mut records = Vec::new();
    add(&mut records, files.len().to_string().as_bytes());
    for (path, bytes) in files {
        add(&mut records, path);
        add(&mut records, bytes);
    }
    add(&mut records, steps.len().to_string().as_bytes());
    for step in steps {
        let Limits {
            n_processes,
            file_bytes,
            memory_bytes,
            ..
        } = step.limits;
        let address_space = if step.limits_address_space {
            memory_bytes
        } else {
            0
        };
        let cpu = step.limits.cpu_seconds();
        let numbers = format!("{cpu} {address_space} {n_processes} {file_bytes} {N_OPEN_FILES}");
        add(&mut records, numbers.as_bytes());
        let arguments: Vec<&[u8]> = step.arguments.iter().map(|word| word.as_bytes()).collect();
        add(&mut records, &arguments.join(&0));
        let pairs: Vec<String> = step
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        add(&mut records, pairs.join("\0").as_bytes());
    }
    add(&mut records, handed_out.as_bytes());
    let header = format!("{} {}", records.len(), word.len());
    let mut bytes = format!("{header:<HEADER_LEN$}").into_bytes();
    bytes.append(&mut records);
    bytes.extend_from_slice(word.as_bytes());
    bytes
}

/// The strings that stand one after another, each behind its length; `None` for bytes that are
/// nothing such.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut records = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (record, rest) = rest.split_at_checked(length)?;
        records.push(record.to_owned());
        bytes = rest;
    }
    bytes.is_empty().then_some(records)
}

fn add(records: &mut Vec<u8>, text: &[u8]) {
    records.extend_from_slice(&(text.len() as u64).to_le_bytes());
    records.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_have_a_header_then_records_then_the_word() {
        let file = SourceFile {
            path: "a.c".into(),
            text: "x".into(),
        };
        let bytes = encode(&files_of(&[file]), &[], "/x", "word");
        let header = std::str::from_utf8(&bytes[..HEADER_LEN]).unwrap();
        // Five records of 8 bytes each and the texts `1`, `a.c`, `x`, `0`, `/x`.
        assert_eq!(header.trim(), "48 4");
        assert_eq!(bytes.len(), HEADER_LEN + 48 + 4);
        assert!(bytes.ends_with(b"word"));
        let records = decode(&bytes[HEADER_LEN..][..48]).unwrap();
        assert_eq!(records, [&b"1"[..], b"a.c", b"x", b"0", b"/x"]);
    }

    #[test]
    fn bytes_that_are_no_records_are_refused() {
        assert_eq!(decode(b""), Some(vec![]));
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        assert_eq!(decode(&huge), None);
        huge.push(0);
        assert_eq!(decode(&huge), None);
        assert_eq!(decode(b"\x01\0\0\0\0\0\0\0a\x01"), None);
    }
}
