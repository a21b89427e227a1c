//! How many trivial Python programs are graded a second, by one thread and by one a core, and the
//! CPU time that each takes, which tells more on a machine that does other things too.
//!
//! `cargo bench -p trimtab-sandbox --bench grading`

#![expect(clippy::print_stdout, reason = "a benchmark tells its numbers")]

use std::sync::Arc;
use std::time::Instant;
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, Pool, PythonCheck, Sandbox};

const N_PROGRAMS: usize = 200;

fn main() {
    let sandbox = Arc::new(Sandbox::detect().expect("bubblewrap and Python are installed"));
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (what, solution, expected) in [
        (
            "passing",
            "def add(a, b):\n    return a + b\n",
            Verdict::Passed,
        ),
        (
            "failing",
            "def add(a, b):\n    return a - b\n",
            Verdict::Failed,
        ),
    ] {
        for n_threads in [1, n_cores] {
            let own = sandbox.clone();
            let pool = Pool::start(n_threads, move |()| {
                let check = PythonCheck {
                    solution,
                    tests: "assert add(1, 2) == 3",
                };
                own.check(&check, &Limits::default())
                    .expect("a verdict")
                    .verdict
            });
            let (clock, cpu) = (Instant::now(), cpu_seconds());
            (0..N_PROGRAMS).for_each(|_| pool.submit(()));
            let verdicts = pool.finish();
            let rate = N_PROGRAMS as f64 / clock.elapsed().as_secs_f64();
            assert!(verdicts.iter().all(|verdict| *verdict == expected));
            let cpu_ms = 1e3 * (cpu_seconds() - cpu) / N_PROGRAMS as f64;
            println!(
                "{what}, {n_threads} threads: {rate:.0} programs/s, {cpu_ms:.1} ms of CPU each"
            );
        }
    }
}

/// CPU time of this process and of all that it has waited for.
fn cpu_seconds() -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .into_iter()
        .map(|who| {
            // SAFETY: all zeros are a valid value of this plain structure of numbers.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            // SAFETY: the pointer is to a structure of the type that the call fills.
            unsafe { libc::getrusage(who, &raw mut usage) };
            seconds(usage.ru_utime) + seconds(usage.ru_stime)
        })
        .sum()
}
