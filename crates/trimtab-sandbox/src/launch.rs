//! Starts processes: the only module of this crate that does.
//!
//! bubblewrap is given three pipes and two inheritable files. Nothing runs between fork and
//! exec, so that the start costs the same however large the calling process is.

use crate::SandboxError;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A started bubblewrap and the ends of its pipes.
pub(crate) struct Launched {
    pub(crate) child: Child,
    /// Standard output and standard error of the program.
    pub(crate) output: ChildStdout,
    /// Reports of the supervisor, and complaints of bubblewrap.
    pub(crate) status: ChildStderr,
    /// Process id of the supervisor, once.
    pub(crate) info: PipeReader,
}

/// Held while descriptors are inheritable, so that no other sandbox inherits them too.
static INHERITING: Mutex<()> = Mutex::new(());

/// Starts `program` with `input` as its standard input, `filter` in a file and a pipe for its
/// information; `arguments` is given the numbers of these two descriptors.
pub(crate) fn launch(
    program: &Path,
    input: &[u8],
    filter: &[u8],
    arguments: impl FnOnce(i32, i32) -> Vec<OsString>,
) -> Result<Launched, SandboxError> {
    let input = memory_file(input).map_err(SandboxError::io("write a program to memory"))?;
    let filter = memory_file(filter).map_err(SandboxError::io("write a filter to memory"))?;
    let (info, info_writer) = io::pipe().map_err(SandboxError::io("open a pipe"))?;
    let arguments = arguments(filter.as_raw_fd(), info_writer.as_raw_fd());

    let guard = INHERITING.lock().unwrap_or_else(PoisonError::into_inner);
    make_inheritable(&filter).map_err(SandboxError::io("pass on a filter"))?;
    make_inheritable(&info_writer).map_err(SandboxError::io("pass on a pipe"))?;
    let spawned = command(program)
        .args(arguments)
        .env_clear()
        .envs(ENVIRONMENT)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    drop((filter, info_writer));
    drop(guard);

    let mut child = spawned.map_err(SandboxError::io("start `bwrap`"))?;
    let output = child
        .stdout
        .take()
        .expect("standard output was asked for as a pipe");
    let status = child
        .stderr
        .take()
        .expect("standard error was asked for as a pipe");
    Ok(Launched {
        child,
        output,
        status,
        info,
    })
}

/// What a trusted program prints, for questions such as its version.
pub(crate) fn read_output(program: &Path, arguments: &[&str]) -> Result<String, SandboxError> {
    let output = command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(SandboxError::io("ask a program for its version"))?;
    if !output.status.success() {
        let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(SandboxError::Broken {
            detail: format!("`{}`: {detail}", program.display()),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The whole environment of a program.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("PATH", "/usr/bin:/bin"),
    ("HOME", "/tmp"),
    ("TMPDIR", "/tmp"),
    ("LANG", "C.UTF-8"),
    // Sets of strings are walked in the same order every time, so verdicts do not flicker.
    ("PYTHONHASHSEED", "0"),
    // Threads share arenas instead of reserving 128 MB of address space each.
    ("MALLOC_ARENA_MAX", "2"),
];

#[expect(
    clippy::disallowed_methods,
    reason = "this is the module that starts processes"
)]
fn command(program: &Path) -> Command {
    Command::new(program)
}

/// Sixteen random bytes in hexadecimal digits.
pub(crate) fn random_word() -> io::Result<String> {
    let mut bytes = [0; 16];
    // SAFETY: the pointer and the length describe `bytes`, which outlives the call.
    let n_bytes = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if n_bytes == bytes.len() as isize {
        Ok(hex::encode(bytes))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A file without a name or a disk, readable from its start.
fn memory_file(bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a constant C string and the flags are valid for the call.
    let fd = unsafe { libc::memfd_create(c"trimtab-sandbox".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above returned this descriptor, which nothing else owns.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn make_inheritable(file: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open, since `file` is borrowed; the call only sets its flags.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_memory_file_is_read_from_its_start() {
        let mut text = String::new();
        memory_file(b"abc")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "abc");
    }

    #[test]
    fn two_words_differ() {
        let (first, second) = (random_word().unwrap(), random_word().unwrap());
        assert_eq!(first.len(), 32);
        assert_ne!(first, second);
    }

    #[test]
    fn a_failing_question_tells_what_the_program_said() {
        let error = read_output(Path::new("/bin/ls"), &["--no-such-option"]).unwrap_err();
        assert!(error.to_string().contains("no-such-option"), "{error}");
    }
}
