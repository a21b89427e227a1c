//! Watches a started sandbox from outside until every process in it is dead.
//!
//! The program can hide from none of this: the watcher reads the pipes no further than the
//! limits, and ends process 1 of the namespace, with which the kernel ends all others.

use crate::launch::Launched;
use crate::outcome::{Ending, Stop};
use crate::processes::Processes;
use crate::usage::{resident_bytes, waited_for_processor};
use crate::{Limits, SandboxError};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::process::{ChildStderr, ChildStdout};
use std::time::{Duration, Instant};

/// How long the sandbox itself may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(2);

/// A program that waits for a processor is given that time back, up to so many times its limit.
const MAX_STRETCH: u32 = 20;

/// How much later a stretched deadline is looked at again, at least.
const STRETCH_STEP: Duration = Duration::from_millis(50);

/// Between two looks at memory. Most programs end before the first.
const MEMORY_PERIOD: Duration = Duration::from_millis(100);

/// More than the supervisor and bubblewrap together ever say.
const MAX_STATUS_BYTES: u64 = 64 << 10;

/// A longer limit is no limit, and would overflow the clock.
const MAX_WALL: Duration = Duration::from_hours(8760);

/// What was seen.
pub(crate) struct Watched {
    /// Why the watcher stopped the program, if it did.
    pub(crate) stop: Option<Stop>,
    /// The supervisor's account; missing if the program was stopped or took it down.
    pub(crate) ending: Option<Ending>,
    /// What the program wrote, up to the limit.
    pub(crate) output: Vec<u8>,
    /// From the start of the last stage to its end.
    pub(crate) wall: Duration,
    /// How many stages were started.
    pub(crate) n_stages: usize,
}

/// Watches until the end, with the limits of each stage. All processes are dead when this returns,
/// with an error too.
pub(crate) fn watch(launched: Launched, stages: &[Limits]) -> Result<Watched, SandboxError> {
    let [first, ..] = stages else {
        let detail = "there is nothing to run".to_owned();
        return Err(SandboxError::Broken { detail });
    };
    let Launched {
        child,
        output,
        status,
        info,
    } = launched;
    let processes = Processes::new(child, info)?;
    let launch = Instant::now();
    let mut watcher = Watcher {
        output: Pipe {
            reader: output,
            is_open: true,
            bytes: Vec::new(),
            limit: first.output_bytes,
        },
        status: Pipe {
            reader: status,
            is_open: true,
            bytes: Vec::new(),
            limit: MAX_STATUS_BYTES,
        },
        processes,
        clock: Clock {
            deadline: launch + START_LIMIT,
            start: None,
            next_look: None,
        },
        stages,
        n_started: 0,
    };
    let stop = watcher.follow()?;
    watcher.conclude(stop)
}

struct Watcher<'a> {
    output: Pipe<ChildStdout>,
    status: Pipe<ChildStderr>,
    processes: Processes,
    clock: Clock,
    stages: &'a [Limits],
    n_started: usize,
}

struct Clock {
    deadline: Instant,
    /// When the program was started.
    start: Option<Instant>,
    /// When memory is looked at next.
    next_look: Option<Instant>,
}

