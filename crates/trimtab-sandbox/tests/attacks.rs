//! Programs that attack the sandbox: each ends with the right verdict and leaves nothing behind.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, Outcome, PythonCheck, PythonScript, Sandbox};

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::detect().expect("tests need a working sandbox"));

/// Short, so that the tests are quick; long enough for a busy machine to start Python.
const LIMITS: Limits = Limits {
    wall: Duration::from_secs(3),
    cpu: Duration::from_secs(1),
    memory_bytes: 256 << 20,
    n_processes: 16,
    file_bytes: 16 << 20,
    tmp_bytes: 32 << 20,
    output_bytes: 64 << 10,
};

fn attack(source: &str) -> Outcome {
    attack_within(source, &LIMITS)
}

fn attack_within(source: &str, limits: &Limits) -> Outcome {
    SANDBOX
        .run(&PythonScript { source, stdin: b"" }, limits)
        .expect("a verdict")
}

/// Asserts the verdict, and that the sandbox itself did not hang.
#[track_caller]
fn ends_as(verdict: Verdict, source: &str) -> Outcome {
    let start = Instant::now();
    let outcome = attack(source);
    assert_eq!(outcome.verdict, verdict, "{}", outcome.output);
    assert!(
        start.elapsed() < LIMITS.wall + Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    outcome
}

/// Runs a program whose own assertions say that the attack failed.
#[track_caller]
fn is_refused(source: &str) {
    let outcome = attack(source);
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
}

/// Whether a process of this machine has `marker` on its command line.
fn runs_somewhere(marker: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("this machine has `/proc`");
    processes
        .flatten()
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| {
            String::from_utf8_lossy(&line)
                .split('\0')
                .any(|word| word == marker)
        })
}

#[test]
fn an_endless_loop_runs_into_the_cpu_limit() {
    let outcome = ends_as(Verdict::TimedOut, "while True: pass");
    assert!(
        outcome.wall < LIMITS.wall,
        "stopped by its CPU time: {:?}",
        outcome.wall
    );
}

#[test]
fn an_endless_sleep_runs_into_the_wall_clock() {
    let outcome = ends_as(Verdict::TimedOut, "import time\ntime.sleep(3600)");
    assert!(outcome.wall >= LIMITS.wall, "{:?}", outcome.wall);
}

#[test]
fn ignored_signals_do_not_help() {
    let ignore = "import signal\nfor n in set(signal.Signals) - {9, 19}:\n    signal.signal(n, signal.SIG_IGN)\n";
    ends_as(Verdict::TimedOut, &format!("{ignore}while True: pass"));
    ends_as(
        Verdict::TimedOut,
        &format!("{ignore}import time\ntime.sleep(3600)"),
    );
}

#[test]
fn a_fork_bomb_is_bounded_and_the_host_still_forks() {
    let bomb = "import os\nn = 0\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n";
    let worker = std::thread::spawn(move || attack(bomb));
    std::thread::sleep(Duration::from_millis(700));
    #[expect(
        clippy::disallowed_methods,
        reason = "the question is whether the host can"
    )]
    let status = std::process::Command::new("/bin/true")
        .status()
        .expect("the host forks");
    assert!(status.success());
    let outcome = worker.join().expect("the sandbox does not panic");
    assert!(
        matches!(outcome.verdict, Verdict::TimedOut | Verdict::OutOfMemory),
        "{:?}",
        outcome.verdict
    );
}

#[test]
fn processes_and_threads_are_counted_together() {
    let outcome = attack(
        "import os, threading, time\n\
         for _ in range(5):\n    threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n\
         n = 1 + 5\n\
         try:\n    while True:\n        if os.fork() == 0:\n            time.sleep(2); os._exit(0)\n        n += 1\n\
         except BlockingIOError:\n    print(n, flush=True)\n    os._exit(0)",
    );
    assert_eq!(outcome.output.trim(), LIMITS.n_processes.to_string());
}

#[test]
fn a_memory_hog_runs_out_of_memory() {
    let outcome = ends_as(
        Verdict::OutOfMemory,
        "hoard = []\nwhile True:\n    hoard.append(bytearray(1 << 20))",
    );
    let peak = outcome
        .peak_memory
        .expect("a program that ended was measured")
        .0;
    assert!(peak <= LIMITS.memory_bytes, "{peak}");
    ends_as(Verdict::OutOfMemory, "bytearray(1 << 40)");
}

