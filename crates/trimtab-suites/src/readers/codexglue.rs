//! CodeXGLUE code translation: pairs of Java and C# methods, one a line. There is nothing to run;
//! an answer is compared with the other half of its pair.
//!
//! Source: Lu et al. 2021, "CodeXGLUE", <https://arxiv.org/abs/2102.04664>, section 3.

use super::Builder;
use crate::lines::lines;
use crate::{Problem, PromptForm, SuiteError};
use std::borrow::Cow;
use trimtab_sandbox::Language;

pub(super) fn read(builder: &mut Builder<'_>, files: &[Cow<'_, [u8]>]) -> Result<(), SuiteError> {
    let [java, csharp] = files else {
        return Err(builder.file_error("code translation has two files"));
    };
    let suite = builder.suite();
    let java = lines(suite, java).collect::<Result<Vec<_>, _>>()?;
    let csharp = lines(suite, csharp).collect::<Result<Vec<_>, _>>()?;
    if java.len() != csharp.len() {
        return Err(builder.file_error(format!(
            "there are {} methods in Java and {} in C#; they belong together line by line",
            java.len(),
            csharp.len()
        )));
    }
    for ((line, java), (_, csharp)) in java.into_iter().zip(csharp) {
        let (java, csharp) = (
            (Language::Java, java.trim()),
            (Language::CSharp, csharp.trim()),
        );
        builder.add(line, problem(line, java, csharp, "java-cs"))?;
        builder.add(line, problem(line, csharp, java, "cs-java"))?;
    }
    Ok(())
}

fn problem(
    line: usize,
    (from, source): (Language, &str),
    (to, reference): (Language, &str),
    direction: &str,
) -> Problem {
    let tag = from.as_str();
    Problem {
        id: format!("{direction}/{line:05}"),
        track: direction.to_owned(),
        difficulty: None,
        language: to,
        entry_point: String::new(),
        prompt: format!("Translate this {from} method into {to}.\n\n```{tag}\n{source}\n```"),
        form: PromptForm::Instruction,
        preamble: String::new(),
        canonical_solution: reference.to_owned(),
        buggy_solution: None,
        tests: String::new(),
        test_cases: Vec::new(),
        extended_tests: String::new(),
        support: Vec::new(),
        failing_line: None,
    }
}
