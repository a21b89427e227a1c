//! Doing a run again from its manifest, and saying whether it came to the same.
//!
//! What decides a result must be what it was: suites and artifacts by digest, recipes, settings and
//! seed. Then scores may differ by a hundredth and latencies by a twentieth.

use crate::{Service, answer_likeness::codebleu_of_answers, clock, inference::blocking};
use std::collections::BTreeMap;
use trimtab_domain::{
    Failure, Manifest, ReproducedNumber, Reproduction, RunDetail, RunId, RunKind, RunSpec,
    RunState, VariantName, VariantResult,
};
use trimtab_suites::Suite;

/// Share by which a score may differ.
const SCORE_TOLERANCE: f64 = 0.01;

/// Share by which a latency may differ.
const LATENCY_TOLERANCE: f64 = 0.05;

/// Numbers of a variant by name, with their tolerances.
type Numbers = BTreeMap<String, (f64, f64)>;

impl Service {
    /// Queues a run that does another again: the same variants, suites, settings and seed.
    ///
    /// # Errors
    ///
    /// A run that is not done or evaluates nothing, and whatever is no longer what it was: a suite,
    /// an artifact, a recipe.
    pub async fn start_reproduction(&self, run_id: RunId) -> Result<RunId, Failure> {
        let (_, manifest) = self.finished(run_id).await?;
        let spec = RunSpec {
            title: format!("Run {run_id} again"),
            ..manifest.spec.clone()
        };
        let plan = self.inner.plan(spec).await?;
        require_same(run_id, &manifest, &plan.manifest)?;
        self.start_run(plan.spec).await
    }

    /// Compares a run with the run `by` that did it again, and stamps it with what was found.
    ///
    /// # Errors
    ///
    /// Runs that are not done, or that do not do the same, or a suite that is gone.
    pub async fn stamp_reproduction(
        &self,
        run_id: RunId,
        by: RunId,
    ) -> Result<Reproduction, Failure> {
        if run_id == by {
            let message = format!("run {run_id} cannot be compared with itself");
            return Err(Failure::bad_input(message));
        }
        let (first, manifest) = self.finished(run_id).await?;
        let (second, again) = self.finished(by).await?;
        let spec = RunSpec {
            title: first.spec.title.clone(),
            ..second.spec.clone()
        };
        if spec != first.spec {
            let message = format!("run {by} does not do what run {run_id} does");
            return Err(Failure::bad_input(message)
                .with_hint(format!("`trimtab runs reproduce {run_id}` does it again")));
        }
        require_same(run_id, &manifest, &again)?;
        let (mut numbers, mut gaps) = (Vec::new(), Vec::new());
        for (before, after) in first.results.iter().zip(&second.results) {
            let before = self.numbers(run_id, before, &first.spec).await?;
            let again = self.numbers(by, after, &first.spec).await?;
            compare(
                &after.variant,
                (run_id, &before),
                (by, &again),
                &mut numbers,
                &mut gaps,
            );
        }
        if numbers.is_empty() && gaps.is_empty() {
            gaps.push("there is no number to compare".to_owned());
        }
        let made = Reproduction {
            run_id,
            by,
            at: clock::now(),
            is_reproduced: gaps.is_empty() && numbers.iter().all(|number| number.is_within),
            numbers,
            gaps,
            circumstances: circumstances(&manifest, &again),
        };
        self.inner.store.put_reproduction(&made).await?;
        Ok(made)
    }

    /// An evaluation that is done, and its manifest.
    async fn finished(&self, run_id: RunId) -> Result<(RunDetail, Manifest), Failure> {
        let detail = self.run(run_id).await?;
        if detail.summary.kind != RunKind::Evaluation {
            let message = format!("run {run_id} makes a variant and evaluates nothing");
            return Err(Failure::bad_input(message));
        }
        if detail.summary.state != RunState::Done {
            let state = detail.summary.state.as_str();
            return Err(
                Failure::conflict(format!("run {run_id} is {state}, and not done"))
                    .with_hint(format!("`trimtab runs resume {run_id}` does what is left")),
            );
        }
        let manifest = detail.manifest.clone().ok_or_else(|| {
            Failure::failed(format!("run {run_id} has no manifest to do it again from"))
        })?;
        Ok((detail, manifest))
    }