#[test]
fn memory_spread_over_processes_is_counted_together() {
    let limits = Limits {
        wall: Duration::from_secs(10),
        ..LIMITS
    };
    let outcome = attack_within(
        "import os, time\n\
         for _ in range(5):\n    if os.fork() == 0:\n        hoard = bytearray(os.urandom(1 << 20) * 100)\n        time.sleep(60)\n\
         time.sleep(60)",
        &limits,
    );
    assert_eq!(outcome.verdict, Verdict::OutOfMemory, "{}", outcome.output);
}

#[test]
fn memory_that_no_limit_counts_cannot_be_had() {
    is_refused(
        "import ctypes, os\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         try:\n    os.memfd_create('x'); assert False\n\
         except PermissionError:\n    pass\n\
         assert libc.shmget(0, 1 << 20, 0o1600) == -1 and ctypes.get_errno() == 1\n\
         assert libc.msgget(0, 0o1600) == -1 and ctypes.get_errno() == 1\n",
    );
}

#[test]
fn there_is_no_network() {
    is_refused(
        "import errno, socket\n\
         for address, want in ((('127.0.0.1', 22), errno.ECONNREFUSED), (('1.1.1.1', 53), errno.ENETUNREACH)):\n\
         \x20   with socket.socket() as s:\n        assert s.connect_ex(address) == want, address\n\
         with socket.socket(socket.AF_INET6) as s:\n    assert s.connect_ex(('2606:4700::1111', 53)) != 0\n\
         for family in (socket.AF_VSOCK, socket.AF_PACKET, socket.AF_NETLINK):\n\
         \x20   try:\n        socket.socket(family, socket.SOCK_RAW); assert False, family\n\
         \x20   except PermissionError:\n        pass\n\
         try:\n    socket.getaddrinfo('example.org', 80); assert False\n\
         except OSError:\n    pass\n",
    );
}

#[test]
fn a_server_on_this_machine_is_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound address").port();
    is_refused(&format!(
        "import socket\nassert socket.socket().connect_ex(('127.0.0.1', {port})) != 0"
    ));
}

#[test]
fn secrets_of_the_machine_are_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, "42").expect("a secret file");
    is_refused(&format!(
        "import os\n\
         for path in ({secret:?}, '/etc/shadow', '/etc/passwd', '/home', '/root/.ssh', '/root/.bashrc', '/proc/1/environ',\n\
         \x20            '/proc/self/mem', '/sys', '/dev/mem', '/dev/tty', '/dev/vda', '/var', '/run', '/mnt'):\n\
         \x20   assert not os.path.exists(path), path\n\
         assert os.listdir('/tmp') == []\n"
    ));
}

#[test]
fn the_environment_is_the_sandbox_s_own() {
    let outcome = attack("import os\nprint(sorted(os.environ))");
    assert!(!outcome.output.contains("CARGO"), "{}", outcome.output);
    assert!(
        std::env::var_os("CARGO_PKG_NAME").is_some(),
        "the caller has one to leak"
    );
}

#[test]
fn nothing_outside_the_private_folder_can_be_written() {
    is_refused(
        "import os\n\
         for folder in ('/', '/usr', '/usr/bin', '/usr/lib', '/dev', '/dev/shm', '/bin', os.path.dirname(os.__file__)):\n\
         \x20   for attempt in (lambda: open(folder + '/x', 'w'), lambda: os.mkdir(folder + '/y'),\n\
         \x20                   lambda: os.symlink('/tmp', folder + '/z'), lambda: os.chmod(folder, 0o777)):\n\
         \x20       try:\n            attempt(); assert False, folder\n\
         \x20       except OSError:\n            pass\n",
    );
}

#[test]
fn links_lead_nowhere() {
    is_refused(
        "import os\n\
         for target in ('/etc/shadow', '../../../../etc/shadow', '/proc/1/root/etc/shadow', '/root', '/.oldroot', '/newroot'):\n\
         \x20   os.symlink(target, 'link')\n\
         \x20   assert not os.path.exists('link'), target\n\
         \x20   os.unlink('link')\n\
         os.symlink('/usr/bin/python3', 'link')\n\
         try:\n    open('link', 'w'); assert False\n\
         except OSError:\n    pass\n\
         try:\n    os.link('/usr/bin/true', 'hard'); assert False\n\
         except OSError:\n    pass\n",
    );
}

