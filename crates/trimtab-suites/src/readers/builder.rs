//! Collects the problems of a suite and checks what every suite has to keep.

use crate::lines::lines;
use crate::{LineError, Problem, Suite, SuiteError};
use serde::de::DeserializeOwned;
use std::collections::HashMap;

/// A suite while it is read.
pub(crate) struct Builder<'a> {
    suite: &'a str,
    problems: Vec<Problem>,
    line_of_id: HashMap<String, usize>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(suite: &'a str) -> Self {
        Self {
            suite,
            problems: Vec::new(),
            line_of_id: HashMap::new(),
        }
    }

    pub(crate) fn suite(&self) -> &'a str {
        self.suite
    }

    /// The JSON objects of a file, each with its line.
    pub(crate) fn items<T: DeserializeOwned>(
        &self,
        bytes: &[u8],
    ) -> Result<Vec<(usize, T)>, SuiteError> {
        lines(self.suite, bytes)
            .map(|line| {
                let (number, text) = line?;
                let item = serde_json::from_str(text)
                    .map_err(|error| self.error(number, LineError::Json(error)))?;
                Ok((number, item))
            })
            .collect()
    }

    /// Takes a problem, or says what is wrong with it.
    pub(crate) fn add(&mut self, line: usize, problem: Problem) -> Result<(), SuiteError> {
        check(&problem).map_err(|error| self.error(line, error))?;
        if let Some(first_line) = self.line_of_id.get(&problem.id) {
            let error = LineError::DuplicateId {
                id: problem.id,
                first_line: *first_line,
            };
            return Err(self.error(line, error));
        }
        self.line_of_id.insert(problem.id.clone(), line);
        self.problems.push(problem);
        Ok(())
    }

    pub(crate) fn error(&self, line: usize, problem: LineError) -> SuiteError {
        SuiteError::Line {
            suite: self.suite.to_owned(),
            line,
            problem,
        }
    }

    pub(crate) fn file_error(&self, detail: impl Into<String>) -> SuiteError {
        SuiteError::File {
            suite: self.suite.to_owned(),
            detail: detail.into(),
        }
    }

    pub(crate) fn finish(self, title: &str) -> Result<Suite, SuiteError> {
        if self.problems.is_empty() {
            return Err(SuiteError::Empty {
                suite: self.suite.to_owned(),
            });
        }
        Ok(Suite {
            name: self.suite.to_owned(),
            title: title.to_owned(),
            problems: self.problems,
        })
    }
}

fn check(problem: &Problem) -> Result<(), LineError> {
    let fields = [
        ("id", &problem.id),
        ("track", &problem.track),
        ("prompt", &problem.prompt),
        ("canonical_solution", &problem.canonical_solution),
    ];
    if let Some((field, _)) = fields.iter().find(|(_, value)| value.trim().is_empty()) {
        return Err(LineError::EmptyField(field));
    }
    let has_blank_case = problem.test_cases.iter().any(|case| case.trim().is_empty());
    if has_blank_case {
        return Err(LineError::EmptyField("test_cases"));
    }
    let names_it = problem.all_tests().contains(&problem.entry_point);
    if !problem.is_reference_only() && !names_it {
        return Err(LineError::UntestedEntryPoint(problem.entry_point.clone()));
    }
    Ok(())
}
