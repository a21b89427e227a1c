//! How many trivial programs the sandbox grades a second: `throughput [N_PROGRAMS] [N_THREADS]`.

use std::error::Error;
use std::time::Instant;
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, PythonCheck, Sandbox};

#[expect(
    clippy::print_stdout,
    reason = "the result of a measurement goes to the terminal"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let n_programs = arguments.next().transpose()?.unwrap_or(100);
    let n_threads = arguments.next().transpose()?.unwrap_or(1);

    let start = Instant::now();
    let sandbox = Sandbox::detect()?;
    println!(
        "set up and proven in {:.0} ms",
        start.elapsed().as_secs_f64() * 1e3
    );

    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| grade_many(&sandbox, n_programs / n_threads));
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{n_programs} programs, {n_threads} at a time: {:.1} a second, {:.1} ms each",
        n_programs as f64 / seconds,
        seconds * 1e3 / n_programs as f64
    );
    Ok(())
}

fn grade_many(sandbox: &Sandbox, n_programs: usize) {
    let check = PythonCheck {
        solution: "def add(a, b):\n    return a + b\n",
        tests: "assert add(1, 2) == 3\n",
    };
    for _ in 0..n_programs {
        let outcome = sandbox.check(&check, &Limits::default());
        let passed = outcome.is_ok_and(|outcome| outcome.verdict == Verdict::Passed);
        assert!(passed, "a right solution passes");
    }
}
