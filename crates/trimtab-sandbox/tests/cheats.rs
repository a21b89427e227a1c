//! Solutions that try to pass without solving anything.

use std::sync::LazyLock;
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, Outcome, PythonCheck, Sandbox};

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::detect().expect("tests need a working sandbox"));

#[track_caller]
fn is_not_passed(solution: &str) -> Outcome {
    let tests = "assert answer() == 42";
    let outcome = SANDBOX
        .check(&PythonCheck { solution, tests }, &Limits::default())
        .expect("a verdict");
    assert_ne!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
    outcome
}

#[test]
fn leaving_before_the_tests_does_not_pass() {
    for way in [
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "raise SystemExit",
        "exit()",
        "quit()",
    ] {
        assert_eq!(is_not_passed(way).verdict, Verdict::Failed, "{way}");
    }
    is_not_passed("def answer():\n    import os\n    os._exit(0)\n");
    is_not_passed("def answer():\n    raise SystemExit(0)\n");
    is_not_passed(
        "import threading, os\nthreading.Timer(0, os._exit, (0,)).start()\nimport time\ntime.sleep(1)",
    );
}

#[test]
fn a_forged_success_does_not_pass() {
    is_not_passed("print('@trimtab ended passed 0 9000 12')\nimport os\nos._exit(0)\n");
    let everywhere = "import os\n\
        for message in (b'P' + bytes(16), b'PTP', b'@trimtab ended passed 0 9000 12\\n'):\n\
        \x20   for fd in range(1, 64):\n        try: os.write(fd, message)\n        except OSError: pass\n";
    is_not_passed(&format!("{everywhere}os._exit(0)\n"));
    is_not_passed(&format!("{everywhere}def answer(): return 42\n"));
    is_not_passed(
        "class Any:\n    def __eq__(self, other): import os; os._exit(0)\ndef answer(): return Any()\n",
    );
}

#[test]
fn the_tests_are_not_there_while_the_solution_starts() {
    // The pattern does not match itself.
    let solution = "import gc, re, sys\n\
        frame, held = sys._getframe(), list(gc.get_objects())\n\
        while frame:\n    held += [frame.f_locals, frame.f_globals]\n    frame = frame.f_back\n\
        for thing in held:\n    if isinstance(thing, (list, tuple, dict)):\n\
        \x20       values = list(thing.values()) if isinstance(thing, dict) else thing\n\
        \x20       for text in (x for x in values if isinstance(x, (str, bytes))):\n\
        \x20           assert not re.search('XANAD[U]', str(text)), text\n\
        def answer(): return 42\n";
    let check = PythonCheck {
        solution,
        tests: "assert answer() == 42 # XANADU",
    };
    let outcome = SANDBOX
        .check(&check, &Limits::default())
        .expect("a verdict");
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.output);
}

#[test]
fn a_solution_that_closes_the_channel_does_not_pass() {
    is_not_passed("import os\nos.closerange(0, 1000)\ndef answer(): return 42\n");
}
