//! The model hub, through the `hf-hub` crate.
//!
//! That crate waits without limit, so the download runs on a thread of its own and is watched: a
//! hub that has not answered in ten seconds is given up, and so is a download that stands
//! still for [`STALL_LIMIT`]; a slow one is not. What was downloaded stays, and the next attempt
//! goes on from there.

use crate::catalog_fetch::{FetchContext, require_digest};
use crate::disk;
use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use trimtab_domain::{Failure, JobEvent, format_duration_ms};
use trimtab_store::digest_of_file;

/// The longest pause within a download.
const STALL_LIMIT: Duration = Duration::from_mins(1);

/// What the download thread says.
enum News {
    /// The hub has answered; bytes may follow.
    Started,
    /// So many more bytes are here.
    Bytes(u64),
    /// The end: where the file is.
    Ended(Box<Result<PathBuf, ApiError>>),
}

/// A verified file in the fetch folder.
pub(crate) fn fetch_from_hub(
    context: &FetchContext<'_>,
    sink: &mut dyn FnMut(JobEvent),
) -> Result<PathBuf, Failure> {
    let entry = context.entry;
    let folder = context.folder.join("hub");
    let news = start_download(context, &folder)?;
    let (mut n_done, mut limit) = (0, context.settings.hub_answer_limit);
    let downloaded = loop {
        match news.recv_timeout(limit) {
            Ok(News::Started) => (n_done, limit) = (0, STALL_LIMIT),
            Ok(News::Bytes(n)) => {
                n_done += n;
                sink(context.progress("the hub", n_done));
            }
            Ok(News::Ended(outcome)) => {
                break outcome.map_err(|error| download_failure(&folder, &error))?;
            }
            Err(_) => {
                let limit = format_duration_ms(limit.as_secs_f64() * 1e3);
                return Err(Failure::failed(format!("the hub was silent for {limit}")));
            }
        }
    };
    // The crate hands out a link into its own folder tree; the file behind it is what is wanted.
    let blob =
        fs::canonicalize(&downloaded).map_err(|error| disk::write_failure(&downloaded, &error))?;
    let file = context.folder.join("from-hub.gguf");
    fs::rename(&blob, &file).map_err(|error| disk::write_failure(&file, &error))?;
    let (digest, _) = digest_of_file(&file, &mut |_| ())?;
    let verdict = require_digest(entry, &digest, (&file, "the hub"));
    // Neither a good nor a bad download has a use for the tree any more.
    let _ = fs::remove_dir_all(&folder);
    verdict.map(|()| file)
}

fn start_download(
    context: &FetchContext<'_>,
    folder: &Path,
) -> Result<mpsc::Receiver<News>, Failure> {
    let entry = context.entry;
    let cache = Cache::new(folder.to_owned());
    let mut builder = ApiBuilder::from_cache(cache).with_progress(false);
    if let Some(endpoint) = &context.settings.hub_endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let api = builder
        .build()
        .map_err(|error| Failure::failed(format!("cannot prepare the hub's client: {error}")))?;
    let repo = Repo::with_revision(
        entry.hub_repo.clone(),
        RepoType::Model,
        entry.hub_revision.clone(),
    );
    let file = entry.hub_file.clone();
    let (sender, receiver) = mpsc::channel();
    let teller = Teller {
        sender: sender.clone(),
        n_unsaid: 0,
    };
    // The thread may outlive a silent hub; it ends with the worker.
    thread::spawn(move || {
        let outcome = api.repo(repo).download_with_progress(&file, teller);
        let _ = sender.send(News::Ended(Box::new(outcome)));
    });
    Ok(receiver)
}

/// Passes progress on, a mebibyte at a time.
struct Teller {
    sender: mpsc::Sender<News>,
    n_unsaid: u64,
}

impl Progress for Teller {
    fn init(&mut self, _size: usize, _filename: &str) {
        self.n_unsaid = 0;
        let _ = self.sender.send(News::Started);
    }

    fn update(&mut self, n_bytes: usize) {
        self.n_unsaid += n_bytes as u64;
        if self.n_unsaid >= 1 << 20 {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let _ = self
            .sender
            .send(News::Bytes(std::mem::take(&mut self.n_unsaid)));
    }
}

fn download_failure(folder: &Path, error: &ApiError) -> Failure {
    match error {
        ApiError::IoError(error) => disk::write_failure(folder, error),
        ApiError::InvalidResume => {
            // What is left of an earlier attempt does not fit; without it the next one starts anew.
            let _ = fs::remove_dir_all(folder);
            Failure::failed("an earlier download from the hub cannot be continued")
        }
        other => Failure::failed(format!("the hub cannot be read: {other}")),
    }
}
