//! Suites of one's own: JSON Lines of problems, under other names of fields if a map says so.

use super::Builder;
use crate::{LineError, Problem, SuiteError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trimtab_sandbox::Language;

/// The fields of a problem that a map can name; `reference` is short for `canonical_solution`.
const FIELDS: [&str; 14] = [
    "id",
    "track",
    "difficulty",
    "language",
    "entry_point",
    "prompt",
    "form",
    "preamble",
    "canonical_solution",
    "reference",
    "buggy_solution",
    "tests",
    "test_cases",
    "extended_tests",
];

/// Which field of a file stands for which field of a problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldMap {
    /// Pairs of our name and theirs.
    pairs: Vec<(String, String)>,
}

impl FieldMap {
    /// Reads `OURS=THEIRS,…`, for example `prompt=text,tests=test_list`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and the fields that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let Some((ours, theirs)) = pair.split_once('=') else {
                return Err(format!("`{}` is no `OURS=THEIRS`", pair.trim()));
            };
            let (ours, theirs) = (ours.trim(), theirs.trim());
            if !FIELDS.contains(&ours) {
                let fields = FIELDS.join("`, `");
                return Err(format!(
                    "a problem has no field `{ours}`; it has `{fields}`"
                ));
            }
            if theirs.is_empty() || pairs.iter().any(|(named, _)| named == ours) {
                return Err(format!("`{ours}` needs one field of the file"));
            }
            pairs.push((ours.to_owned(), theirs.to_owned()));
        }
        Ok(Self { pairs })
    }

    /// The object under our names. With a map, fields that are neither named nor ours are left out.
    fn renamed(&self, mut object: Map<String, Value>) -> Result<Map<String, Value>, LineError> {
        if self.pairs.is_empty() {
            return Ok(object);
        }
        let mut renamed = Map::new();
        for (ours, theirs) in &self.pairs {
            let Some(value) = object.remove(theirs) else {
                return Err(LineError::Content(format!("it has no field `{theirs}`")));
            };
            renamed.insert(ours.clone(), value);
        }
        for (name, value) in object {
            if FIELDS.contains(&name.as_str()) && !renamed.contains_key(&name) {
                renamed.insert(name, value);
            }
        }
        Ok(renamed)
    }
}

pub(super) fn read(
    builder: &mut Builder<'_>,
    bytes: &[u8],
    fields: &FieldMap,
) -> Result<(), SuiteError> {
    for (line, object) in builder.items::<Map<String, Value>>(bytes)? {
        let problem = problem(object, line, fields).map_err(|error| builder.error(line, error))?;
        builder.add(line, problem)?;
    }
    Ok(())
}

fn problem(
    object: Map<String, Value>,
    line: usize,
    fields: &FieldMap,
) -> Result<Problem, LineError> {
    let mut object = fields.renamed(object)?;
    if let Some(reference) = object.remove("reference") {
        object.entry("canonical_solution").or_insert(reference);
    }
    match object.get("id") {
        None => drop(object.insert("id".into(), line.to_string().into())),
        Some(Value::Number(number)) => {
            let id = number.to_string();
            object.insert("id".into(), id.into());
        }
        Some(_) => {}
    }
    object.entry("track").or_insert("write".into());
    let has_cases = object.contains_key("test_cases");
    match object.remove("tests") {
        None if has_cases => {}
        None => return Err(LineError::NoTests),
        // The word that there are none, and only the reference counts.
        Some(Value::Null) => {}
        Some(list @ Value::Array(_)) => drop(object.insert("test_cases".into(), list)),
        Some(text) => {
            if text.as_str().is_some_and(|text| text.trim().is_empty()) {
                return Err(LineError::EmptyField("tests"));
            }
            object.insert("tests".into(), text);
        }
    }
    let problem: Problem = serde_json::from_value(Value::Object(object))?;
    if !problem.test_cases.is_empty() && problem.language != Language::Python {
        return Err(LineError::CasesOnlyInPython);
    }
    Ok(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Suite, SuiteFormat, read_suite};

    fn read(text: &str, fields: &str) -> Result<Suite, String> {
        let fields = FieldMap::parse(fields)?;
        read_suite("s", "S", SuiteFormat::Own, &[text.as_bytes()], &fields)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_renamed_and_others_left_out() {
        let line = r#"{"q":"Add.","ref":"def f(): pass","checks":["f()"],"author":"me"}"#;
        let fields = "prompt=q, canonical_solution=ref, tests=checks";
        let problem = read(line, fields).unwrap().problems.remove(0);
        assert_eq!(
            (problem.id.as_str(), problem.track.as_str()),
            ("1", "write")
        );
        assert_eq!(
            (problem.prompt.as_str(), problem.tests.as_str()),
            ("Add.", "")
        );
        assert_eq!(problem.test_cases, ["f()"]);
        let short = r#"{"q":"Add.","reference":"r","tests":"f()"}"#;
        let problem = read(short, "prompt=q").unwrap().problems.remove(0);
        assert_eq!(problem.canonical_solution, "r");
    }

    #[test]
    fn a_problem_with_only_a_reference_says_so() {
        let with = r#"{"id":7,"prompt":"p","reference":"r","tests":null}"#;
        let problem = read(with, "").unwrap().problems.remove(0);
        assert!(problem.is_reference_only());
        assert_eq!(
            (problem.id.as_str(), problem.canonical_solution.as_str()),
            ("7", "r")
        );
        let without = r#"{"prompt":"p","reference":"r"}"#;
        assert!(
            read(without, "")
                .unwrap_err()
                .starts_with("suite `s`, line 1: it has no tests")
        );
    }

    #[test]
    fn a_wrong_map_says_what_there_is() {
        assert_eq!(
            FieldMap::parse("prompt").unwrap_err(),
            "`prompt` is no `OURS=THEIRS`"
        );
        assert!(
            FieldMap::parse("text=q")
                .unwrap_err()
                .contains("no field `text`; it has `id`")
        );
        assert!(FieldMap::parse("id=a,id=b").is_err());
        let error = read(r#"{"prompt":"p"}"#, "tests=checks").unwrap_err();
        assert_eq!(error, "suite `s`, line 1: it has no field `checks`");
    }

    #[test]
    fn hostile_lines_are_named() {
        for (text, said) in [
            ("[1,2]", "invalid type"),
            (
                "{\"prompt\":1,\"reference\":\"r\",\"tests\":\"t\"}",
                "invalid type",
            ),
            (
                "{\"prompt\":\"p\",\"reference\":\"r\",\"tests\":[\"\"]}",
                "`test_cases` is empty",
            ),
            (
                "{\"prompt\":\"p\",\"reference\":\"r\",\"tests\":[1]}",
                "invalid type",
            ),
            (
                "{\"prompt\":\"p\",\"reference\":\"r\",\"tests\":\"t\",\"language\":\"cobol\"}",
                "unknown variant",
            ),
        ] {
            let error = read(text, "").unwrap_err();
            assert!(
                error.contains("line 1") && error.contains(said),
                "{text}: {error}"
            );
        }
        let deep = "[".repeat(200_000);
        assert!(read(&format!("{{\"prompt\":{deep}"), "").is_err());
    }
}