    /// All that is compared of one variant.
    async fn numbers(
        &self,
        run_id: RunId,
        result: &VariantResult,
        spec: &RunSpec,
    ) -> Result<Numbers, Failure> {
        let mut numbers = Numbers::new();
        let mut add = |what: String, value: Option<f64>, tolerance: f64| {
            numbers.extend(value.map(|value| (what, (value, tolerance))));
        };
        let pass_at_1 = result.pass_at_1.map(|estimate| estimate.value);
        add("pass@1".to_owned(), pass_at_1, SCORE_TOLERANCE);
        let perplexity = result.perplexity.as_ref().map(|found| found.perplexity);
        add("perplexity".to_owned(), perplexity, SCORE_TOLERANCE);
        let tpot_ms = result.tpot_ms.map(|quantiles| quantiles.p50);
        add("ms per output token".to_owned(), tpot_ms, LATENCY_TOLERANCE);
        let scores = self.scores(run_id, result.variant.clone()).await?;
        let style = spec.decoding.prompt_style;
        let mut suites: Vec<Suite> = Vec::new();
        for name in &spec.suites {
            suites.push(self.inner.suite(name.clone()).await?);
        }
        let likeness = blocking(move || {
            let each = suites.iter().map(|suite| {
                let found = codebleu_of_answers(suite, style, &scores)?;
                Ok((suite.name.clone(), found))
            });
            each.collect::<Result<Vec<_>, Failure>>()
        });
        for (suite, found) in likeness.await? {
            for (language, value) in found {
                let what = format!("CodeBLEU of {suite} in {language}");
                add(what, Some(value), SCORE_TOLERANCE);
            }
        }
        Ok(numbers)
    }
}

/// Refuses what would make equal numbers a coincidence.
fn require_same(run_id: RunId, before: &Manifest, now: &Manifest) -> Result<(), Failure> {
    let changed = |what: String, hint: &str| {
        let message = format!("{what} is not what run {run_id} used");
        Err(Failure::conflict(message).with_hint(hint))
    };
    for suite in &before.suites {
        let same = now.suites.iter().any(|other| other == suite);
        if !same {
            return changed(
                format!("suite `{}`", suite.suite),
                "import the files that it was made of again",
            );
        }
    }
    for (name, recipe) in &before.recipes {
        let other = now.recipes.iter().find(|(of, _)| of == name);
        if other.is_some_and(|(_, other)| other != recipe) {
            return changed(
                format!("the recipe of `{name}`"),
                "make the variant with its old recipe, under a name of its own",
            );
        }
    }
    for variant in &before.variants {
        let name = &variant.variant;
        let other = now.variants.iter().find(|other| other.variant == *name);
        if other.is_some_and(|other| other.digest != variant.digest) {
            return changed(
                format!("the artifact of `{name}`"),
                "remove the variant, so that it is made again by its recipe",
            );
        }
    }
    Ok(())
}

fn compare(
    variant: &VariantName,
    (run_id, before): (RunId, &Numbers),
    (by, again): (RunId, &Numbers),
    numbers: &mut Vec<ReproducedNumber>,
    gaps: &mut Vec<String>,
) {
    for (what, (value, tolerance)) in before {
        match again.get(what) {
            Some((other, _)) => numbers.push(ReproducedNumber::new(
                variant,
                what,
                (*value, *other),
                *tolerance,
            )),
            None => gaps.push(format!("{variant} has no {what} in run {by}")),
        }
    }
    let only_again = again.keys().filter(|what| !before.contains_key(*what));
    gaps.extend(only_again.map(|what| format!("{variant} has no {what} in run {run_id}")));
}

fn circumstances(before: &Manifest, now: &Manifest) -> Vec<String> {
    let (then, this) = (&before.hardware, &now.hardware);
    let changes = [
        ("the program", &before.code_version, &now.code_version),
        ("the processor", &then.cpu, &this.cpu),
        ("the instruction sets", &then.simd, &this.simd),
        ("the system", &then.os, &this.os),
    ]
    .map(|(what, before, now)| (what, before.clone(), now.clone()));
    let threads = (
        "the number of threads",
        then.n_threads.to_string(),
        this.n_threads.to_string(),
    );
    let device = (
        "the device",
        then.device.to_string(),
        this.device.to_string(),
    );
    let changes = changes.into_iter().chain([threads, device]);
    changes
        .filter(|(_, before, now)| before != now)
        .map(|(what, before, now)| format!("{what} was {before} and is {now}"))
        .collect()
}
