//! `trimtab compress`: makes a variant by a preset, a recipe file or a recipe in JSON.

use super::{context::Context, progress::Progress, table::table, text_argument::read_text_file};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use trimtab_domain::{
    AgreementReport, Bytes, Digest, Failure, LayerReport, Measured, ModelName, Recipe, Sparsity,
    StageReport, Step, VariantName, VariantView,
};
use trimtab_service::{ExportFormat, ExportRequest, Exported, FidelityCounts};

/// Options of `compress`.
#[derive(Debug, Args)]
pub(super) struct CompressArgs {
    /// The model to compress; fetched first if it is in the catalog.
    #[arg(long, value_name = "NAME")]
    model: ModelName,
    /// A preset (f32, f16, bf16, int8, int4, int4-fast, int4-gptq, int4-quality, prune-2of4,
    /// prune-half, shrink-depth, shrink-and-recover), a recipe file ending in .toml, or a recipe in
    /// JSON.
    #[arg(long, value_name = "FILE.toml|PRESET|JSON")]
    recipe: String,
    /// Merge the low-rank adapter in this folder, as PEFT writes it, before the weights are stored.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Name of the variant [default: MODEL:RECIPE].
    #[arg(long)]
    name: Option<VariantName>,
    /// Also write the variant for other programs: hf (16-bit floats), gptq, gptq-v2,
    /// compressed-tensors or gguf.
    #[arg(long, value_name = "FORMAT", requires = "out")]
    export: Option<ExportFormat>,
    /// Type of the matrices in a GGUF file, by its GGML name; embedding and head never go below
    /// 8 bits [default: what says the same as the variant].
    #[arg(long, value_name = "TYPE", requires = "export")]
    gguf_type: Option<String>,
    /// Folder to export to: one that is not there yet, or empty.
    #[arg(long, value_name = "DIR", requires = "export")]
    out: Option<PathBuf>,
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct Compressed<'a> {
    variant: &'a VariantName,
    digest: &'a Digest,
    size_bytes: Bytes,
    bits_per_weight: f64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stages: &'a [StageReport],
    layers: &'a [LayerReport],
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<&'a Exported>,
}

/// Makes the variant.
pub(super) async fn run(arguments: CompressArgs, context: &Context) -> Result<(), Failure> {
    let mut recipe = parse_recipe(&arguments.recipe)?;
    let export = arguments.export_request()?;
    let service = context.service().await?;
    recipe = service.import_calibration(recipe).await?;
    let mut progress = Progress::new(context.output);
    if let Some(folder) = &arguments.adapter {
        let listener = |event: &_| progress.on_job_event(event);
        recipe = service
            .merging(&arguments.model, recipe, folder, listener)
            .await?;
    }
    let (variant, layers) = service
        .compress(&arguments.model, recipe, arguments.name, |event| {
            progress.on_job_event(event);
        })
        .await?;
    drop(progress);
    let exported = match export {
        Some(request) => Some(service.export(&variant.name, request).await?),
        None => None,
    };
    let answer = Compressed {
        variant: &variant.name,
        digest: &variant.digest,
        size_bytes: variant.size,
        bits_per_weight: variant.bits_per_weight,
        stages: &variant.stages,
        layers: &layers,
        export: exported.as_ref(),
    };
    context.output.answer(&answer, || {
        let mut text = describe(&variant, &layers);
        if let Some(exported) = &exported {
            text.push_str(&describe_export(exported));
        }
        text
    })
}

impl CompressArgs {
    fn export_request(&self) -> Result<Option<ExportRequest>, Failure> {
        let (Some(format), Some(out)) = (self.export, &self.out) else {
            return Ok(None);
        };
        let gguf_type = self.gguf_type.as_deref();
        ExportRequest::new(format, gguf_type, out).map(Some)
    }
}

fn parse_recipe(text: &str) -> Result<Recipe, Failure> {
    let is_file = Path::new(text)
        .extension()
        .is_some_and(|extension| extension == "toml");
    if !is_file {
        return trimtab_service::parse_recipe(text).map_err(trimtab_service::recipe_failure);
    }
    let file = read_text_file(Path::new(text))?;
    let recipe = trimtab_service::parse_recipe_toml(&file);
    recipe.map_err(|problem| {
        let failure = trimtab_service::recipe_failure(problem);
        Failure {
            message: format!("`{text}`: {}", failure.message),
            ..failure
        }
    })
}

fn describe(variant: &VariantView, layers: &[LayerReport]) -> String {
    let mut text = format!(
        "made {} ({}, {}, {:.2} bits per weight)\nsha256 {}\n",
        variant.name, variant.scheme, variant.size, variant.bits_per_weight, variant.digest
    );
    for stage in &variant.stages {
        text.push_str(&describe_stage(stage));
    }
    let mut worst: Vec<&LayerReport> = layers.iter().collect();
    worst.sort_by(|a, b| b.error.total_cmp(&a.error));
    worst.truncate(5);
    if !worst.is_empty() {
        let rows: Vec<Vec<String>> = worst
            .iter()
            .map(|layer| vec![layer.name.clone(), format!("{:.2e}", layer.error)])
            .collect();
        text.push_str("\nlayers that changed most (relative squared error):\n");
        text.push_str(&table(&["LAYER", "ERROR"], &rows));
    }
    if let Some(prune) = variant.recipe.pruning() {
        let n_zero = layers.iter().filter(|layer| layer.sparsity > 0.0).count();
        let what = describe_sparsity(&variant.recipe, prune.sparsity);
        let _ = writeln!(
            text,
            "\n{n_zero} weights have zeros ({}). {what}",
            prune.sparsity
        );
    }
    text.extend(describe_widths(layers));
    for layer in layers {
        for note in &layer.notes {
            let _ = writeln!(text, "note: {}: {note}", layer.name);
        }
    }
    text
}

