//! Settings files: JSON of bounded size.

use super::HfError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The text of a file of at most `limit` bytes; `None` where there is no such file.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, HfError> {
    let failed = |source| HfError::Open {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let n_bytes = file.metadata().map_err(failed)?.len();
    if n_bytes > limit {
        let path = path.to_owned();
        return Err(HfError::FileTooLarge {
            path,
            n_bytes,
            limit,
        });
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// A JSON file of any form; `None` where there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(
    path: &Path,
    limit: u64,
) -> Result<Option<T>, HfError> {
    let Some(bytes) = read_bounded(path, limit)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|source| HfError::Json {
        path: path.to_owned(),
        source,
    })
}

/// A JSON object; `None` where there is no such file.
pub(super) fn read_object(path: &Path, limit: u64) -> Result<Option<Value>, HfError> {
    match read_json::<Value>(path, limit)? {
        Some(value) if !value.is_object() => Err(HfError::NotAnObject(path.to_owned())),
        value => Ok(value),
    }
}
