//! `trimtab doctor`: what works on this machine, and what a model needs of its memory.

use super::{context::Context, table::table};
use clap::Args;
use trimtab_domain::{
    CapacityView, Check, CheckStatus, Failure, Fit, KvCacheFormat, MemoryPlace, PresetNeed,
    TextNeed,
};
use trimtab_service::CapacityRequest;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Tell what this model needs in memory with every preset, and whether that fits; it is neither
    /// fetched nor loaded.
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Length of the text that the model is to work with, in tokens [default: 4096, or all it can].
    #[arg(long, value_name = "N", requires = "model")]
    context: Option<u32>,
    /// How keys and values of the text are kept: f32, f16 or int8.
    #[arg(long, value_name = "FORMAT", requires = "model", default_value_t)]
    kv: KvCacheFormat,
}

/// Checks and tells; what does not work is a failure.
pub(super) async fn run(arguments: DoctorArgs, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let Some(model) = arguments.model else {
        let checks = service.doctor().await;
        return context.output.answer(&checks, || describe(&checks));
    };
    let request = CapacityRequest {
        model,
        n_tokens: arguments.context,
        kv_format: arguments.kv,
    };
    let capacity = service.capacity(request).await?;
    context
        .output
        .answer(&capacity, || describe_capacity(&capacity))
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

fn describe_capacity(capacity: &CapacityView) -> String {
    let CapacityView {
        model,
        n_tokens,
        kv_format,
        places,
        ..
    } = capacity;
    let mut text = format!(
        "{model}: memory for a text of {n_tokens} tokens, its keys and values in {kv_format}\n\n"
    );
    let mut headers = vec!["PRESET", "WEIGHTS", "TEXT", "WORK", "PROGRAM", "IN ALL"];
    headers.extend(places.iter().map(|place| &*place.name));
    let rows: Vec<Vec<String>> = capacity.presets.iter().map(preset_cells).collect();
    text += &table(&headers, &rows);
    text.push('\n');
    let places = places
        .iter()
        .map(|MemoryPlace { name, total, free }| format!("{name}: {free} free of {total}\n"));
    text.extend(places);
    text += "\nkeys and values of a text, by its length\n";
    text += &table(&["TOKENS", "F32", "F16", "INT8"], &text_rows(capacity));
    if fits_nowhere(capacity) {
        text += "\nno preset fits: give a shorter text with --context, or choose a smaller model\n";
    }
    text
}

fn preset_cells(preset: &PresetNeed) -> Vec<String> {
    let need = &preset.need;
    let sizes = [
        need.weights,
        need.kv_cache,
        need.work,
        need.program,
        preset.total,
    ];
    let mut cells = vec![preset.preset.clone()];
    cells.extend(sizes.iter().map(ToString::to_string));
    cells.extend(preset.fits.iter().map(|fit| fit.in_words().to_owned()));
    cells
}

fn text_rows(capacity: &CapacityView) -> Vec<Vec<String>> {
    let row = |text: &TextNeed| {
        let sizes = text.kv_cache.iter().map(|(_, bytes)| bytes.to_string());
        std::iter::once(text.n_tokens.to_string())
            .chain(sizes)
            .collect()
    };
    capacity.texts.iter().map(row).collect()
}

fn fits_nowhere(capacity: &CapacityView) -> bool {
    let mut fits = capacity.presets.iter().flat_map(|preset| &preset.fits);
    fits.all(|fit| *fit == Fit::TooLarge)
}
