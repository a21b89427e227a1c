//! Reading files that a user names: the path may be that of a device without an end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// All bytes of a file; `None` if there are more than `max_bytes`.
pub(crate) fn read_at_most(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max_bytes).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_read_no_further_than_the_limit() {
        assert_eq!(read_at_most(Path::new("/dev/zero"), 1 << 20).unwrap(), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "four").unwrap();
        let read = |max_bytes: u64| read_at_most(file.path(), max_bytes).unwrap();
        assert_eq!((read(4), read(3)), (Some(b"four".to_vec()), None));
    }
}
