//! Texts on the command line: typed, or `@FILE`.

use std::{fs, path::Path};
use trimtab_domain::Failure;

/// The text itself, or what is in the file whose name follows an `@`.
pub(super) fn read_text_argument(argument: &str) -> Result<String, Failure> {
    match argument.strip_prefix('@') {
        Some(path) => read_text_file(Path::new(path)),
        None => Ok(argument.to_owned()),
    }
}

/// What is in a text file.
pub(super) fn read_text_file(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format!("cannot read `{}`: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_sign_names_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompt.txt");
        fs::write(&path, "def f():").unwrap();
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
    }
}