/// What a step that makes another model has done.
fn describe_stage(stage: &StageReport) -> String {
    let mut text = format!("\n{}: {}\n", stage.method, stage.summary);
    if !stage.removed.is_empty() {
        let rows: Vec<Vec<String>> = stage
            .removed
            .iter()
            .map(|part| vec![part.name.clone(), format!("{:.4}", part.score)])
            .collect();
        text.push_str(&table(&["REMOVED", "SCORE"], &rows));
    }
    if let Some(agreement) = &stage.agreement {
        text.push_str(&describe_agreement(agreement));
    }
    for note in &stage.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// How far a student answers as its teacher does, before and after.
fn describe_agreement(report: &AgreementReport) -> String {
    let (before, after) = (&report.before, &report.after);
    let number = |m: &Measured| format!("{:.3} ± {:.3}", m.value, m.standard_error);
    let percent = |m: &Measured| {
        let (value, error) = (100.0 * m.value, 100.0 * m.standard_error);
        format!("{value:.1} ± {error:.1} %")
    };
    let row = |what: &str, before: String, after: String| vec![what.to_owned(), before, after];
    let rows = [
        row(
            "the same first choice",
            percent(&before.top1),
            percent(&after.top1),
        ),
        row(
            "among the first five",
            percent(&before.top5),
            percent(&after.top5),
        ),
        row("divergence", number(&before.kl), number(&after.kl)),
        row(
            "perplexity",
            number(&before.student_perplexity),
            number(&after.student_perplexity),
        ),
    ];
    format!(
        "{}± is the standard error over {} sequences of {} tokens in all; the perplexity of {} is {}\n",
        table(&["AGREEMENT WITH TEACHER", "BEFORE", "AFTER"], &rows),
        after.n_sequences,
        after.n_tokens,
        report.teacher,
        number(&after.teacher_perplexity),
    )
}

/// What zeros buy, in words.
fn describe_sparsity(recipe: &Recipe, sparsity: Sparsity) -> &'static str {
    match (sparsity, recipe.steps.last()) {
        (Sparsity::Share(_), _) => {
            "Unstructured sparsity saves neither memory nor time in dense kernels."
        }
        (Sparsity::Pattern { .. }, Some(Step::Cast { .. })) => {
            "The file is stored without the zeros; in memory they are multiplied like other \
             weights, which saves neither memory nor time."
        }
        (Sparsity::Pattern { .. }, _) => {
            "The zeros are stored and multiplied like other codes: this pattern saves neither \
             memory nor time here."
        }
    }
}

/// How many weights got which width, where that was chosen.
fn describe_widths(layers: &[LayerReport]) -> Option<String> {
    let mut counts = BTreeMap::new();
    let widths = layers.iter().flat_map(|layer| &layer.bit_losses);
    for width in widths.filter(|width| width.is_chosen) {
        *counts.entry(width.bits).or_insert(0) += 1;
    }
    let counts = counts.iter().map(|(bits, n)| format!("{n} in {bits} bits"));
    let counts: Vec<String> = counts.collect();
    (!counts.is_empty()).then(|| format!("\nweights by chosen width: {}\n", counts.join(", ")))
}

fn describe_export(exported: &Exported) -> String {
    let FidelityCounts {
        exact,
        rounded,
        requantised,
    } = exported.weights;
    let (path, size) = (exported.path.display(), exported.size_bytes);
    let mut lines = vec![
        format!("\nexported to {path} ({size})"),
        format!("{exact} weights are the same numbers"),
    ];
    let changed = [
        (rounded, "rounded to 16-bit floats"),
        (
            requantised,
            "quantised anew, with an error of up to half a step",
        ),
    ];
    for (n, what) in changed {
        if n > 0 {
            lines.push(format!("{n} weights are {what}"));
        }
    }
    let types = exported.types.iter();
    let types: Vec<String> = types.map(|(name, n)| format!("{n} {name}")).collect();
    if !types.is_empty() {
        lines.push(format!("tensors: {}", types.join(", ")));
    }
    lines.extend(exported.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_a_file_and_json_give_the_same_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let toml = "name = \"int8\"\n[[steps]]\nmethod = \"rtn\"\nbits = 8\ngroup_size = 64\n\
                    symmetric = true\nembedding_bits = 8\nactivations = \"float\"\n";
        std::fs::write(&path, toml).unwrap();
        let preset = parse_recipe("int8").unwrap();
        assert_eq!(parse_recipe(path.to_str().unwrap()).unwrap(), preset);
        assert_eq!(
            parse_recipe(&serde_json::to_string(&preset).unwrap()).unwrap(),
            preset
        );
    }

    #[test]
    fn what_is_no_recipe_says_what_would_be() {
        let refused = parse_recipe("int3").unwrap_err();
        assert_eq!(
            refused.hint.unwrap(),
            "the presets are f32, f16, bf16, int8, int4, int4-fast, int4-gptq, int4-quality, \
             prune-2of4, prune-half, shrink-depth, shrink-and-recover"
        );
        assert!(parse_recipe("{\"name\":1}").is_err());
        assert!(
            parse_recipe("/no/such.toml")
                .unwrap_err()
                .message
                .contains("cannot read")
        );
        let no_steps = parse_recipe("{\"name\":\"x\",\"steps\":[]}").unwrap_err();
        assert_eq!(no_steps.message, "recipe `x` has no steps");
    }
}
