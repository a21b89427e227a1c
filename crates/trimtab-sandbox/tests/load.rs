//! Verdicts do not depend on what else the machine does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, Pool, PythonCheck, Sandbox};

static SANDBOX: LazyLock<Arc<Sandbox>> =
    LazyLock::new(|| Arc::new(Sandbox::detect().expect("tests need a working sandbox")));

/// The wall-clock limit is near what the busy program needs on a free processor, so that it would
/// be too short on a full one.
const LIMITS: Limits = Limits {
    wall: Duration::from_millis(1500),
    cpu: Duration::from_secs(3),
    memory_bytes: 256 << 20,
    n_processes: 16,
    file_bytes: 16 << 20,
    tmp_bytes: 32 << 20,
    output_bytes: 64 << 10,
};

const PROGRAMS: [(&str, Verdict); 6] = [
    ("pass", Verdict::Passed),
    ("assert False", Verdict::Failed),
    ("import time\ntime.sleep(60)", Verdict::TimedOut),
    ("while True: pass", Verdict::TimedOut),
    ("keep = bytearray(1 << 30)", Verdict::OutOfMemory),
    (
        "import time\nwhile time.process_time() < 0.7: pass",
        Verdict::Passed,
    ),
];

fn verdicts(n_threads: usize, n_rounds: usize) -> Vec<Vec<Verdict>> {
    let sandbox = SANDBOX.clone();
    let pool = Pool::start(n_threads, move |idx: usize| {
        let check = PythonCheck {
            solution: PROGRAMS[idx].0,
            tests: "",
        };
        (
            idx,
            sandbox.check(&check, &LIMITS).expect("a verdict").verdict,
        )
    });
    for idx in (0..n_rounds).flat_map(|_| 0..PROGRAMS.len()) {
        pool.submit(idx);
    }
    let mut found = vec![Vec::new(); PROGRAMS.len()];
    for (idx, verdict) in pool.finish() {
        found[idx].push(verdict);
    }
    found
}

#[test]
fn the_same_programs_get_the_same_verdicts_on_a_full_machine() {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let is_over = Arc::new(AtomicBool::new(false));
    let spinners: Vec<_> = (0..2 * n_cores)
        .map(|_| {
            let is_over = is_over.clone();
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let full = verdicts(2 * n_cores, 2);
    is_over.store(true, Ordering::Relaxed);
    for spinner in spinners {
        spinner.join().expect("a loop that ends");
    }
    let free = verdicts(n_cores, 1);
    for (idx, (program, expected)) in PROGRAMS.iter().enumerate() {
        assert_eq!(free[idx], [*expected], "alone: {program}");
        assert_eq!(full[idx], [*expected; 2], "on a full machine: {program}");
    }
}
