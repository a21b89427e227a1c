//! Suites: named lists of Python problems that answers are graded on.
//!
//! A suite is a JSON Lines file compiled into the program, one [`Problem`] a line.
//! It is checked when it is read, so that a broken line is named instead of
//! turning up later as a model that fails.
//! What is in `starter`, and how its problems are made, is in `docs/suites.md`.

use crate::extract::EXTRACTION_VERSION;
use crate::prompt::PROMPT_VERSION;
use crate::readers::{FieldMap, SuiteFormat, read_suite};
use crate::{Problem, SuiteError};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use trimtab_domain::Digest;

/// A suite compiled into the program.
struct Bundled {
    name: &'static str,
    title: &'static str,
    jsonl: &'static str,
}

const BUNDLED: [Bundled; 1] = [Bundled {
    name: "starter",
    title: "Starter: write, repair and translate short Python functions",
    jsonl: include_str!("../suites/starter.jsonl"),
}];

/// A named list of problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// Name used everywhere, for example `starter`.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// The problems in the order in which they are asked.
    pub problems: Vec<Problem>,
}

/// Names of all suites, the default first.
pub fn suite_names() -> Vec<&'static str> {
    BUNDLED.iter().map(|bundled| bundled.name).collect()
}

/// The suite called `name`.
///
/// # Errors
///
/// [`SuiteError::Unknown`] lists what exists; the others name the broken line.
pub fn suite(name: &str) -> Result<Suite, SuiteError> {
    let bundled = BUNDLED
        .iter()
        .find(|bundled| bundled.name == name)
        .ok_or_else(|| SuiteError::Unknown {
            name: name.to_owned(),
            known: suite_names(),
        })?;
    Suite::from_jsonl(bundled.name, bundled.title, bundled.jsonl)
}

impl Suite {
    /// Reads a suite from JSON Lines; blank lines are skipped.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Line`] for the first line that is not a problem, [`SuiteError::Empty`]
    /// if there is none.
    pub fn from_jsonl(name: &str, title: &str, jsonl: &str) -> Result<Self, SuiteError> {
        let fields = FieldMap::default();
        let files = [jsonl.as_bytes()];
        read_suite(name, title, SuiteFormat::Own, &files, &fields)
    }

    /// The suite with only its first `n_problems` problems, or all if it has fewer.
    #[must_use]
    pub fn limited(mut self, n_problems: usize) -> Self {
        self.problems.truncate(n_problems);
        self
    }

    /// Names of the tracks, in order of appearance.
    pub fn tracks(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.problems
            .iter()
            .map(|problem| problem.track.as_str())
            .filter(|track| seen.insert(*track))
            .collect()
    }

