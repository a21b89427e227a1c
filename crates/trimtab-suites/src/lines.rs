//! Lines of files that nobody vouches for: bounded, in UTF-8, unpacked no further than a limit.

use crate::{LineError, SuiteError};
use flate2::read::GzDecoder;
use std::borrow::Cow;
use std::io::Read;

/// No problem of any suite comes near this; a line beyond it is no problem.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// A suite file, unpacked.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// The file's bytes, unpacked if it is compressed with gzip.
///
/// # Errors
///
/// [`SuiteError::File`] for a damaged archive and for more than [`MAX_FILE_BYTES`].
pub(crate) fn unpacked<'a>(suite: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, SuiteError> {
    let broken = |detail: String| SuiteError::File {
        suite: suite.to_owned(),
        detail,
    };
    let unpacked = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        GzDecoder::new(bytes)
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut unpacked)
            .map_err(|error| broken(format!("it cannot be unpacked: {error}")))?;
        Cow::Owned(unpacked)
    } else {
        Cow::Borrowed(bytes)
    };
    if unpacked.len() as u64 > MAX_FILE_BYTES {
        let limit = MAX_FILE_BYTES >> 20;
        return Err(broken(format!("it has more than {limit} MiB")));
    }
    Ok(unpacked)
}

/// The lines that are not blank, each with its number from 1.
///
/// # Errors
///
/// [`LineError::TooLong`] and [`LineError::NotUtf8`], with the line.
pub(crate) fn lines<'a>(
    suite: &'a str,
    bytes: &'a [u8],
) -> impl Iterator<Item = Result<(usize, &'a str), SuiteError>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter_map(move |(line_idx, line)| {
            let checked = check_line(line).map_err(|problem| SuiteError::Line {
                suite: suite.to_owned(),
                line: line_idx + 1,
                problem,
            });
            match checked {
                Ok(text) if text.trim().is_empty() => None,
                Ok(text) => Some(Ok((line_idx + 1, text))),
                Err(error) => Some(Err(error)),
            }
        })
}

fn check_line(line: &[u8]) -> Result<&str, LineError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(LineError::TooLong {
            n_bytes: line.len(),
        });
    }
    std::str::from_utf8(line).map_err(|error| LineError::NotUtf8 {
        n_valid: error.valid_up_to(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn error_of(bytes: &[u8]) -> String {
        lines("s", bytes)
            .find_map(Result::err)
            .expect("a broken line")
            .to_string()
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_left_out() {
        let found: Vec<_> = lines("s", b"\xef\xbb\xbfa\r\n\n b\n")
            .map(Result::unwrap)
            .collect();
        assert_eq!(found, [(1, "a\r"), (3, " b")]);
    }

    #[test]
    fn a_wrong_encoding_is_named_with_its_line() {
        assert_eq!(
            error_of(b"{}\nab\xff\xfe"),
            "suite `s`, line 2: it is not UTF-8 from byte 3 on"
        );
        // UTF-16 is not UTF-8 in its first two bytes.
        assert!(error_of(b"\xff\xfe{\0}\0").contains("line 1: it is not UTF-8 from byte 1"));
    }

    #[test]
    fn a_huge_line_is_refused_before_it_is_read() {
        let mut file = b"{}\n".to_vec();
        file.resize(200 << 20, b'x');
        assert_eq!(
            error_of(&file),
            "suite `s`, line 2: it has 209715197 bytes; a problem has at most 8388608"
        );
    }

    #[test]
    fn a_packed_file_is_unpacked() {
        assert_eq!(&*unpacked("s", &packed(b"abc\n")).unwrap(), b"abc\n");
        assert_eq!(&*unpacked("s", b"abc\n").unwrap(), b"abc\n");
    }

    #[test]
    fn a_torn_archive_and_a_bomb_are_refused() {
        let whole = packed(&[b'x'; 5000]);
        let torn = unpacked("s", &whole[..whole.len() / 2]).unwrap_err();
        assert!(
            torn.to_string()
                .starts_with("suite `s`: it cannot be unpacked")
        );
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..=(MAX_FILE_BYTES >> 20) {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = unpacked("s", &encoder.finish().unwrap()).unwrap_err();
        assert_eq!(bomb.to_string(), "suite `s`: it has more than 256 MiB");
    }
}
