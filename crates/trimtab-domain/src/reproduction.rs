//! A run that was done again, and whether it came to the same.

use crate::{RunId, Timestamp, VariantName};
use serde::{Deserialize, Serialize};

/// A run compared with one that did it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reproduction {
    /// The run.
    pub run_id: RunId,
    /// The run that did it again.
    pub by: RunId,
    /// When they were compared.
    pub at: Timestamp,
    /// Whether every number was found again within its tolerance.
    pub is_reproduced: bool,
    /// What was compared.
    pub numbers: Vec<ReproducedNumber>,
    /// What stands in the way beyond numbers, for example one that only one of the runs has.
    pub gaps: Vec<String>,
    /// What was not as it was, without being a result: the machine, the version of the program.
    pub circumstances: Vec<String>,
}

impl Reproduction {
    /// Version of this format; readers refuse what is newer.
    pub const FORMAT_VERSION: u32 = 1;

    /// The stamp: reproduced, or what differs.
    pub fn sentence(&self) -> String {
        let (run, by) = (self.run_id, self.by);
        if self.is_reproduced {
            return format!("run {run} was reproduced by run {by}");
        }
        let outside = self.numbers.iter().filter(|number| !number.is_within);
        let outside = outside.map(|number| {
            let ReproducedNumber {
                variant,
                what,
                before,
                again,
                tolerance,
                ..
            } = number;
            let percent = 100.0 * tolerance;
            format!("{what} of {variant} was {before:.4} and is {again:.4} (± {percent} % allowed)")
        });
        let reasons: Vec<String> = outside.chain(self.gaps.iter().cloned()).collect();
        let reasons = reasons.join("; ");
        format!("run {run} was not reproduced by run {by}: {reasons}")
    }
}

/// One number in both runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReproducedNumber {
    /// The variant.
    pub variant: VariantName,
    /// What it is, for example `pass@1`.
    pub what: String,
    /// In the first run.
    pub before: f64,
    /// In the second.
    pub again: f64,
    /// Share of the first by which the second may differ.
    pub tolerance: f64,
    /// Whether it does not differ by more.
    pub is_within: bool,
}

impl ReproducedNumber {
    /// Compares two values.
    pub fn new(
        variant: &VariantName,
        what: &str,
        (before, again): (f64, f64),
        tolerance: f64,
    ) -> Self {
        Self {
            variant: variant.clone(),
            what: what.to_owned(),
            before,
            again,
            tolerance,
            is_within: (again - before).abs() <= tolerance * before.abs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(before: f64, again: f64) -> ReproducedNumber {
        let variant = "m:int8".parse().unwrap();
        ReproducedNumber::new(&variant, "pass@1", (before, again), 0.01)
    }

    #[test]
    fn the_tolerance_is_a_share_of_the_first_value() {
        assert!(number(0.5, 0.5).is_within && number(0.0, 0.0).is_within);
        assert!(number(100.0, 101.0).is_within && number(100.0, 99.0).is_within);
        assert!(!number(100.0, 101.5).is_within && !number(0.0, 0.001).is_within);
        assert!(!number(1.0, f64::NAN).is_within);
    }

    #[test]
    fn the_stamp_says_what_differs() {
        let mut made = Reproduction {
            run_id: RunId(1),
            by: RunId(2),
            at: Timestamp(0),
            is_reproduced: true,
            numbers: vec![number(0.5, 0.5), number(0.5, 0.4)],
            gaps: vec!["m:int4 has no perplexity in run 2".into()],
            circumstances: Vec::new(),
        };
        assert_eq!(made.sentence(), "run 1 was reproduced by run 2");
        made.is_reproduced = false;
        assert_eq!(
            made.sentence(),
            "run 1 was not reproduced by run 2: pass@1 of m:int8 was 0.5000 and is 0.4000 \
             (± 1 % allowed); m:int4 has no perplexity in run 2"
        );
    }
}