impl Watcher<'_> {
    /// Reads both pipes to their ends, or to the reason to stop.
    fn follow(&mut self) -> Result<Option<Stop>, SandboxError> {
        while self.output.is_open || self.status.is_open {
            let now = Instant::now();
            if now >= self.clock.deadline {
                match self.stretched_deadline(now) {
                    Some(later) => self.clock.deadline = later,
                    None if self.n_started > 0 => return Ok(Some(Stop::TimedOut)),
                    None => return Err(self.broken("it took too long to start")),
                }
            }
            if self.clock.next_look.is_some_and(|look| now >= look) {
                if self.uses_too_much_memory() {
                    return Ok(Some(Stop::OutOfMemory));
                }
                self.clock.next_look = Some(now + MEMORY_PERIOD);
            }
            self.read_some(now)?;
            if self.output.is_over_limit() {
                return Ok(Some(Stop::OutputFlood));
            }
            let n_ready = self.n_ready();
            if n_ready > self.n_started {
                self.n_started = n_ready;
                self.start_clock();
            }
        }
        Ok(None)
    }

    /// Waits for data on either pipe until the next thing is due, and reads what is there.
    fn read_some(&mut self, now: Instant) -> Result<(), SandboxError> {
        let clock = &self.clock;
        let due = clock
            .next_look
            .map_or(clock.deadline, |look| look.min(clock.deadline));
        let [output_ready, status_ready] =
            wait_for_data([self.output.fd(), self.status.fd()], due - now)
                .map_err(SandboxError::io("wait for a program"))?;
        if output_ready {
            self.output
                .read_once()
                .map_err(SandboxError::io("read from a program"))?;
        }
        if status_ready {
            self.status
                .read_once()
                .map_err(SandboxError::io("read from the sandbox"))?;
        }
        Ok(())
    }

    /// The limits of the stage that runs.
    fn limits(&self) -> &Limits {
        let idx = self.n_started.clamp(1, self.stages.len()) - 1;
        &self.stages[idx]
    }

    /// A later deadline for a program that was kept waiting for a processor: the limit is meant
    /// for a machine that has one free, and verdicts must not depend on what else runs.
    fn stretched_deadline(&self, now: Instant) -> Option<Instant> {
        let start = self.clock.start?;
        let wall = self.limits().wall.min(MAX_WALL);
        let waited = waited_for_processor(self.processes.first_id()?);
        let deadline = start + (wall + waited).min(wall.saturating_mul(MAX_STRETCH));
        (deadline > now).then(|| deadline.max(now + STRETCH_STEP))
    }

    fn start_clock(&mut self) {
        let start = Instant::now();
        let limits = *self.limits();
        self.output.limit = limits.output_bytes;
        self.clock = Clock {
            deadline: start + limits.wall.min(MAX_WALL),
            start: Some(start),
            next_look: Some(start + MEMORY_PERIOD),
        };
    }

    fn uses_too_much_memory(&self) -> bool {
        let first = self.processes.first_id();
        first.is_some_and(|first| resident_bytes(first) > self.limits().memory_bytes)
    }

    /// The supervisor says so right before it starts a stage.
    fn n_ready(&self) -> usize {
        self.status_lines()
            .iter()
            .filter(|line| *line == "@trimtab ready")
            .count()
    }

    fn status_lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.status.bytes)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn broken(&self, what: &str) -> SandboxError {
        let said: Vec<String> = self
            .status_lines()
            .into_iter()
            .filter(|line| !line.starts_with("@trimtab ") && !line.trim().is_empty())
            .collect();
        let detail = if said.is_empty() {
            what.to_owned()
        } else {
            said.join("; ")
        };
        SandboxError::Broken { detail }
    }

    fn conclude(mut self, stop: Option<Stop>) -> Result<Watched, SandboxError> {
        let wall = self
            .clock
            .start
            .map_or(Duration::ZERO, |start| start.elapsed());
        if stop.is_some() {
            self.processes.kill();
        }
        let wrapper_status = self.processes.reap()?;
        if self.clock.start.is_none() {
            return Err(self.broken(&format!("`bwrap` ended with {wrapper_status}")));
        }
        let lines = self.status_lines();
        let ending = lines.iter().find_map(|line| Ending::parse(line));
        let supervisor_failed = lines.iter().any(|line| line.starts_with("Traceback"));
        if stop.is_none() && ending.is_none() && supervisor_failed {
            return Err(self.broken("its supervisor failed"));
        }
        let limit = self.limits().output_bytes;
        self.output.bytes.truncate(limit as usize);
        Ok(Watched {
            stop,
            ending,
            output: self.output.bytes,
            wall,
            n_stages: self.n_started,
        })
    }
}

/// A pipe and what came out of it, at most one buffer more than its limit.
struct Pipe<R> {
    reader: R,
    is_open: bool,
    bytes: Vec<u8>,
    limit: u64,
}

impl<R: Read + AsRawFd> Pipe<R> {
    /// The descriptor to wait for; -1, which is never ready, once the pipe is closed.
    fn fd(&self) -> RawFd {
        if self.is_open {
            self.reader.as_raw_fd()
        } else {
            -1
        }
    }

    /// One read; end of file closes the pipe.
    fn read_once(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        match self.reader.read(&mut buffer) {
            Ok(0) => self.is_open = false,
            Ok(n_bytes) => self.bytes.extend_from_slice(&buffer[..n_bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn is_over_limit(&self) -> bool {
        self.bytes.len() as u64 > self.limit
    }
}

/// Waits until one of the descriptors has data or is closed, or time is up; says which.
fn wait_for_data(fds: [RawFd; 2], timeout: Duration) -> io::Result<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // Rounded up, or the last millisecond before a deadline would be spent spinning.
    let millis = timeout.as_millis().saturating_add(1).min(i32::MAX as u128) as i32;
    // SAFETY: the pointer and the length describe `polled`, which outlives the call.
    let n_ready = unsafe { libc::poll(polled.as_mut_ptr(), 2, millis) };
    if n_ready < 0 {
        let error = io::Error::last_os_error();
        let is_interrupted = error.kind() == io::ErrorKind::Interrupted;
        return if is_interrupted {
            Ok([false; 2])
        } else {
            Err(error)
        };
    }
    Ok(polled.map(|poll| poll.revents != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_closed_pipe_is_ready_and_ends() {
        let (reader, writer) = io::pipe().unwrap();
        let mut pipe = Pipe {
            reader,
            is_open: true,
            bytes: Vec::new(),
            limit: 2,
        };
        drop(writer);
        let ready = wait_for_data([pipe.fd(), -1], Duration::from_secs(5)).unwrap();
        assert_eq!(ready, [true, false]);
        pipe.read_once().unwrap();
        assert_eq!((pipe.is_open, pipe.fd()), (false, -1));
    }

    #[test]
    fn a_pipe_knows_when_more_came_than_allowed() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut pipe = Pipe {
            reader,
            is_open: true,
            bytes: Vec::new(),
            limit: 2,
        };
        writer.write_all(b"ab").unwrap();
        pipe.read_once().unwrap();
        assert!(!pipe.is_over_limit());
        writer.write_all(b"c").unwrap();
        pipe.read_once().unwrap();
        assert!(pipe.is_over_limit());
    }

    #[test]
    fn waiting_ends_when_time_is_up() {
        let (reader, _writer) = io::pipe().unwrap();
        let ready = wait_for_data([reader.as_raw_fd(), -1], Duration::from_millis(5)).unwrap();
        assert_eq!(ready, [false, false]);
    }
}
