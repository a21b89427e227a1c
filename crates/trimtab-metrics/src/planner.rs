//! The planner: what chosen suites are likely to show, how long that takes, and what to add.

use crate::{
    DecisionChances, ImpossibleDesign, ONE_SIDED_LEVEL, PairedDesign, decision_chances,
    problems_needed,
};
use trimtab_domain::{EvaluationPlan, PlannedPower, PlannedSuite, SuiteForecast};

/// What is to be planned.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRequest {
    /// Suites of the run.
    pub chosen: Vec<SuiteForecast>,
    /// Suites, or further problems of chosen ones, that could be added.
    pub candidates: Vec<SuiteForecast>,
    /// Retention that has to be proven.
    pub min_retention: f64,
    /// Retention of a variant whose loss must not be missed.
    pub feared_retention: f64,
    /// Variants compared with the base, at least 1.
    pub n_compared: u32,
    /// Chance to prove that the plan aims at, for example 0.8.
    pub target: f64,
}

/// Why a plan cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// No suite, or none with a problem.
    #[error("a plan needs at least one problem")]
    NoProblems,
    /// A run without anything to compare.
    #[error("a plan needs at least one variant beside the base")]
    NoVariants,
    /// A duration that is none.
    #[error("suite `{suite}`: {seconds} is not a time per problem")]
    NotATime {
        /// The suite.
        suite: String,
        /// What was given.
        seconds: f64,
    },
    /// Numbers that contradict each other.
    #[error("suite `{suite}`: {cause}")]
    Impossible {
        /// The suite, or `all together`.
        suite: String,
        /// What is wrong.
        #[source]
        cause: ImpossibleDesign,
    },
}

/// Plans an evaluation.
///
/// The chances are exact for the test that gives the verdict, at the strictest step of Holm's
/// correction. A variant without loss differs from the base by the forecast's disagreement; a loss
/// comes on top of it. Problems of several suites are pooled, as the verdict pools them.
/// What to add is chosen greedily: at each step the candidate that raises the chance to prove most
/// per minute, until the target is reached or nothing is left.
///
/// # Errors
///
/// [`PlanError`] when a forecast makes no sense.
pub fn plan_evaluation(request: &PlanRequest) -> Result<EvaluationPlan, PlanError> {
    if request.n_compared == 0 {
        return Err(PlanError::NoVariants);
    }
    let suites: Vec<PlannedSuite> = request
        .chosen
        .iter()
        .map(|forecast| planned(forecast, request))
        .collect::<Result<_, _>>()?;
    let chosen = pooled(&request.chosen).ok_or(PlanError::NoProblems)?;
    let together = planned(&chosen, request)?.power;
    let add = additions(request, together)?;
    let n_needed = n_needed(&chosen, request)?;
    let mut plan = EvaluationPlan {
        forecasts: request.chosen.clone(),
        suites,
        together,
        add,
        n_needed,
        target: request.target,
        min_retention: request.min_retention,
        feared_retention: request.feared_retention,
        n_compared: request.n_compared,
        speed: None,
        sentence: String::new(),
    };
    plan.sentence = sentence(&plan);
    Ok(plan)
}

/// All problems as one suite; `None` without problems.
fn pooled(forecasts: &[SuiteForecast]) -> Option<SuiteForecast> {
    let n_problems = forecasts
        .iter()
        .try_fold(0_u32, |sum, forecast| sum.checked_add(forecast.n_problems))?;
    if n_problems == 0 {
        return None;
    }
    let mean = |value: fn(&SuiteForecast) -> f64| {
        let weighted = |forecast| value(forecast) * f64::from(forecast.n_problems);
        forecasts.iter().map(weighted).sum::<f64>() / f64::from(n_problems)
    };
    Some(SuiteForecast {
        suite: "all together".to_owned(),
        n_problems,
        base_rate: mean(|forecast| forecast.base_rate),
        disagreement: mean(|forecast| forecast.disagreement),
        seconds_per_problem: mean(|forecast| forecast.seconds_per_problem),
        is_assumed: forecasts.iter().any(|forecast| forecast.is_assumed),
    })
}

