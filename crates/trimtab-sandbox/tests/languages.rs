//! Programs in every language get the verdicts that a reader expects, and cannot pass otherwise.
//!
//! `make test` installs all toolchains; where one is missing these tests fail and say what to do.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;
use trimtab_domain::Verdict;
use trimtab_sandbox::{
    Build, Language, Limits, Outcome, Program, Sandbox, SandboxError, SourceFile, Stage, Toolchain,
};

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::detect().expect("tests need a working sandbox"));

static TOOLCHAINS: LazyLock<HashMap<Language, Toolchain>> = LazyLock::new(|| {
    let find = |language| {
        let found = SANDBOX.toolchain(language);
        (language, found.expect("tests need every toolchain"))
    };
    Language::ALL.into_iter().map(find).collect()
});

/// What a test needs to say in every language.
struct Sample {
    language: Language,
    /// Defines `add`, which adds two integers.
    right: &'static str,
    /// Defines an `add` that subtracts.
    wrong: &'static str,
    /// Ends the process with status 0 inside `add`.
    leaving: &'static str,
    /// Loops for ever inside `add`.
    endless: &'static str,
    /// Keeps more and more memory inside `add`.
    greedy: &'static str,
    /// Asserts that `add(1, 2)` is 3.
    tests: &'static str,
}

const SAMPLES: [Sample; 5] = [
    Sample {
        language: Language::Python,
        right: "def add(a, b): return a + b",
        wrong: "def add(a, b): return a - b",
        leaving: "def add(a, b):\n    import os\n    os._exit(0)",
        endless: "def add(a, b):\n    while True: pass",
        greedy: "def add(a, b):\n    kept = []\n    while True: kept.append(bytearray(1 << 20))",
        tests: "assert add(1, 2) == 3",
    },
    Sample {
        language: Language::Java,
        right: "class A { static int add(int a, int b) { return a + b; }",
        wrong: "class A { static int add(int a, int b) { return a - b; }",
        leaving: "class A { static int add(int a, int b) { System.exit(0); return 3; }",
        endless: "class A { static int add(int a, int b) { int i = 0; while (a > 0) i++; return i; }",
        greedy: "class A { static int add(int a, int b) { var kept = new java.util.ArrayList<int[]>(); while (a > 0) kept.add(new int[1 << 18]); return 3; }",
        tests: "public static void main(String[] x) { assert add(1, 2) == 3; } }",
    },
    Sample {
        language: Language::CSharp,
        right: "class A { static int add(int a, int b) { return a + b; }",
        wrong: "class A { static int add(int a, int b) { return a - b; }",
        leaving: "class A { static int add(int a, int b) { System.Environment.Exit(0); return 3; }",
        endless: "class A { static int add(int a, int b) { int i = 0; while (a > 0) i++; return i; }",
        greedy: "class A { static int add(int a, int b) { var kept = new System.Collections.Generic.List<int[]>(); while (a > 0) kept.Add(new int[1 << 18]); return 3; }",
        tests: "static void Main() { System.Diagnostics.Debug.Assert(add(1, 2) == 3); } }",
    },
    Sample {
        language: Language::JavaScript,
        right: "const add = (a, b) => a + b;",
        wrong: "const add = (a, b) => a - b;",
        leaving: "const add = (a, b) => process.exit(0);",
        endless: "const add = (a, b) => { while (true) {} };",
        greedy: "const add = (a, b) => { const kept = []; while (true) kept.push(new Array(1 << 17).fill(a)); };",
        tests: "console.assert(add(1, 2) === 3);",
    },
    Sample {
        language: Language::Rust,
        right: "fn add(a: i32, b: i32) -> i32 { a + b }",
        wrong: "fn add(a: i32, b: i32) -> i32 { a - b }",
        leaving: "fn add(_: i32, _: i32) -> i32 { std::process::exit(0) }",
        endless: "fn add(_: i32, _: i32) -> i32 { loop { std::hint::spin_loop() } }",
        greedy: "fn add(_: i32, _: i32) -> i32 { let mut kept = vec![]; loop { kept.push(vec![1u8; 1 << 20]) } }",
        tests: "#[test] fn adds() { assert_eq!(add(1, 2), 3); }",
    },
];

