//! Numbers as people read them: with unit, interval and `n`. Formatting only, no metrics.

use trimtab_domain::{
    Bytes, Comparison, Criterion, Estimate, Performance, Quantiles, RunSummary, Spread, Timestamp,
    format_duration_ms,
};

/// A number and what qualifies it: interval, `n`, tails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    /// The number with its unit.
    pub(crate) value: String,
    /// What qualifies it; may be empty.
    pub(crate) detail: String,
}

impl Figure {
    /// A number that nothing qualifies.
    pub(crate) fn plain(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            detail: String::new(),
        }
    }

    /// What stands where nothing was measured.
    pub(crate) fn missing() -> Self {
        Self::plain("–")
    }

    /// Number and qualification in one line.
    #[cfg(test)]
    pub(crate) fn line(&self) -> String {
        if self.detail.is_empty() {
            self.value.clone()
        } else {
            format!("{} {}", self.value, self.detail)
        }
    }
}

/// The beginning of a text in one line, at most 24 characters; `None` where there is nothing to see.
pub(crate) fn excerpt(text: &str) -> Option<String> {
    const MAX_CHARS: usize = 24;
    let words: Vec<&str> = text.split_whitespace().take(MAX_CHARS).collect();
    let line = words.join(" ");
    let short: String = line.chars().take(MAX_CHARS).collect();
    match (short.is_empty(), short.len() < line.len()) {
        (true, _) => None,
        (false, true) => Some(format!("{short}…")),
        (false, false) => Some(short),
    }
}

/// `62.5 %` and `[48.4, 74.8] · n = 48`.
pub(crate) fn share(estimate: Estimate) -> Figure {
    let percent = |value: f64| format!("{:.1}", 100.0 * value);
    let interval = interval(estimate.low, estimate.high, percent);
    Figure {
        value: format!("{} %", percent(estimate.value)),
        detail: format!("{interval} · n = {}", estimate.n),
    }
}

/// A median over repeats with its range: `41.2 tok/s` and `[40.8, 41.9] · 5 repeats`.
pub(crate) fn speed(spread: Spread) -> Figure {
    repeats(spread, " tok/s", three_figures)
}

/// A median time over repeats with its range: `8.2 ms` and `[8.1 ms, 9 ms] · 5 repeats`.
pub(crate) fn duration(spread_ms: Spread) -> Figure {
    repeats(spread_ms, "", format_duration_ms)
}

/// The most memory that was held where the model is computed: in the process, or on the card.
pub(crate) fn peak_memory(performance: &Performance) -> Figure {
    let Some(card) = performance.card_use.as_deref() else {
        return Figure::plain(performance.peak_memory.to_string());
    };
    Figure {
        value: card
            .peak_memory
            .map_or_else(|| "–".to_owned(), |peak| peak.in_words()),
        detail: "on the card".to_owned(),
    }
}

/// `2.31×` and `[2.20, 2.44] · 5 repeats`.
pub(crate) fn speedup(spread: Spread) -> Figure {
    repeats(spread, "×", |ratio| format!("{ratio:.2}"))
}

fn repeats(spread: Spread, unit: &str, number: fn(f64) -> String) -> Figure {
    let range = interval(spread.min, spread.max, number);
    Figure {
        value: format!("{}{unit}", number(spread.median)),
        detail: format!("{range} · {} repeats", spread.n),
    }
}

fn interval(low: f64, high: f64, number: impl Fn(f64) -> String) -> String {
    format!("[{}, {}]", number(low), number(high))
}

/// Median in front, tails behind: `8.2 ms` and `p90 9.1 ms · p95 10 ms · p99 12 ms · n = 48`.
pub(crate) fn latency(quantiles: Quantiles) -> Figure {
    let [p50, p90, p95, p99] =
        [quantiles.p50, quantiles.p90, quantiles.p95, quantiles.p99].map(format_duration_ms);
    Figure {
        value: p50,
        detail: format!("p90 {p90} · p95 {p95} · p99 {p99} · n = {}", quantiles.n),
    }
}

/// `12.41` and `[11.9, 12.9] · n = 2044 tokens`.
pub(crate) fn perplexity(result: &trimtab_domain::PerplexityResult) -> Figure {
    Figure {
        value: format!("{:.2}", result.perplexity),
        detail: format!(
            "[{:.2}, {:.2}] · n = {} tokens",
            result.low, result.high, result.n_tokens
        ),
    }
}

/// A value on a chart's axis, whose label carries the unit.
pub(crate) fn on_axis(estimate: Estimate) -> String {
    let (value, n) = (three_figures(estimate.value), estimate.n);
    if estimate.low < estimate.high {
        let interval = interval(estimate.low, estimate.high, three_figures);
        format!("{value} {interval}, n = {n}")
    } else {
        format!("{value}, n = {n}")
    }
}

/// Base's bytes by the variant's: `2.9× smaller`, `1.0×` for no difference.
pub(crate) fn compression(ratio: f64) -> String {
    if ratio > 1.0 {
        format!("{ratio:.1}× smaller")
    } else {
        format!("{ratio:.2}×")
    }
}