    /// SHA-256 of everything that decides a score: the problems in their order, the
    /// version of the chat message around them, and the version of the extraction rules.
    ///
    /// It is taken over compact JSON with the fields in the order of [`Problem`];
    /// name and title of the suite are left out.
    pub fn digest(&self) -> Digest {
        #[derive(Serialize)]
        struct Digested<'a> {
            prompt_version: &'a str,
            extraction_version: &'a str,
            problems: &'a [Problem],
        }
        let json = serde_json::to_vec(&Digested {
            prompt_version: PROMPT_VERSION,
            extraction_version: EXTRACTION_VERSION,
            problems: &self.problems,
        })
        .expect("a struct of strings always serialises");
        hex::encode(Sha256::digest(&json))
            .parse()
            .expect("32 bytes in hex are a digest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Difficulty;

    const LINE: &str = r#"{"id":"s/1","track":"write","entry_point":"one","prompt":"Write one.","canonical_solution":"def one():\n    return 1\n","tests":"assert one() == 1\n"}"#;

    fn starter() -> Suite {
        suite("starter").unwrap()
    }

    fn error_of(jsonl: &str) -> String {
        Suite::from_jsonl("s", "S", jsonl).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_suite_lists_what_exists() {
        let message = suite("stater").unwrap_err().to_string();
        assert_eq!(message, "no suite is called `stater`; there is `starter`");
    }

    #[test]
    fn starter_has_three_tracks_of_twenty_with_every_difficulty() {
        let suite = starter();
        assert_eq!(suite.problems.len(), 60);
        assert_eq!(suite.tracks().len(), 3);
        for track in ["write", "repair", "translate"] {
            let count = |difficulty| {
                suite
                    .problems
                    .iter()
                    .filter(|p| p.track == track && p.difficulty == Some(difficulty))
                    .count()
            };
            let counts = [Difficulty::Easy, Difficulty::Medium, Difficulty::Hard].map(count);
            assert_eq!(counts, [7, 7, 6], "{track}");
        }
    }

    #[test]
    fn any_prefix_of_starter_has_about_as_many_of_each_track_and_difficulty() {
        let problems = starter().problems;
        for n in 1..=problems.len() {
            let spread =
                |counts: [usize; 3]| counts.iter().max().unwrap() - counts.iter().min().unwrap();
            let tracks = ["write", "repair", "translate"]
                .map(|track| problems[..n].iter().filter(|p| p.track == track).count());
            let difficulties = [Difficulty::Easy, Difficulty::Medium, Difficulty::Hard].map(|d| {
                problems[..n]
                    .iter()
                    .filter(|p| p.difficulty == Some(d))
                    .count()
            });
            assert!(spread(tracks) <= 1, "{n}: {tracks:?}");
            assert!(spread(difficulties) <= 3, "{n}: {difficulties:?}");
        }
    }

    #[test]
    fn no_starter_prompt_gives_its_solution_away() {
        for problem in starter().problems {
            let body = |program: &str| {
                program
                    .lines()
                    .filter(|line| line.starts_with(' '))
                    .map(|line| line.trim().to_owned())
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            assert!(
                !body(&problem.prompt).contains(&body(&problem.canonical_solution)),
                "{}",
                problem.id
            );
            assert_eq!(
                problem.buggy_solution.is_some(),
                problem.track == "repair",
                "{}",
                problem.id
            );
            if let Some(buggy) = &problem.buggy_solution {
                assert!(problem.prompt.contains(buggy.trim_end()), "{}", problem.id);
                assert_ne!(buggy, &problem.canonical_solution, "{}", problem.id);
            }
        }
    }

    #[test]
    fn starter_prompts_name_the_function_and_stay_short() {
        for problem in starter().problems {
            assert!(
                problem.prompt.contains(&problem.entry_point),
                "{}",
                problem.id
            );
            assert!(
                problem.prompt.len() <= 900,
                "{}: {} bytes",
                problem.id,
                problem.prompt.len()
            );
            assert!(
                problem.canonical_solution.lines().count() <= 25,
                "{}",
                problem.id
            );
            let n_asserts = problem
                .tests
                .lines()
                .filter(|l| l.starts_with("assert "))
                .count();
            assert!(
                (5..=8).contains(&n_asserts),
                "{}: {n_asserts} asserts",
                problem.id
            );
        }
    }

    #[test]
    fn the_digest_sees_problems_and_their_order_but_not_the_title() {
        let suite = starter();
        let mut renamed = suite.clone();
        renamed.title = "other".into();
        assert_eq!(suite.digest(), renamed.digest());

        let mut swapped = suite.clone();
        swapped.problems.swap(0, 1);
        assert_ne!(suite.digest(), swapped.digest());

        let mut edited = suite.clone();
        edited.problems[59].tests.push('\n');
        assert_ne!(suite.digest(), edited.digest());
        assert_ne!(suite.digest(), suite.clone().limited(59).digest());
    }

    #[test]
    fn a_limit_keeps_the_first_problems() {
        let limited = starter().limited(4);
        assert_eq!(limited.problems, starter().problems[..4]);
        assert_eq!(starter().limited(1000).problems.len(), 60);
    }

    #[test]
    fn a_broken_line_is_named() {
        let blank_tests = LINE.replace(r"assert one() == 1\n", r" \n");
        let blank_prompt = LINE.replace("Write one.", "");
        let untested = LINE.replace("assert one() == 1", "assert True");
        let misspelt = LINE.replace("\"track\"", "\"trakc\"");
        assert_eq!(
            error_of(&format!("\n{blank_tests}")),
            "suite `s`, line 2: `tests` is empty"
        );
        assert_eq!(
            error_of(&blank_prompt),
            "suite `s`, line 1: `prompt` is empty"
        );
        assert_eq!(
            error_of(&untested),
            "suite `s`, line 1: the tests never call `one`"
        );
        assert!(error_of(&misspelt).starts_with("suite `s`, line 1: unknown field `trakc`"));
        assert!(error_of("{").starts_with("suite `s`, line 1: EOF"));
        assert_eq!(error_of("\n \n"), "suite `s` has no problems");
    }

    #[test]
    fn a_second_use_of_an_id_points_at_the_first() {
        let message = error_of(&format!("{LINE}\n\n{LINE}"));
        assert_eq!(
            message,
            "suite `s`, line 3: the id `s/1` was used in line 1 already"
        );
    }
}