/// Short enough for the tests, long enough for a virtual machine to start.
const LIMITS: Limits = Limits {
    wall: Duration::from_secs(6),
    cpu: Duration::from_secs(2),
    memory_bytes: 192 << 20,
    n_processes: 16,
    file_bytes: 16 << 20,
    tmp_bytes: 32 << 20,
    output_bytes: 64 << 10,
};

fn grade(language: Language, solution: &str, tests: &str) -> Outcome {
    let program = Program {
        solution,
        tests,
        support: &[],
    };
    SANDBOX
        .grade(&TOOLCHAINS[&language], &program, &LIMITS)
        .expect("a verdict")
}

#[track_caller]
fn ends_as(verdict: Verdict, choose: impl Fn(&Sample) -> &'static str) {
    for sample in &SAMPLES {
        let outcome = grade(sample.language, choose(sample), sample.tests);
        let language = sample.language;
        assert_eq!(outcome.verdict, verdict, "{language}: {}", outcome.output);
        assert_eq!(outcome.stage, Stage::Run, "{language}");
    }
}

#[test]
fn a_right_solution_passes_in_every_language_and_says_nothing() {
    for sample in &SAMPLES {
        let outcome = grade(sample.language, sample.right, sample.tests);
        let language = sample.language;
        assert_eq!(
            outcome.verdict,
            Verdict::Passed,
            "{language}: {}",
            outcome.output
        );
        assert!(!outcome.output.contains("@trimtab"), "{}", outcome.output);
        assert!(outcome.cpu.is_some() && outcome.peak_memory.is_some());
    }
}

#[test]
fn a_wrong_solution_fails_in_every_language() {
    ends_as(Verdict::Failed, |sample| sample.wrong);
}

#[test]
fn leaving_before_the_tests_end_does_not_pass() {
    ends_as(Verdict::Failed, |sample| sample.leaving);
}

#[test]
fn an_endless_loop_times_out_in_every_language() {
    ends_as(Verdict::TimedOut, |sample| sample.endless);
}

#[test]
fn a_greedy_program_runs_out_of_memory_in_every_language() {
    ends_as(Verdict::OutOfMemory, |sample| sample.greedy);
}

#[test]
fn a_program_that_does_not_compile_fails_before_it_runs() {
    for sample in &SAMPLES {
        let outcome = grade(sample.language, "this is (no program", sample.tests);
        let language = sample.language;
        assert_eq!(outcome.verdict, Verdict::Failed, "{language}");
        assert!(!outcome.output.is_empty(), "{language}");
        let is_compiled = matches!(language, Language::Java | Language::CSharp | Language::Rust);
        assert_eq!(outcome.stage == Stage::Compile, is_compiled, "{language}");
    }
}

#[test]
fn compiling_alone_says_whether_the_compiler_takes_it() {
    for sample in &SAMPLES {
        let compiles = |solution| {
            let program = Program {
                solution,
                tests: sample.tests,
                support: &[],
            };
            let toolchain = &TOOLCHAINS[&sample.language];
            SANDBOX
                .compile(toolchain, &program)
                .expect("a verdict")
                .verdict
        };
        assert_eq!(compiles(sample.leaving), Verdict::Passed);
        if matches!(
            sample.language,
            Language::Java | Language::CSharp | Language::Rust
        ) {
            assert_eq!(compiles("class {"), Verdict::Failed);
        }
    }
}

#[test]
fn an_empty_answer_holds_no_program_in_any_language() {
    for sample in &SAMPLES {
        let outcome = grade(sample.language, " \n", sample.tests);
        assert_eq!(outcome.verdict, Verdict::NoProgram);
    }
}

