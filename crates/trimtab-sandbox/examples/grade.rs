//! Grades one solution: `grade SOLUTION.py TESTS.py [PYTHON]`.

use std::error::Error;
use std::fs::read_to_string;
use std::path::Path;
use trimtab_sandbox::{Limits, PythonCheck, Sandbox};

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (solution, tests, python) = match &arguments[..] {
        [solution, tests] => (solution, tests, None),
        [solution, tests, python] => (solution, tests, Some(Path::new(python))),
        _ => return Err("usage: grade SOLUTION.py TESTS.py [PYTHON]".into()),
    };
    let sandbox = python.map_or_else(Sandbox::detect, Sandbox::with_python)?;
    let (solution, tests) = (read_to_string(solution)?, read_to_string(tests)?);
    let check = PythonCheck {
        solution: &solution,
        tests: &tests,
    };
    let outcome = sandbox.check(&check, &Limits::default())?;
    println!("{}\n{outcome:#?}", sandbox.python().version());
    Ok(())
}