fn planned(forecast: &SuiteForecast, request: &PlanRequest) -> Result<PlannedSuite, PlanError> {
    let seconds = forecast.seconds_per_problem;
    if !(seconds >= 0.0 && seconds.is_finite()) {
        return Err(PlanError::NotATime {
            suite: forecast.suite.clone(),
            seconds,
        });
    }
    let equal = chances(forecast, request, 1.0)?;
    let worse = chances(forecast, request, request.feared_retention)?;
    let n_answers =
        f64::from(forecast.n_problems) * f64::from(request.n_compared.saturating_add(1));
    Ok(PlannedSuite {
        suite: forecast.suite.clone(),
        power: PlannedPower {
            n_problems: forecast.n_problems,
            chance_to_prove: equal.to_prove,
            chance_to_detect: worse.to_detect,
            minutes: n_answers * seconds / 60.0,
        },
    })
}

fn level(request: &PlanRequest) -> f64 {
    ONE_SIDED_LEVEL / f64::from(request.n_compared)
}

fn design(forecast: &SuiteForecast, retention: f64) -> Result<PairedDesign, ImpossibleDesign> {
    let loss = (1.0 - retention).abs() * forecast.base_rate;
    PairedDesign::new(forecast.base_rate, forecast.disagreement + loss, retention)
}

fn chances(
    forecast: &SuiteForecast,
    request: &PlanRequest,
    retention: f64,
) -> Result<DecisionChances, PlanError> {
    design(forecast, retention)
        .and_then(|design| {
            let n_problems = forecast.n_problems;
            decision_chances(design, n_problems, request.min_retention, level(request))
        })
        .map_err(|cause| PlanError::Impossible {
            suite: forecast.suite.clone(),
            cause,
        })
}

fn n_needed(chosen: &SuiteForecast, request: &PlanRequest) -> Result<Option<u32>, PlanError> {
    design(chosen, 1.0)
        .and_then(|design| {
            problems_needed(
                design,
                request.min_retention,
                level(request),
                request.target,
            )
        })
        .map_err(|cause| PlanError::Impossible {
            suite: chosen.suite.clone(),
            cause,
        })
}

/// Candidates in the order in which to add them, each with what is reached once it is in.
fn additions(
    request: &PlanRequest,
    together: PlannedPower,
) -> Result<Vec<PlannedSuite>, PlanError> {
    let mut taken = request.chosen.clone();
    let mut left: Vec<&SuiteForecast> = request
        .candidates
        .iter()
        .filter(|candidate| candidate.n_problems > 0)
        .collect();
    let mut reached = together;
    let mut add = Vec::new();
    while reached.chance_to_prove < request.target && !left.is_empty() {
        let mut best: Option<(usize, PlannedPower, f64)> = None;
        for (idx, candidate) in left.iter().enumerate() {
            taken.push((*candidate).clone());
            let with = pooled(&taken).ok_or(PlanError::NoProblems)?;
            taken.pop();
            let power = planned(&with, request)?.power;
            let minutes = (power.minutes - reached.minutes).max(1e-6);
            let gain = (power.chance_to_prove - reached.chance_to_prove) / minutes;
            if best.is_none_or(|(_, _, most)| gain > most) {
                best = Some((idx, power, gain));
            }
        }
        let Some((idx, power, gain)) = best else {
            break;
        };
        if gain <= 0.0 {
            break;
        }
        let candidate = left.remove(idx);
        taken.push(candidate.clone());
        reached = power;
        add.push(PlannedSuite {
            suite: candidate.suite.clone(),
            power,
        });
    }
    Ok(add)
}