#[test]
fn files_beside_the_program_are_used() {
    let cases = [
        (
            Language::Java,
            "classes/Helper.java",
            "package help; public class Helper { public static int three() { return 3; } }",
            "public class Main { static int f() { return help.Helper.three(); }",
            "public static void main(String[] x) { assert f() == 3; } }",
        ),
        (
            Language::Python,
            "helper.py",
            "def three():\n    return 3\n",
            "from helper import three",
            "assert three() == 3",
        ),
        (
            Language::CSharp,
            "Helper.cs",
            "static class Helper { public static int Three() { return 3; } }",
            "class A { static int F() { return Helper.Three(); }",
            "static void Main() { System.Diagnostics.Debug.Assert(F() == 3); } }",
        ),
    ];
    for (language, path, text, solution, tests) in cases {
        let support = [SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }];
        let program = Program {
            solution,
            tests,
            support: &support,
        };
        let outcome = SANDBOX.grade(&TOOLCHAINS[&language], &program, &LIMITS);
        let outcome = outcome.expect("a verdict");
        assert_eq!(
            outcome.verdict,
            Verdict::Passed,
            "{language}: {}",
            outcome.output
        );
    }
}

#[test]
fn a_runner_beside_a_java_program_has_the_main_method_that_counts() {
    let runner = "public class TrimtabRunner { public static void main(String[] x) { \
                  assert A.one() == 1; } }";
    let support = [SourceFile {
        path: "TrimtabRunner.java".to_owned(),
        text: runner.to_owned(),
    }];
    let of_runner = "class TrimtabRunner { public static void main(String[] x) {} }";
    for (result, more, support, expected) in [
        (1, "", &support[..], Verdict::Passed),
        (2, "", &support[..], Verdict::Failed),
        // Only the support names a runner: a program cannot bring its own.
        (2, of_runner, &support[..], Verdict::Failed),
        (1, of_runner, &[], Verdict::Failed),
    ] {
        let program = Program {
            solution: &format!(
                "class A {{ static int one() {{ return {result}; }} \
                 public static void main(String[] x) {{}} }}\n{more}"
            ),
            tests: "",
            support,
        };
        let outcome = SANDBOX.grade(&TOOLCHAINS[&Language::Java], &program, &LIMITS);
        let outcome = outcome.expect("a verdict");
        assert_eq!(outcome.verdict, expected, "{}", outcome.output);
    }
}

#[test]
fn a_built_program_runs_often_and_no_run_sees_another() {
    let runner = "public class TrimtabRunner { public static void main(String[] x) throws Exception { \
                  A.run(x.length == 0 ? 0 : Integer.parseInt(x[0])); } }";
    let support = [SourceFile {
        path: "TrimtabRunner.java".to_owned(),
        text: runner.to_owned(),
    }];
    // Every run spoils what a later one in the same place would load, and leaves a mark.
    let solution = "class A { static class Inner { static int one() { return 1; } } \
        static void run(int n) throws Exception { \
          java.io.File mark = new java.io.File(\"/tmp/mark\"); assert mark.createNewFile(); \
          if (n == 7) { while (true) { n = 7; } } \
          new java.io.File(\"/tmp/classes/A$Inner.class\").delete(); \
          assert n != 2; } \
        static int later() { return Inner.one(); } }";
    let program = Program {
        solution,
        tests: "",
        support: &support,
    };
    let java = &TOOLCHAINS[&Language::Java];
    let Build::Built(built) = SANDBOX.build(java, &program).expect("a build") else {
        panic!("it compiles");
    };
    let run = |arguments: &[&str]| {
        let outcome = SANDBOX.run_built(&built, arguments, &LIMITS);
        outcome.expect("a verdict")
    };
    for (arguments, expected) in [
        (&[][..], Verdict::Passed),
        (&["2"], Verdict::Failed),
        (&["7"], Verdict::TimedOut),
        (&["1"], Verdict::Passed),
    ] {
        let outcome = run(arguments);
        assert_eq!(outcome.verdict, expected, "{}", outcome.output);
        assert_eq!(outcome.stage, Stage::Run);
    }
}