#[test]
fn privileges_cannot_be_had() {
    is_refused(
        "import ctypes, os\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n\
         assert libc.capget(header, data) == 0 and not any(data), list(data)\n\
         assert libc.prctl(39, 0, 0, 0, 0) == 1, 'no new privileges'\n\
         assert os.getuid() != 0 and os.getgroups() in ([], [65534], [os.getgid()]), os.getgroups()\n\
         for attempt in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.chroot('/tmp')):\n\
         \x20   try:\n        attempt(); assert False\n\
         \x20   except OSError:\n        pass\n\
         for call in (lambda: libc.unshare(0x10000000), lambda: libc.ptrace(16, 1, 0, 0), lambda: libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0)):\n\
         \x20   assert call() == -1 and ctypes.get_errno() == 1\n",
    );
}

#[test]
fn limits_cannot_be_raised_and_those_of_the_supervisor_not_touched() {
    is_refused(
        "import os, resource, signal\n\
         for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):\n\
         \x20   try:\n        resource.setrlimit(limit, (resource.RLIM_INFINITY,) * 2); assert False\n\
         \x20   except ValueError:\n        pass\n\
         try:\n    resource.prlimit(1, resource.RLIMIT_CPU, (0, 0)); assert False\n\
         except PermissionError:\n    pass\n\
         for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGTERM):\n\
         \x20   os.kill(1, number)\n",
    );
}

#[test]
fn a_flood_of_output_is_stopped_early() {
    let start = Instant::now();
    let outcome = ends_as(
        Verdict::OutputFlood,
        "import os\nblock = b'x' * (1 << 20)\nfor _ in range(1024):\n    os.write(1, block)",
    );
    assert_eq!(outcome.output.len() as u64, LIMITS.output_bytes);
    assert!(start.elapsed() < LIMITS.wall, "{:?}", start.elapsed());
    ends_as(
        Verdict::OutputFlood,
        "import sys\nwhile True:\n    print('y' * 1000, file=sys.stderr)",
    );
}

#[test]
fn output_up_to_the_limit_is_no_flood() {
    let outcome = ends_as(Verdict::Passed, "import os\nos.write(1, b'x' * (64 << 10))");
    assert_eq!(outcome.output.len(), 64 << 10);
}

#[test]
fn output_that_is_no_text_is_told_all_the_same() {
    let outcome = ends_as(Verdict::Passed, "import os\nos.write(1, b'a\\xff\\x00b')");
    assert_eq!(outcome.output, "a\u{fffd}\0b");
}

#[test]
fn closed_outputs_do_not_hide_a_program() {
    let close = "import os, time\nos.closerange(0, 1000)\n";
    ends_as(Verdict::Passed, &format!("{close}os._exit(0)"));
    ends_as(Verdict::TimedOut, &format!("{close}time.sleep(3600)"));
}

#[test]
fn standard_input_ends_at_once() {
    ends_as(Verdict::Passed, "import sys\nassert sys.stdin.read() == ''");
    let outcome = ends_as(Verdict::Failed, "input()");
    assert!(outcome.output.contains("EOFError"), "{}", outcome.output);
}

#[test]
fn daemons_are_dead_when_the_call_returns() {
    for (idx, parent_ends) in [
        "os._exit(0)",
        "time.sleep(3600)",
        "while True: print('x' * 999)",
    ]
    .into_iter()
    .enumerate()
    {
        let marker = format!("7{}{idx}", std::process::id());
        let outcome = attack(&format!(
            "import os, time\n\
             for _ in range(3):\n\
             \x20   if os.fork() == 0:\n        os.setsid()\n\
             \x20       if os.fork() == 0:\n            os.closerange(0, 100)\n            os.execv('/usr/bin/sleep', ['sleep', '{marker}'])\n\
             \x20       os._exit(0)\n\
             time.sleep(0.3)\n{parent_ends}\n"
        ));
        assert!(!runs_somewhere(&marker), "after {:?}", outcome.verdict);
    }
}

#[test]
fn daemons_do_not_keep_a_check_waiting() {
    let solution =
        "import os, time\nif os.fork() == 0:\n    time.sleep(3600)\ndef answer(): return 42\n";
    let check = PythonCheck {
        solution,
        tests: "assert answer() == 42",
    };
    let outcome = SANDBOX.check(&check, &LIMITS).expect("a verdict");
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
    assert!(outcome.wall < LIMITS.wall, "{:?}", outcome.wall);
}

