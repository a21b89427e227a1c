//! Published suites: their references pass, wrong programs fail, and recorded answers get the
//! verdicts that were recorded.
//!
//! Needs `TRIMTAB_ACCEPTANCE_DIR` (a folder with `data/` and `golden/`); `make test` sets it where
//! it can, and leaves these tests out elsewhere.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and tells what it found broken"
)]

use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use trimtab_domain::{PromptStyle, Verdict};
use trimtab_sandbox::{Limits, Pool, Sandbox};
use trimtab_suites::{
    FieldMap, Grade, Grader, Problem, References, Suite, SuiteFormat, complete_program, program_of,
    read_suite,
};

/// Wrong programs may loop; none of the right ones takes so long.
const SHORT: Limits = Limits {
    wall: Duration::from_secs(3),
    cpu: Duration::from_secs(1),
    memory_bytes: 512 << 20,
    n_processes: 16,
    file_bytes: 16 << 20,
    tmp_bytes: 32 << 20,
    output_bytes: 256 << 10,
};

fn folder() -> PathBuf {
    let name = "TRIMTAB_ACCEPTANCE_DIR";
    let value = std::env::var_os(name).unwrap_or_else(|| {
        panic!("`{name}` is not set: run `make test`, or leave out the tests named `acceptance`")
    });
    PathBuf::from(value)
}