fn sentence(plan: &EvaluationPlan) -> String {
    let PlannedPower {
        n_problems,
        chance_to_prove,
        chance_to_detect,
        minutes,
    } = plan.together;
    let chances = format!(
        "With {n_problems} problems, in about {minutes:.0} min, a variant as good as the base is proven \
         to keep {:.0} % with a chance of {:.0} %, and one that keeps {:.0} % is found out with a \
         chance of {:.0} %",
        100.0 * plan.min_retention,
        100.0 * chance_to_prove,
        100.0 * plan.feared_retention,
        100.0 * chance_to_detect
    );
    let names: Vec<&str> = plan.add.iter().map(|added| added.suite.as_str()).collect();
    let next = match (plan.add.last(), plan.n_needed) {
        _ if chance_to_prove >= plan.target => String::new(),
        (Some(last), _) => format!(
            "; with {} too, the first is {:.0} % in about {:.0} min",
            names.join(" and "),
            100.0 * last.power.chance_to_prove,
            last.power.minutes
        ),
        (None, Some(n)) => format!(
            "; {:.0} % would take about {n} problems like these",
            100.0 * plan.target
        ),
        (None, None) => format!(
            "; no number of problems like these that can be run gives {:.0} %",
            100.0 * plan.target
        ),
    };
    let assumed = if plan.forecasts.iter().any(|forecast| forecast.is_assumed) {
        " No run has used some of these suites: their shares and times are assumptions."
    } else {
        ""
    };
    format!("{chances}{next}.{assumed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(suite: &str, n_problems: u32, seconds_per_problem: f64) -> SuiteForecast {
        SuiteForecast {
            suite: suite.to_owned(),
            n_problems,
            base_rate: 0.67,
            disagreement: 0.1,
            seconds_per_problem,
            is_assumed: false,
        }
    }

    fn request(chosen: Vec<SuiteForecast>, candidates: Vec<SuiteForecast>) -> PlanRequest {
        PlanRequest {
            chosen,
            candidates,
            min_retention: 0.95,
            feared_retention: 0.85,
            n_compared: 1,
            target: 0.8,
        }
    }

    #[test]
    fn a_small_suite_is_told_what_to_add() {
        let plan = plan_evaluation(&request(
            vec![forecast("humaneval", 164, 6.0)],
            vec![forecast("mbpp", 974, 3.0), forecast("slow", 974, 30.0)],
        ))
        .unwrap();
        assert!(plan.together.chance_to_prove < 0.5);
        assert!((plan.together.minutes - 164.0 * 6.0 * 2.0 / 60.0).abs() < 1e-9);
        assert_eq!(plan.suites.len(), 1);
        assert_eq!(plan.add.len(), 1, "{plan:?}");
        assert_eq!(plan.add[0].suite, "mbpp");
        assert_eq!(plan.add[0].power.n_problems, 1138);
        assert!(plan.add[0].power.chance_to_prove > 0.8);
        let n = plan.n_needed.unwrap();
        assert!((600..900).contains(&n), "{n}");
        assert!(plan.sentence.contains("with mbpp too"), "{}", plan.sentence);
        assert!(!plan.sentence.contains("assumptions"), "{}", plan.sentence);
    }

    #[test]
    fn assumptions_are_called_so() {
        let mut unknown = forecast("new", 100, 5.0);
        unknown.is_assumed = true;
        let plan = plan_evaluation(&request(vec![unknown], vec![])).unwrap();
        assert!(
            plan.sentence.contains("are assumptions"),
            "{}",
            plan.sentence
        );
    }

    #[test]
    fn enough_problems_need_nothing_more() {
        let plan = plan_evaluation(&request(
            vec![forecast("mbpp", 974, 3.0), forecast("humaneval", 164, 6.0)],
            vec![forecast("more", 500, 1.0)],
        ))
        .unwrap();
        assert!(plan.together.chance_to_prove >= 0.8);
        assert!(plan.together.chance_to_detect > 0.9);
        assert!(plan.add.is_empty());
    }

    #[test]
    fn more_variants_lower_the_chances() {
        let mut several = request(vec![forecast("mbpp", 974, 3.0)], vec![]);
        let alone = plan_evaluation(&several).unwrap().together;
        several.n_compared = 4;
        let among = plan_evaluation(&several).unwrap().together;
        assert!(among.chance_to_prove < alone.chance_to_prove);
        assert!((among.minutes - 2.5 * alone.minutes).abs() < 1e-9);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(
            plan_evaluation(&request(vec![], vec![])),
            Err(PlanError::NoProblems)
        );
        let mut none = request(vec![forecast("a", 10, 1.0)], vec![]);
        none.n_compared = 0;
        assert_eq!(plan_evaluation(&none), Err(PlanError::NoVariants));
        let timeless = request(vec![forecast("a", 10, f64::NAN)], vec![]);
        assert!(matches!(
            plan_evaluation(&timeless),
            Err(PlanError::NotATime { .. })
        ));
        let mut wrong = forecast("a", 10, 1.0);
        wrong.base_rate = 1.5;
        let said = plan_evaluation(&request(vec![wrong], vec![])).unwrap_err();
        assert!(said.to_string().contains("suite `a`"), "{said}");
    }
}