#[test]
fn deep_recursion_fails_or_crashes_alone() {
    let outcome = ends_as(Verdict::Failed, "def f(n): return f(n + 1)\nf(0)");
    assert!(
        outcome.output.contains("RecursionError"),
        "{}",
        outcome.output
    );
    let outcome = attack(
        "import sys\nsys.setrecursionlimit(10 ** 9)\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())",
    );
    let ended = matches!(
        outcome.verdict,
        Verdict::Failed | Verdict::Crashed | Verdict::OutOfMemory | Verdict::TimedOut
    );
    assert!(ended, "{:?}", outcome.verdict);
}

#[test]
fn a_huge_file_is_refused_and_so_are_many() {
    is_refused(
        "import errno, os\n\
         block, n = bytes(1 << 20), 0\n\
         try:\n    with open('huge', 'wb', buffering=0) as f:\n        while True:\n            n += f.write(block)\n\
         except OSError as error:\n    assert error.errno == errno.EFBIG and n == 16 << 20, (error, n)\n\
         try:\n    for k in range(1000):\n        with open(f'part{k}', 'wb', buffering=0) as f:\n            for _ in range(8): f.write(block)\n\
         except OSError as error:\n    assert error.errno == errno.ENOSPC, error\n\
         total = sum(os.path.getsize(name) for name in os.listdir('.'))\n\
         assert total <= 32 << 20, total\n",
    );
}

#[test]
fn no_descriptor_of_the_caller_is_open_inside() {
    let outcome = attack(
        "import os\n\
         found = []\n\
         for fd in range(64):\n    try: os.fstat(fd); found.append(fd)\n    except OSError: pass\n\
         print(len(found))",
    );
    // The three standard ones, and two pipes to the supervisor.
    assert_eq!(outcome.output.trim(), "5");
}

#[test]
fn the_same_program_gets_the_same_verdict_twice() {
    let programs = [
        ("def answer(): return 42", Verdict::Passed),
        ("def answer(): return 41", Verdict::Failed),
        (
            "def answer(): return bytearray(1 << 40)",
            Verdict::OutOfMemory,
        ),
        ("def answer():\n    while True: pass", Verdict::TimedOut),
    ];
    for (solution, want) in programs {
        for _ in 0..2 {
            let check = PythonCheck {
                solution,
                tests: "assert answer() == 42",
            };
            let outcome = SANDBOX.check(&check, &LIMITS).expect("a verdict");
            assert_eq!(outcome.verdict, want, "{solution}\n{}", outcome.output);
        }
    }
}

#[test]
fn many_threads_share_one_sandbox() {
    let grade = |n: usize| {
        let solution = format!("def answer(): return {n}");
        let tests = "assert answer() % 2 == 0, answer()";
        let check = PythonCheck {
            solution: &solution,
            tests,
        };
        SANDBOX
            .check(&check, &Limits::default())
            .expect("a verdict")
    };
    std::thread::scope(|scope| {
        for thread_idx in 0..6 {
            scope.spawn(move || {
                for n in (0..40).filter(|n| n % 6 == thread_idx) {
                    let outcome = grade(n);
                    let want = if n % 2 == 0 {
                        Verdict::Passed
                    } else {
                        Verdict::Failed
                    };
                    assert_eq!(outcome.verdict, want, "{n}: {}", outcome.output);
                    let is_told = outcome.output.contains(&format!("AssertionError: {n}\n"));
                    assert_eq!(is_told, n % 2 == 1, "{}", outcome.output);
                }
            });
        }
    });
}

/// Set in the process that the next test starts and kills.
const VICTIM: &str = "TRIMTAB_SANDBOX_VICTIM";

#[test]
fn the_death_of_the_caller_ends_the_program() {
    if let Ok(marker) = std::env::var(VICTIM) {
        attack_within(
            &format!("import os\nos.execv('/usr/bin/sleep', ['sleep', '{marker}'])"),
            &Limits {
                wall: Duration::from_mins(1),
                ..LIMITS
            },
        );
        return;
    }
    let marker = format!("8{}", std::process::id());
    let own_program = std::env::current_exe().expect("the path of this test");
    #[expect(clippy::disallowed_methods, reason = "the test kills a whole process")]
    let mut caller = std::process::Command::new(own_program)
        .args(["--exact", "the_death_of_the_caller_ends_the_program"])
        .env(VICTIM, &marker)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("this test starts once more");
    let becomes = |want: bool| {
        let start = Instant::now();
        while runs_somewhere(&marker) != want {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "the program runs: {}",
                !want
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    becomes(true);
    caller.kill().expect("the caller is killed");
    caller.wait().expect("the caller ends");
    becomes(false);
}
