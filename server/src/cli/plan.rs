//! `trimtab evaluate --plan`: what a run is likely to show, before any model is loaded.

use super::{context::Context, table::table};
use trimtab_domain::{EvaluationPlan, Failure, PlannedPower, RunSpec};

/// Shows the plan of the run that `spec` asks for.
pub(super) async fn show(spec: &RunSpec, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let plan = service.plan_run(spec).await?;
    context.output.answer(&plan, || describe(&plan))
}

fn describe(plan: &EvaluationPlan) -> String {
    let mut rows: Vec<Vec<String>> = plan
        .suites
        .iter()
        .map(|planned| row(&planned.suite, planned.power))
        .collect();
    rows.push(row("all together", plan.together));
    rows.extend(
        plan.add
            .iter()
            .map(|added| row(&format!("… with {}", added.suite), added.power)),
    );
    if let Some(speed) = &plan.speed {
        let minutes = speed.minutes();
        let minutes = minutes.map_or_else(|| "?".to_owned(), |minutes| format!("{minutes:.0}"));
        let [none, proves, detects] = [(); 3].map(|()| "-".to_owned());
        rows.push(vec!["speed".to_owned(), none, proves, detects, minutes]);
    }
    let headers = ["SUITE", "PROBLEMS", "PROVES", "DETECTS", "MINUTES"];
    format!("{}\n{}\n", table(&headers, &rows), plan.sentence)
}

fn row(name: &str, power: PlannedPower) -> Vec<String> {
    let percent = |chance: f64| format!("{:.0} %", 100.0 * chance);
    vec![
        name.to_owned(),
        power.n_problems.to_string(),
        percent(power.chance_to_prove),
        percent(power.chance_to_detect),
        format!("{:.0}", power.minutes),
    ]
}
