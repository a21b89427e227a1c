//! Texts on the command line: typed, or `@FILE`.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use trimtab_domain::Failure;

/// Longest text that is read: the path may be that of a device without an end.
const MAX_BYTES: u64 = 64 << 20;

/// The text itself, or what is in the file whose name follows an `@`.
pub(super) fn read_text_argument(argument: &str) -> Result<String, Failure> {
    match argument.strip_prefix('@') {
        Some(path) => read_text_file(Path::new(path)),
        None => Ok(argument.to_owned()),
    }
}

/// What is in a text file.
pub(super) fn read_text_file(path: &Path) -> Result<String, Failure> {
    let unreadable =
        |error: io::Error| Failure::bad_input(format!("cannot read `{}`: {error}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!(
            "`{}` is longer than {} MiB",
            path.display(),
            MAX_BYTES >> 20
        );
        return Err(Failure::bad_input(message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_sign_names_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompt.txt");
        std::fs::write(&path, "def f():").unwrap();
        assert_eq!(
            read_text_argument(&format!("@{}", path.display())).unwrap(),
            "def f():"
        );
        assert_eq!(read_text_argument("a@b").unwrap(), "a@b");
        let refused = read_text_argument("@/no/such/file").unwrap_err();
        assert!(
            refused.message.starts_with("cannot read `/no/such/file`"),
            "{refused}"
        );
        let endless = read_text_argument("@/dev/zero").unwrap_err();
        assert_eq!(endless.message, "`/dev/zero` is longer than 64 MiB");
    }
}
