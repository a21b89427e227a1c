//! Ordinary programs get the verdicts that a reader expects.

use std::sync::LazyLock;
use std::time::Duration;
use trimtab_domain::{Bytes, Verdict};
use trimtab_sandbox::{Limits, Outcome, PythonCheck, PythonScript, Sandbox};

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::detect().expect("tests need a working sandbox"));

const ADD: &str = "def add(a, b):\n    return a + b\n";

fn grade(solution: &str, tests: &str) -> Outcome {
    SANDBOX
        .check(&PythonCheck { solution, tests }, &Limits::default())
        .expect("a verdict")
}

fn run(source: &str, stdin: &[u8]) -> Outcome {
    SANDBOX
        .run(&PythonScript { source, stdin }, &Limits::default())
        .expect("a verdict")
}

#[test]
fn a_right_solution_passes() {
    let outcome = grade(ADD, "assert add(1, 2) == 3");
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
    assert_eq!((outcome.exit_code, outcome.signal), (Some(0), None));
    assert!(outcome.output.is_empty());
}

#[test]
fn a_wrong_solution_fails_and_shows_the_line() {
    let outcome = grade(
        "def add(a, b):\n    return a - b\n",
        "\nassert add(1, 2) == 3",
    );
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(
        outcome.output.contains("File \"tests.py\", line 2"),
        "{}",
        outcome.output
    );
    assert!(
        outcome.output.contains("assert add(1, 2) == 3"),
        "{}",
        outcome.output
    );
    assert!(!outcome.output.contains("supervisor"), "{}", outcome.output);
}

#[test]
fn an_error_shows_the_line_of_the_solution() {
    let outcome = grade("def half(n):\n    return n / 0\n", "half(3)");
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(
        outcome.output.contains("    return n / 0"),
        "{}",
        outcome.output
    );
    assert!(
        outcome
            .output
            .contains("ZeroDivisionError: division by zero"),
        "{}",
        outcome.output
    );
}

#[test]
fn text_that_is_no_python_fails() {
    let outcome = grade("Here is the function:\n", "pass");
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(outcome.output.contains("SyntaxError"), "{}", outcome.output);
}

#[test]
fn an_empty_answer_holds_no_program() {
    assert_eq!(grade(" \n\t\n", "pass").verdict, Verdict::NoProgram);
}

#[test]
fn the_standard_library_and_typical_declarations_work() {
    let solution = "\
from __future__ import annotations
import bisect, collections, dataclasses, datetime, enum, functools, heapq, itertools, json, math
import random, re, string, subprocess, threading, typing

@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0

class Colour(enum.Enum):
    RED = 1

@functools.lru_cache(maxsize=None)
def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def names(p: Point) -> typing.List[str]:
    return [f.name for f in dataclasses.fields(p)]
";
    let tests = "\
assert fib(80) == 23416728348467685
assert names(Point(1)) == ['x', 'y'] and Point(1) == Point(1, 0)
assert Colour.RED.name == 'RED'
assert typing.get_type_hints(fib) == {'n': int, 'return': int}
seen = []
worker = threading.Thread(target=seen.append, args=(1,)); worker.start(); worker.join()
assert seen == [1]
assert subprocess.run(['/usr/bin/true']).returncode == 0
";
    let outcome = grade(solution, tests);
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
}

#[test]
fn a_main_block_of_a_solution_does_not_run() {
    let solution = format!("{ADD}\nif __name__ == '__main__':\n    print(add(int(input()), 1))\n");
    let outcome = grade(&solution, "assert add(2, 2) == 4");
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
}

#[test]
fn text_beyond_ascii_survives() {
    let outcome = grade("def greet():\n    print('grüß dich, 世界')\n", "greet()");
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
    assert_eq!(outcome.output, "grüß dich, 世界\n");
}

#[test]
fn large_tests_reach_the_program() {
    let numbers: Vec<String> = (0..60_000).map(|n| n.to_string()).collect();
    let tests = format!("assert sum([{}]) == 1799970000", numbers.join(", "));
    assert!(tests.len() > 300_000);
    let outcome = grade(ADD, &tests);
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
}

#[test]
fn files_can_be_written_in_the_private_folder() {
    let solution =
        "def save(text):\n    with open('note.txt', 'w') as note:\n        note.write(text)\n";
    let tests = "import os\nsave('abc')\nassert open('/tmp/note.txt').read() == 'abc'\n\
                 assert os.listdir('.') == ['note.txt'], os.listdir('.')";
    for _ in 0..2 {
        let outcome = grade(solution, tests);
        assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
    }
}

#[test]
fn a_script_reads_its_input_and_passes_by_status_zero() {
    let outcome = run("import sys\nprint(sum(map(int, sys.stdin)))", b"1\n2\n3\n");
    assert_eq!(
        (outcome.verdict, outcome.output.as_str()),
        (Verdict::Passed, "6\n")
    );
    assert_eq!(run("exit(0)", b"").verdict, Verdict::Passed);
}

#[test]
fn input_larger_than_a_pipe_arrives() {
    let stdin = vec![b'x'; 40 << 20];
    let outcome = run("import sys\nprint(len(sys.stdin.buffer.read()))", &stdin);
    assert_eq!(outcome.output, format!("{}\n", stdin.len()));
}

#[test]
fn the_exit_status_of_a_script_is_told() {
    let outcome = run("import sys\nprint('before')\nsys.exit(3)", b"");
    assert_eq!(
        (outcome.verdict, outcome.exit_code),
        (Verdict::Failed, Some(3))
    );
    assert_eq!(outcome.output, "before\n");
}

#[test]
fn a_signal_is_told() {
    let outcome = run(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
        b"",
    );
    assert_eq!(outcome.verdict, Verdict::Crashed);
    assert_eq!((outcome.exit_code, outcome.signal), (None, Some(15)));
}

#[test]
fn wall_time_and_memory_are_measured() {
    let outcome = grade(
        "import time\ntime.sleep(0.2)\nkeep = bytearray(100 << 20)\n",
        "pass",
    );
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
    assert!(
        outcome.wall >= Duration::from_millis(200),
        "{:?}",
        outcome.wall
    );
    let peak = outcome
        .peak_memory
        .expect("a program that ended was measured");
    assert!(Bytes(100 << 20) < peak && peak < Bytes(150 << 20), "{peak}");
}

#[test]
fn a_hash_has_the_same_order_every_time() {
    let source = "print(list({'a', 'b', 'c', 'd', 'e', 'f', 'g'}))";
    assert_eq!(run(source, b"").output, run(source, b"").output);
}

#[test]
fn the_versions_of_the_parts_are_known() {
    assert!(SANDBOX.python().version().starts_with("CPython 3."));
    assert!(SANDBOX.bubblewrap_version().starts_with("0."));
}