fn file(path: &str) -> Vec<u8> {
    let path = folder().join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(format: SuiteFormat, paths: &[&str]) -> Suite {
    let files: Vec<Vec<u8>> = paths.iter().map(|path| file(path)).collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    read_suite("s", "S", format, &files, &FieldMap::default()).unwrap()
}

fn human_eval() -> Suite {
    read(
        SuiteFormat::HumanEval,
        &["data/humaneval/HumanEval.jsonl.gz"],
    )
}

fn grader(suite: &Suite) -> Arc<Grader> {
    let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
    let grader = Grader::new(sandbox, [suite]);
    let missing: Vec<_> = grader.missing().collect();
    assert!(missing.is_empty(), "{missing:?}");
    Arc::new(grader)
}

fn n_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn references(suite: &Suite) -> References {
    References::check(&grader(suite), suite, Vec::new(), n_threads(), &mut |_| {}).unwrap()
}

/// Ids of the problems whose reference fails.
fn broken(suite: &Suite) -> Vec<String> {
    let references = references(suite);
    for broken in &references.broken {
        let last = broken.output.lines().last().unwrap_or_default();
        println!("{}: {}: {last}", broken.id, broken.verdict.as_str());
    }
    assert_eq!(
        references.limits.len() + references.broken.len(),
        suite.problems.len()
    );
    references
        .broken
        .into_iter()
        .map(|broken| broken.id)
        .collect()
}

/// The verdicts of programs made from the problems, in the order of the suite.
fn verdicts(suite: &Suite, program: impl Fn(&Problem) -> String) -> Vec<(String, Verdict)> {
    let grader = grader(suite);
    let pool = Pool::start(
        n_threads(),
        move |(idx, problem, program): (usize, Problem, String)| {
            let graded = grader.grade_program(&problem, &program, &SHORT).unwrap();
            (idx, problem.id, graded.verdict)
        },
    );
    for (idx, problem) in suite.problems.iter().enumerate() {
        pool.submit((idx, problem.clone(), program(problem)));
    }
    let mut found = pool.finish();
    found.sort_by_key(|(idx, _, _)| *idx);
    found
        .into_iter()
        .map(|(_, id, verdict)| (id, verdict))
        .collect()
}

/// Problems that a program passes which should not.
fn passing(suite: &Suite, program: impl Fn(&Problem) -> String) -> Vec<String> {
    verdicts(suite, program)
        .into_iter()
        .filter(|(_, verdict)| *verdict == Verdict::Passed)
        .map(|(id, _)| id)
        .collect()
}

/// A function that takes anything and gives nothing.
fn useless(problem: &Problem) -> String {
    let name = &problem.entry_point;
    format!(
        "{}\ndef {name}(*arguments, **named):\n    return None\n",
        problem.preamble
    )
}

#[test]
fn every_reference_of_human_eval_passes() {
    let suite = human_eval();
    assert_eq!(suite.problems.len(), 164);
    assert_eq!(broken(&suite), Vec::<String>::new());
}

#[test]
fn a_useless_function_solves_nothing_of_human_eval() {
    assert_eq!(passing(&human_eval(), useless), Vec::<String>::new());
}

#[test]
fn human_eval_plus_agrees_with_its_references_and_finds_more() {
    let suite = read(
        SuiteFormat::HumanEvalPlus,
        &[
            "data/humaneval/HumanEval.jsonl.gz",
            "data/humanevalplus/HumanEvalPlus.jsonl",
            "data/humanevalplus/HumanEvalPlusInputs.jsonl",
        ],
    );
    assert_eq!(suite.problems.len(), 164);
    assert_eq!(broken(&suite), Vec::<String>::new());
    assert_eq!(passing(&suite, useless), Vec::<String>::new());
}

#[test]
fn every_reference_of_mbpp_passes() {
    let suite = read(SuiteFormat::Mbpp, &["data/mbpp/mbpp.jsonl"]);
    assert_eq!(suite.problems.len(), 974);
    assert_eq!(broken(&suite), Vec::<String>::new());
}

#[test]
fn a_useless_function_solves_nothing_of_mbpp() {
    let suite = read(SuiteFormat::Mbpp, &["data/mbpp/mbpp.jsonl"]);
    // The tests of these ask for nothing else.
    assert_eq!(passing(&suite, useless), Vec::<String>::new());
}

#[test]
fn repaired_quix_bugs_pass_and_bugs_fail() {
    let suite = read(
        SuiteFormat::QuixBugs,
        &["data/quixbugs/quixbugs_python.jsonl"],
    );
    assert_eq!(suite.problems.len(), 40);
    assert_eq!(broken(&suite), Vec::<String>::new());
    let buggy = |problem: &Problem| problem.buggy_solution.clone().unwrap();
    assert_eq!(passing(&suite, buggy), Vec::<String>::new());
}

#[test]
fn repaired_java_of_quix_bugs_passes_and_each_bug_fails_a_case() {
    let suite = read(
        SuiteFormat::QuixBugs,
        &["data/quixbugs/quixbugs_java.jsonl"],
    );
    assert_eq!(suite.problems.len(), 40);
    let n_cases = suite.problems.iter().map(|p| p.test_cases.len());
    // One of 260 is marked as ignored.
    assert_eq!(n_cases.sum::<usize>(), 259);
    let references = references(&suite);
    assert_eq!(references.broken, []);
    let unnoticed = references.before_repair.iter().filter(|(_, cases)| {
        let mut verdicts = cases.iter();
        verdicts.all(|verdict| *verdict == Verdict::Passed)
    });
    let unnoticed: Vec<&String> = unnoticed.map(|(id, _)| id).collect();
    assert_eq!((references.before_repair.len(), unnoticed), (40, vec![]));
}

#[track_caller]
fn md_eval(language: &str, n_problems: usize, expected: &[&str]) {
    let suite = read(
        SuiteFormat::MdEval,
        &[&format!("data/mdeval/bug.{language}.jsonl")],
    );
    assert_eq!(suite.problems.len(), n_problems);
    assert_eq!(broken(&suite), expected);
}

#[test]
fn bugs_of_md_eval_fail() {
    // What was repaired in these two changes nothing: a type that is only recommended, and
    // brackets around what binds first anyway.
    for (language, expected) in [
        ("Python", &[][..]),
        ("Java", &["Java/20"]),
        ("C#", &["C#/36"]),
        ("JavaScript", &[]),
        ("Rust", &[]),
    ] {
        let path = format!("data/mdeval/bug.{language}.jsonl");
        let suite = read(SuiteFormat::MdEval, &[&path]);
        let buggy =
            |problem: &Problem| complete_program(problem, problem.buggy_solution.as_ref().unwrap());
        assert_eq!(passing(&suite, buggy), expected);
    }
}

#[test]
fn repaired_python_of_md_eval_passes() {
    md_eval("Python", 61, &[]);
}

#[test]
fn repaired_java_of_md_eval_passes() {
    md_eval("Java", 60, &[]);
}

#[test]
fn repaired_csharp_of_md_eval_passes() {
    // Their tests compare tuples with `==`, which Mono's compiler does not know yet.
    let tuples = ["C#/53", "C#/54", "C#/55", "C#/65", "C#/69", "C#/70"];
    md_eval("C#", 70, &tuples);
}

#[test]
fn repaired_javascript_of_md_eval_passes() {
    md_eval("JavaScript", 75, &[]);
}

#[test]
fn repaired_rust_of_md_eval_passes() {
    md_eval("Rust", 70, &[]);
}

#[test]
fn code_translation_is_read_in_both_directions() {
    let suite = read(
        SuiteFormat::CodeXglue,
        &[
            "data/codexglue_cct/test.java-cs.txt.java",
            "data/codexglue_cct/test.java-cs.txt.cs",
        ],
    );
    assert_eq!(suite.problems.len(), 2000);
    assert!(suite.problems.iter().all(Problem::is_reference_only));
}

/// Grades recorded answers; tells the verdicts that differ from the recorded ones.
fn differing(golden: &str, style: PromptStyle) -> (usize, Vec<String>) {
    let suite = human_eval();
    let grader = grader(&suite);
    let recorded: Value = serde_json::from_slice(&file(golden)).unwrap();
    let items = recorded["items"].as_object().unwrap();
    let pool = Pool::start(
        n_threads(),
        move |(problem, answer, passed): (Problem, String, bool)| {
            let limits = Limits::default();
            let graded = match program_of(&problem, style, &answer) {
                Some(program) => grader.grade_program(&problem, &program, &limits).unwrap(),
                None => Grade::of_no_program(),
            };
            let is_same = (graded.verdict == Verdict::Passed) == passed;
            let last = graded.output.lines().last().unwrap_or_default();
            (!is_same).then(|| format!("{}: {:?} {last}", problem.id, graded.verdict))
        },
    );
    for (id, item) in items {
        let problem = suite
            .problems
            .iter()
            .find(|problem| problem.id == *id)
            .unwrap();
        let answer = item["completion"].as_str().unwrap().to_owned();
        pool.submit((problem.clone(), answer, item["passed"].as_bool().unwrap()));
    }
    (items.len(), pool.finish().into_iter().flatten().collect())
}

#[track_caller]
fn verdicts_are_the_recorded_ones(golden: &str, style: PromptStyle, n: usize) {
    assert_eq!(differing(golden, style), (n, Vec::new()));
}

#[test]
fn recorded_chat_answers_of_qwen_get_the_recorded_verdicts() {
    let golden = "golden/humaneval_qwen0.5b_chat_partial.json";
    verdicts_are_the_recorded_ones(golden, PromptStyle::Chat, 55);
}

#[test]
fn recorded_chat_answers_of_smollm2_get_the_recorded_verdicts() {
    let golden = "golden/humaneval_smollm2_chat.json";
    verdicts_are_the_recorded_ones(golden, PromptStyle::Chat, 82);
}

#[test]
fn recorded_completions_of_smollm2_get_the_recorded_verdicts() {
    let golden = "golden/humaneval_smollm2_raw.json";
    verdicts_are_the_recorded_ones(golden, PromptStyle::Completion, 82);
}