#[test]
fn what_cannot_be_built_says_why() {
    let java = &TOOLCHAINS[&Language::Java];
    let mut program = Program {
        solution: "class A {",
        tests: "",
        support: &[],
    };
    // Without a runner there is no use in building.
    let build = SANDBOX.build(java, &program).expect("a build");
    assert!(matches!(build, Build::NotShared), "{build:?}");
    let build = SANDBOX.build(&TOOLCHAINS[&Language::Python], &program);
    assert!(matches!(build, Ok(Build::NotShared)), "{build:?}");
    let support = [SourceFile {
        path: "TrimtabRunner.java".to_owned(),
        text: "class TrimtabRunner {}".to_owned(),
    }];
    program.support = &support;
    match SANDBOX.build(java, &program).expect("a build") {
        Build::Refused(outcome) => {
            assert_eq!(outcome.verdict, Verdict::Failed);
            assert_eq!(outcome.stage, Stage::Compile);
            assert!(
                outcome.output.contains("reached end of file"),
                "{outcome:?}"
            );
        }
        build => panic!("{build:?}"),
    }
    program.solution = " ";
    match SANDBOX.build(java, &program).expect("a build") {
        Build::Refused(outcome) => assert_eq!(outcome.verdict, Verdict::NoProgram),
        build => panic!("{build:?}"),
    }
}

#[test]
fn a_file_outside_the_folder_is_refused() {
    let support = [SourceFile {
        path: "../tmp/x.py".to_owned(),
        text: String::new(),
    }];
    let program = Program {
        solution: "pass",
        tests: "",
        support: &support,
    };
    let error = SANDBOX.grade(&TOOLCHAINS[&Language::Python], &program, &LIMITS);
    assert!(matches!(error, Err(SandboxError::FilePath { .. })));
}

#[test]
fn no_language_sees_the_machine() {
    let cases = [
        (
            Language::Java,
            "class A {",
            "public static void main(String[] x) { for (String f : new String[] {\"/etc/passwd\", \"/root\", \"/home\", \"/proc/self/environ\"}) assert !new java.io.File(f).canRead() || new java.io.File(f).list().length < 2 : f; \
             try { new java.net.Socket(\"192.0.2.1\", 9); assert false; } catch (java.io.IOException e) {} } }",
        ),
        (
            Language::CSharp,
            "class A {",
            "static void Main() { foreach (var f in new[] {\"/etc/passwd\", \"/proc/self/environ\"}) System.Diagnostics.Debug.Assert(!System.IO.File.Exists(f), f); } }",
        ),
        (
            Language::JavaScript,
            "const fs = require('fs');",
            "for (const f of ['/etc/passwd', '/home', '/proc/self/environ']) console.assert(!fs.existsSync(f), f);",
        ),
        (
            Language::Rust,
            "use std::path::Path;",
            "#[test] fn sees() { for f in [\"/etc/passwd\", \"/home\", \"/proc/self/environ\"] { assert!(!Path::new(f).exists(), \"{f}\"); } \
             assert!(std::net::UdpSocket::bind(\"0.0.0.0:0\").and_then(|s| s.connect(\"192.0.2.1:9\")).is_err()); }",
        ),
    ];
    for (language, solution, tests) in cases {
        let outcome = grade(language, solution, tests);
        assert_eq!(
            outcome.verdict,
            Verdict::Passed,
            "{language}: {}",
            outcome.output
        );
    }
}

#[test]
fn what_the_sandbox_refuses_is_a_verdict_of_its_own() {
    for solution in [
        "open('/usr/new', 'w')",
        "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "import socket\nsocket.create_connection(('192.0.2.1', 9))",
    ] {
        let outcome = grade(Language::Python, solution, "pass");
        assert_eq!(
            outcome.verdict,
            Verdict::Refused,
            "{solution}: {}",
            outcome.output
        );
    }
    // A file that does not exist is an ordinary mistake.
    let outcome = grade(Language::Python, "open('data.txt')", "pass");
    assert_eq!(outcome.verdict, Verdict::Failed);
}

#[test]
fn every_toolchain_knows_its_version() {
    for (language, start) in [
        (Language::Python, "CPython 3."),
        (Language::Java, "javac "),
        (Language::CSharp, "Mono "),
        (Language::JavaScript, "Node.js "),
        (Language::Rust, "rustc "),
    ] {
        let version = TOOLCHAINS[&language].version();
        assert!(version.starts_with(start), "{version}");
        assert_eq!(TOOLCHAINS[&language].language(), language);
    }
}
