//! How many trivial Python programs are graded a second, by one thread and by one a core.
//!
//! `cargo bench -p trimtab-sandbox --bench grading`

#![expect(clippy::print_stdout, reason = "a benchmark tells its numbers")]

use std::sync::Arc;
use std::time::Instant;
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, Pool, PythonCheck, Sandbox};

const N_PROGRAMS: usize = 400;

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
            let clock = Instant::now();
            (0..N_PROGRAMS).for_each(|_| pool.submit(()));
            let verdicts = pool.finish();
            let rate = N_PROGRAMS as f64 / clock.elapsed().as_secs_f64();
            assert!(verdicts.iter().all(|verdict| *verdict == expected));
            println!("{what}, {n_threads} threads: {rate:.0} programs/s");
        }
    }
}
