//! The sandbox on machines that differ: another user, another Python, missing parts.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, PythonScript, Sandbox, SandboxError};

/// A file cannot be executed while another test's fork still holds it open for writing.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says to a second process of this test what to print.
const PART: &str = "TRIMTAB_SANDBOX_PART";

/// This test once more, in another environment; its only output is what `play_part` prints.
#[expect(
    clippy::disallowed_methods,
    reason = "another user and another `PATH` need a process"
)]
fn again() -> Command {
    // The link works for users who may not look into the folder of the program.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["--exact", "a_second_process_plays_its_part", "--nocapture"])
        .env(PART, "1");
    command
}

fn text(output: Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Does nothing unless another test has started this one in a process of its own.
#[test]
fn a_second_process_plays_its_part() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    match Sandbox::detect() {
        Err(error) => println!("error: {error}\nhint: {}", error.hint().unwrap_or("none")),
        Ok(sandbox) => {
            let source = "import os\nprint('inside as', os.getuid() != 0, os.listdir('/tmp'))";
            let script = PythonScript { source, stdin: b"" };
            let outcome = sandbox.run(&script, &Limits::default()).expect("a verdict");
            println!("{}: {}", outcome.verdict.as_str(), outcome.output);
        }
    }
}

#[test]
fn an_ordinary_user_is_isolated_too_or_told_why_not() {
    let _guard = alone();
    // SAFETY: the call reads the caller's own user id and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let mut command = again();
    if is_root {
        command.uid(1000).gid(1000);
    }
    let said = text(command.output().expect("this test starts once more"));
    let is_isolated = said.contains("passed: inside as True []");
    let is_forbidden = said.contains("does not let `bwrap` create namespaces");
    assert!(is_isolated || (is_root && is_forbidden), "{said}");
}

#[test]
fn a_missing_bubblewrap_is_an_error_with_a_hint() {
    let _guard = alone();
    let empty = tempfile::tempdir().expect("a temporary folder");
    let said = text(
        again()
            .env("PATH", empty.path())
            .output()
            .expect("this test starts again"),
    );
    assert!(said.contains("error: `bwrap` was not found"), "{said}");
    assert!(said.contains("hint: apt-get install bubblewrap"), "{said}");
}

#[test]
fn an_old_bubblewrap_is_refused() {
    let _guard = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_program(
        &folder.path().join("bwrap"),
        "#!/bin/sh\necho bubblewrap 0.6.1\n",
    );
    let said = text(
        again()
            .env("PATH", folder.path())
            .output()
            .expect("this test starts again"),
    );
    assert!(
        said.contains("has version 0.6.1, at least 0.7.0 is needed"),
        "{said}"
    );
}

#[test]
fn a_bubblewrap_that_may_make_no_namespaces_is_told_from_a_broken_one() {
    let _guard = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fake = |complaint: &str| {
        let version = "[ \"$1\" = --version ] && { echo bubblewrap 0.8.0; exit 0; }";
        let program = format!("#!/bin/sh\n{version}\necho 'bwrap: {complaint}' >&2\nexit 1\n");
        write_program(&folder.path().join("bwrap"), &program);
        text(
            again()
                .env("PATH", folder.path())
                .output()
                .expect("this test starts again"),
        )
    };
    let said = fake("setting up uid map: Permission denied");
    assert!(
        said.contains("does not let `bwrap` create namespaces"),
        "{said}"
    );
    assert!(
        said.contains("hint: allow unprivileged user namespaces"),
        "{said}"
    );
    let said = fake("out of cheese");
    assert!(
        said.contains("error: the sandbox did not run: bwrap: out of cheese"),
        "{said}"
    );
}

#[test]
fn a_bubblewrap_that_isolates_nothing_is_found_out() {
    let _guard = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Runs the command behind `--` without any namespace.
    let program = "#!/bin/sh\n[ \"$1\" = --version ] && { echo bubblewrap 0.8.0; exit 0; }\n\
        while [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";
    write_program(&folder.path().join("bwrap"), program);
    let said = text(
        again()
            .env("PATH", folder.path())
            .output()
            .expect("this test starts again"),
    );
    assert!(
        said.contains("error: the sandbox does not isolate programs here"),
        "{said}"
    );
}

#[test]
fn a_python_behind_a_link_runs_from_its_own_folder() {
    let _guard = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shim = folder.path().join("python3");
    symlink("/usr/bin/python3", &shim).expect("a link");
    let sandbox = Sandbox::with_python(&shim).expect("the Python behind the link works");
    assert!(!sandbox.python().path().starts_with(folder.path()));
    let script = PythonScript {
        source: "import heapq",
        stdin: b"",
    };
    let outcome = sandbox.run(&script, &Limits::default()).expect("a verdict");
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
}

#[test]
fn a_missing_python_is_an_error() {
    let _guard = alone();
    let error = Sandbox::with_python(Path::new("/no/such/python3")).unwrap_err();
    assert!(
        matches!(error, SandboxError::PythonUnusable { .. }),
        "{error:?}"
    );
    assert_eq!(error.hint(), Some("apt-get install python3"));
}

fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a temporary file");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("an executable file");
}