/// The criterion in words, to stand beside every verdict.
pub(crate) fn criterion(criterion: Criterion) -> String {
    format!(
        "keeps at least {:.0} % of the base's quality and decodes at least {:.1}× as fast",
        100.0 * criterion.min_retention,
        criterion.min_speedup
    )
}

/// Retention with interval and `n`, or why there is none.
pub(crate) fn retention(comparison: &Comparison) -> Figure {
    comparison.retention.map_or_else(Figure::missing, share)
}

/// A score with its interval: `0.513` and `[0.498, 0.527] · n = 1000`.
pub(crate) fn score(estimate: Estimate) -> Figure {
    let number = |value: f64| match value.abs() {
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    };
    let interval = interval(estimate.low, estimate.high, number);
    Figure {
        value: number(estimate.value),
        detail: format!("{interval} · n = {}", estimate.n),
    }
}

/// `12 of 144 graded`.
pub(crate) fn graded(run: &RunSummary) -> String {
    format!("{} of {} graded", run.n_scored, run.n_problems)
}

/// Weights in all: `494 M`, `1.24 B`.
pub(crate) fn parameters(n: u64) -> String {
    let n = n as f64;
    match n {
        _ if n >= 1e9 => format!("{:.2} B", n / 1e9),
        _ if n >= 1e6 => format!("{:.0} M", n / 1e6),
        _ if n >= 1e3 => format!("{:.0} k", n / 1e3),
        _ => format!("{n:.0}"),
    }
}

/// A relative squared error in percent, without its sign: `1.2`, `0.034`, `0` for none.
pub(crate) fn squared_error(error: f64) -> String {
    match 100.0 * error {
        percent if percent <= 0.0 => "0".to_owned(),
        percent if percent >= 10.0 => format!("{percent:.0}"),
        percent if percent >= 1.0 => format!("{percent:.1}"),
        percent if percent >= 0.1 => format!("{percent:.2}"),
        percent if percent >= 0.01 => format!("{percent:.3}"),
        percent if percent >= 0.0005 => format!("{percent:.4}"),
        _ => "<0.001".to_owned(),
    }
}

/// A size that may not be known yet.
pub(crate) fn size(bytes: Option<Bytes>) -> Figure {
    bytes.map_or_else(Figure::missing, |bytes| Figure::plain(bytes.to_string()))
}

/// From start to end, once both are known.
pub(crate) fn elapsed(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<String> {
    let duration_ms = end?.0.checked_sub(start?.0)?;
    Some(format_duration_ms(duration_ms as f64))
}

/// Three significant figures without exponent.
fn three_figures(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, [low, high]: [f64; 2], n: u32) -> Estimate {
        Estimate {
            value,
            low,
            high,
            n,
        }
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt("  a\n\tb "), Some("a b".to_owned()));
        assert_eq!(excerpt(" \n"), None);
        let long = excerpt(&"ä".repeat(30)).unwrap();
        assert_eq!(long, format!("{}…", "ä".repeat(24)));
    }

    #[test]
    fn a_share_carries_its_interval_and_n() {
        let figure = share(estimate(0.625, [0.484, 0.748], 48));
        assert_eq!(figure.line(), "62.5 % [48.4, 74.8] · n = 48");
    }

    #[test]
    fn speeds_keep_three_figures() {
        let figure = speed(Spread {
            median: 41.234,
            min: 9.876,
            max: 412.3,
            n: 5,
        });
        assert_eq!(figure.line(), "41.2 tok/s [9.88, 412] · 5 repeats");
    }

    #[test]
    fn latencies_show_the_median_first_and_the_tails_behind() {
        let figure = latency(Quantiles {
            p50: 8.24,
            p90: 12.0,
            p95: 13.0,
            p99: 1500.0,
            n: 48,
        });
        assert_eq!(
            figure.line(),
            "8.2 ms p90 12 ms · p95 13 ms · p99 1.5 s · n = 48"
        );
    }

    #[test]
    fn a_plain_value_on_an_axis_shows_no_interval() {
        let exact = estimate(330.4, [330.4; 2], 1);
        assert_eq!(on_axis(exact), "330, n = 1");
        let with_interval = estimate(62.5, [48.4, 74.8], 48);
        assert_eq!(on_axis(with_interval), "62.5 [48.4, 74.8], n = 48");
    }

    #[test]
    fn the_criterion_is_said_in_words() {
        let text = criterion(Criterion::default());
        assert_eq!(
            text,
            "keeps at least 95 % of the base's quality and decodes at least 2.0× as fast"
        );
    }

    #[test]
    fn an_error_keeps_two_figures() {
        let shown = [0.0, 1e-9, 6e-6, 3.4e-4, 0.0123, 0.5].map(squared_error);
        assert_eq!(shown, ["0", "<0.001", "0.0006", "0.034", "1.2", "50"]);
    }

    #[test]
    fn a_duration_needs_both_ends() {
        let (start, end) = (Timestamp(1_000), Timestamp(13_400));
        assert_eq!(elapsed(Some(start), Some(end)).as_deref(), Some("12.4 s"));
        assert_eq!(elapsed(Some(start), None), None);
    }

    #[test]
    fn larger_is_not_called_smaller() {
        assert_eq!(compression(2.94), "2.9× smaller");
        assert_eq!(compression(0.5), "0.50×");
        assert_eq!(parameters(494_032_768), "494 M");
    }
}
