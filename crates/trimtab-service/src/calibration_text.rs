//! Taking over the calibration texts that a recipe names by path.

use crate::{DataPaths, Service, bounded, disk, models::blocking};
use std::{
    io::{self, Write},
    path::Path,
};
use trimtab_domain::{CalibrationText, Digest, Failure, Recipe};

/// Longest calibration text: far more than any method looks at.
const MAX_BYTES: u64 = 256 << 20;

impl Service {
    /// The recipe with its calibration files taken over into the data folder and named by digest.
    ///
    /// # Errors
    ///
    /// A file that is not there, too long, or not UTF-8.
    pub async fn import_calibration(&self, mut recipe: Recipe) -> Result<Recipe, Failure> {
        let paths = self.inner.paths.clone();
        blocking(move || {
            let calibrations = recipe.calibrations_mut();
            for source in calibrations.flat_map(|calibration| &mut calibration.sources) {
                if let CalibrationText::File(path) = &source.text {
                    let path = Path::new(path);
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let digest = import(path, "calibration text", &paths)?;
                    source.text = CalibrationText::Stored {
                        name: name.into_owned(),
                        digest,
                    };
                }
            }
            Ok(recipe)
        })
        .await
    }
}

/// Takes over the data of a training; its name and digest.
pub(crate) fn import_data(path: &Path, paths: &DataPaths) -> Result<(String, Digest), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok((name.into_owned(), import(path, "training data", paths)?))
}

fn import(path: &Path, what: &str, paths: &DataPaths) -> Result<Digest, Failure> {
    let unreadable = |error: io::Error| {
        Failure::bad_input(format!("cannot read {what} `{}`: {error}", path.display()))
    };
    let Some(bytes) = bounded::read_at_most(path, MAX_BYTES).map_err(unreadable)? else {
        let message = format!("{what} `{}` is too long", path.display());
        let hint = format!("{} MiB are enough", MAX_BYTES >> 20);
        return Err(Failure::bad_input(message).with_hint(hint));
    };
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let tmp = paths.tmp();
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(&tmp)?;
        file.write_all(text.as_bytes())?;
        Ok(file.into_temp_path())
    };
    let copy = write().map_err(|error: io::Error| disk::write_failure(&tmp, &error))?;
    let (digest, _) = paths.texts()?.adopt(&copy)?;
    Ok(digest)
}
