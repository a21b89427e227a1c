//! What the reference solutions of a suite tell: found out once a run, and held against the answers
//! of all its variants.

use crate::{Bytes, Digest, Verdict};
use serde::{Deserialize, Serialize};

/// What some references of a suite tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteReferences {
    /// The suite.
    pub suite: String,
    /// Digest of the suite as it was used, the limit of problems included: what is told of another
    /// suite says nothing of this one.
    pub digest: Digest,
    /// One entry a problem.
    pub findings: Vec<ReferenceFinding>,
}

impl SuiteReferences {
    /// Version of [`ReferenceOutcome`] as it is stored; readers refuse what is newer.
    pub const FORMAT_VERSION: u32 = 1;
}

/// What one reference tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceFinding {
    /// The problem's id in its suite.
    pub problem_id: String,
    /// What its reference tells.
    pub outcome: ReferenceOutcome,
}

/// How a reference solution did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReferenceOutcome {
    /// It passes its tests.
    Passed {
        /// Its CPU time in milliseconds, from which the time of answers follows.
        cpu_ms: u64,
        /// Memory that it was given, and that answers are given.
        memory: Bytes,
        /// The verdict of each test case on the program that is to be repaired; empty where there is
        /// none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        before_repair: Vec<Verdict>,
    },
    /// It does not pass its tests, so that the problem cannot grade answers.
    Broken {
        /// How it ended.
        verdict: Verdict,
        /// The end of what it printed.
        output: String,
    },
    /// There are no tests: answers are compared with it.
    Compiled {
        /// Whether the compiler takes it alone, but for names that are defined elsewhere.
        compiles: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_back_what_they_write() {
        let text = r#"{"suite":"s","digest":"D","findings":[
            {"problem_id":"a","outcome":{"kind":"passed","cpu_ms":2500,"memory":1024}},
            {"problem_id":"b","outcome":{"kind":"passed","cpu_ms":1,"memory":1,"before_repair":["failed","passed"]}},
            {"problem_id":"c","outcome":{"kind":"broken","verdict":"timed_out","output":"…"}},
            {"problem_id":"d","outcome":{"kind":"compiled","compiles":true}}]}"#;
        let text = text.replace('D', &"a".repeat(64));
        let read: SuiteReferences = serde_json::from_str(&text).unwrap();
        let passed = ReferenceOutcome::Passed {
            cpu_ms: 2_500,
            memory: Bytes(1024),
            before_repair: Vec::new(),
        };
        assert_eq!(read.findings[0].outcome, passed);
        let written = serde_json::to_string(&read).unwrap();
        let text: String = text.split_whitespace().collect();
        assert_eq!(written, text);
        for broken in [
            text.replace("2500", "-1"),
            text.replace("timed_out", "tired"),
            text.replace("compiled", "guessed"),
        ] {
            assert!(serde_json::from_str::<SuiteReferences>(&broken).is_err());
        }
    }
}
