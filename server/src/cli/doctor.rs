//! `trimtab doctor`: what works on this machine.

use super::context::Context;
use trimtab_domain::{Check, CheckStatus, Failure};

/// Checks and tells; what does not work is a failure.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let checks = context.service().await?.doctor().await;
    context.output.answer(&checks, || describe(&checks))
}

fn describe(checks: &[Check]) -> String {
    checks.iter().map(describe_one).collect()
}

fn describe_one(check: &Check) -> String {
    let mark = match check.status {
        CheckStatus::Ok => "ok     ",
        CheckStatus::Warning => "warning",
        CheckStatus::Error => "error  ",
    };
    let hint = check
        .hint
        .as_ref()
        .map(|hint| format!("         hint: {hint}\n"));
    format!(
        "{mark}  {}: {}\n{}",
        check.name,
        check.detail,
        hint.unwrap_or_default()
    )
}
