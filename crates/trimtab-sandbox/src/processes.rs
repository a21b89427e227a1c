//! The two processes that matter outside: bubblewrap, and process 1 of the namespace it made.
//!
//! bubblewrap ends when process 1 has ended, and process 1 ends when the kernel has ended every
//! other process of its namespace. So killing process 1 and waiting for bubblewrap leaves nothing.

use crate::SandboxError;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, ExitStatus};

/// Kills and reaps on drop, so that no error path leaves a program running.
pub(crate) struct Processes {
    bubblewrap: Child,
    /// Absent if bubblewrap failed before it made the namespace.
    first: Option<FirstProcess>,
    is_reaped: bool,
}

/// Process 1 of the namespace, held by a descriptor: its number may be given to another process
/// once it has ended.
struct FirstProcess {
    id: i32,
    handle: OwnedFd,
}

impl Processes {
    /// Takes over the started bubblewrap; waits until it has told the number of process 1.
    pub(crate) fn new(bubblewrap: Child, info: PipeReader) -> Result<Self, SandboxError> {
        let mut processes = Self {
            bubblewrap,
            first: None,
            is_reaped: false,
        };
        let id = read_process_id(info).map_err(SandboxError::io("read what `bwrap` tells"))?;
        processes.first = id.and_then(FirstProcess::open);
        Ok(processes)
    }

    /// The number of process 1 as this process sees it.
    pub(crate) fn first_id(&self) -> Option<i32> {
        self.first.as_ref().map(|first| first.id)
    }

    /// Ends the program and all its processes.
    pub(crate) fn kill(&mut self) {
        match &self.first {
            Some(first) => first.kill(),
            // It fails only if bubblewrap has ended, which is what is wanted.
            None => drop(self.bubblewrap.kill()),
        }
    }

    /// Waits for the end of bubblewrap.
    pub(crate) fn reap(&mut self) -> Result<ExitStatus, SandboxError> {
        let status = self
            .bubblewrap
            .wait()
            .map_err(SandboxError::io("wait for `bwrap`"))?;
        self.is_reaped = true;
        Ok(status)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.kill();
            drop(self.reap());
        }
    }
}

impl FirstProcess {
    /// `None` if the process has already ended.
    fn open(id: i32) -> Option<Self> {
        // SAFETY: the call takes two numbers and returns a descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) } as i32;
        if fd < 0 {
            return None;
        }
        // SAFETY: the call above returned this descriptor, which nothing else owns.
        let handle = unsafe { OwnedFd::from_raw_fd(fd) };
        Some(Self { id, handle })
    }

    fn kill(&self) {
        let no_info: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: the descriptor is open, and a null pointer asks for a plain signal. A failure
        // means that the process has ended.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.handle.as_raw_fd(),
                libc::SIGKILL,
                no_info,
                0,
            );
        }
    }
}

/// Reads bubblewrap's one JSON object; `None` if it ended without.
fn read_process_id(mut info: PipeReader) -> io::Result<Option<i32>> {
    let mut text = Vec::new();
    let mut buffer = [0; 512];
    while !text.contains(&b'}') {
        let n_bytes = match info.read(&mut buffer) {
            Ok(0) => break,
            Ok(n_bytes) => n_bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        text.extend_from_slice(&buffer[..n_bytes]);
    }
    Ok(parse_process_id(&String::from_utf8_lossy(&text)))
}

/// The number after `"child-pid":`.
fn parse_process_id(info: &str) -> Option<i32> {
    let (_, rest) = info.split_once("\"child-pid\":")?;
    let rest = rest.trim_start();
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_id_is_found_among_other_facts() {
        let info = "{\n    \"child-pid\": 4711,\n    \"net-namespace\": 4026532\n}\n";
        assert_eq!(parse_process_id(info), Some(4711));
        assert_eq!(parse_process_id("{\n    \"child-pid\": 12\n}"), Some(12));
        assert_eq!(parse_process_id(""), None);
    }
}
