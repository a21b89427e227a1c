//! The Pareto chart: axes to choose, points to hover, focus and press.
//!
//! `trimtab-charts` draws axes and grid and says where the points lie; the points are elements
//! of the page, so that mouse, keyboard and screen readers reach them.

use super::Term;
use crate::{format, glossary::Word};
use leptos::{ev, prelude::*};
use trimtab_charts::{
    AxisOptions, Chart, ChartError, PlacedPoint, ScatterOptions, ScatterPoint, scatter,
};
use trimtab_domain::{Axis, Direction, TradeoffView, VariantName};

/// Below this width of the window the chart is drawn narrow, so that its text stays readable.
const NARROW_BELOW: f64 = 700.0;

/// Points nearer than this share one explanation, because they hide each other.
const NEAR: i32 = 12;

/// The variants of a run that have a value on both chosen axes.
#[derive(Clone, PartialEq)]
struct Plotted {
    variants: Vec<(VariantName, String)>,
    points: Vec<ScatterPoint>,
    missing: Vec<VariantName>,
    chart: Result<Chart, ChartError>,
    axes: (Axis, Axis),
}

impl Plotted {
    fn new(view: &TradeoffView, axes: (Axis, Axis), is_narrow: bool) -> Self {
        let (mut variants, mut points, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for result in &view.results {
            match (axes.0.estimate(result), axes.1.estimate(result)) {
                (Some(x), Some(y)) => {
                    variants.push((result.variant.clone(), result.scheme.clone()));
                    points.push(ScatterPoint { x, y });
                }
                _ => missing.push(result.variant.clone()),
            }
        }
        let (width, height) = if is_narrow { (400, 380) } else { (860, 440) };
        let axis = |axis: Axis| AxisOptions {
            label: axis.label(),
            direction: axis.direction(),
        };
        let options = ScatterOptions {
            width,
            height,
            x: axis(axes.0),
            y: axis(axes.1),
        };
        let chart = scatter(&points, &options);
        Self {
            variants,
            points,
            missing,
            chart,
            axes,
        }
    }

    fn placed(&self) -> Vec<PlacedPoint> {
        self.chart
            .as_ref()
            .map(|chart| chart.points.clone())
            .unwrap_or_default()
    }

    /// Name and numbers of a point, in one line.
    fn text(&self, point_idx: usize) -> String {
        let (point, (variant, scheme)) = (&self.points[point_idx], &self.variants[point_idx]);
        let part =
            |axis: Axis, estimate| format!("{}: {}", axis.label(), format::on_axis(estimate));
        format!(
            "{variant} ({scheme}). {}. {}.",
            part(self.axes.1, point.y),
            part(self.axes.0, point.x)
        )
    }

    /// Where the explanation of a point stands, in percent, and the lines it holds:
    /// its own and those of the points it hides.
    fn explanation(&self, variant: &VariantName) -> Option<(f64, f64, Vec<String>)> {
        let chart = self.chart.as_ref().ok()?;
        let is_named = |p: &&PlacedPoint| self.variants[p.point_idx].0 == *variant;
        let own = chart.points.iter().find(is_named)?;
        let is_near = |p: &&PlacedPoint| (p.x - own.x).abs() < NEAR && (p.y - own.y).abs() < NEAR;
        let others = chart
            .points
            .iter()
            .filter(is_near)
            .filter(|p| p.point_idx != own.point_idx);
        let lines = std::iter::once(own)
            .chain(others)
            .map(|p| self.text(p.point_idx))
            .collect();
        let left = 100.0 * f64::from(own.x) / f64::from(chart.width);
        let top = 100.0 * f64::from(own.y) / f64::from(chart.height);
        Some((left, top, lines))
    }
}

/// Which corner is better, in words.
fn better_corner((x, y): (Axis, Axis)) -> String {
    let side = match x.direction() {
        Direction::Lower => "left",
        Direction::Higher => "right",
    };
    let height = match y.direction() {
        Direction::Lower => "bottom",
        Direction::Higher => "top",
    };
    format!("Better is towards the {height} {side}.")
}

/// The chart of a run's variants.
#[component]
pub(crate) fn TradeoffChart(
    /// The trade-offs.
    view: StoredValue<TradeoffView>,
    /// The variant that chart and table both highlight.
    selected: RwSignal<Option<VariantName>>,
) -> impl IntoView {
    let known = view.with_value(measured_axes);
    let quality = match known.contains(&Axis::PassAt1) {
        true => Axis::PassAt1,
        false => *known.first().unwrap_or(&Axis::PassAt1),
    };
    let axes = RwSignal::new((Axis::Size, quality));
    let hovered = RwSignal::new(None::<VariantName>);
    let is_narrow = narrow_window();
    let plotted =
        Memo::new(move |_| view.with_value(|view| Plotted::new(view, axes.get(), is_narrow.get())));
    let explanation = move || {
        let variant = hovered.get()?;
        let (left, top, lines) = plotted.with(|plotted| plotted.explanation(&variant))?;
        let class = if left > 60.0 {
            "chart-tip to-left"
        } else {
            "chart-tip"
        };
        Some(view! {
            <div class=class role="status" style:left=format!("{left}%") style:top=format!("{top}%")>
                {lines.into_iter().map(|line| view! { <p>{line}</p> }).collect_view()}
            </div>
        })
    };
    view! {
        <div class="chart-controls">
            <AxisSelect label="Vertical axis" known=known.clone() value=Signal::derive(move || axes.get().1)
                on_choose=Callback::new(move |axis| axes.update(|axes| axes.1 = axis))/>
            <AxisSelect label="Horizontal axis" known value=Signal::derive(move || axes.get().0)
                on_choose=Callback::new(move |axis| axes.update(|axes| axes.0 = axis))/>
        </div>
        <div class="chart">
            <ChartDrawing plotted hovered selected/>
            {explanation}
        </div>
        <div class="chart-legend">
            <span><span class="key point-key"></span>"variant, bars: 95 % interval or range of repeats"</span>
            <span><span class="key base-key"></span>"baseline"</span>
            <span><span class="key line-key"></span><Term word=Word::ParetoFrontier/></span>
            <span>{move || better_corner(axes.get())}</span>
        </div>
        {move || {
            plotted.with(|p| (!p.missing.is_empty()).then(|| {
                let names: Vec<String> = p.missing.iter().map(ToString::to_string).collect();
                view! { <p class="fine">"Not measured yet on these axes: " {names.join(", ")} "."</p> }
            }))
        }}
    }
    .into_any()
}

/// Whether the window is too narrow for the wide drawing; `false` until the browser says so,
/// because the server cannot know.
fn narrow_window() -> ReadSignal<bool> {
    let (is_narrow, set_narrow) = signal(false);
    Effect::new(move || {
        let measure = move || {
            let width = window().inner_width().ok().and_then(|width| width.as_f64());
            if let Some(width) = width {
                set_narrow.set(width < NARROW_BELOW);
            }
        };
        measure();
        let listener = window_event_listener(ev::resize, move |_| measure());
        on_cleanup(move || listener.remove());
    });
    is_narrow
}

/// What at least one variant has a number for, in the order of menus.
fn measured_axes(view: &TradeoffView) -> Vec<Axis> {
    let is_measured = |axis: &Axis| {
        let mut results = view.results.iter();
        results.any(|result| axis.estimate(result).is_some())
    };
    Axis::ALL.into_iter().filter(is_measured).collect()
}

#[component]
fn AxisSelect(
    label: &'static str,
    known: Vec<Axis>,
    #[prop(into)] value: Signal<Axis>,
    on_choose: Callback<Axis>,
) -> impl IntoView {
    let choose = move |event: ev::Event| {
        let chosen = event_target_value(&event).parse::<usize>().ok();
        if let Some(axis) = chosen.and_then(|idx| Axis::ALL.get(idx)) {
            on_choose.run(*axis);
        }
    };
    let choices = Axis::ALL.into_iter().enumerate();
    let choices = choices
        .filter(|(_, axis)| known.contains(axis))
        .collect::<Vec<_>>();
    let options = choices.into_iter().map(move |(idx, axis)| {
        view! {
            <option value=idx.to_string() selected=move || value.get() == axis>{axis.label()}</option>
        }
    });
    view! {
        <label class="field">
            <span>{label}</span>
            <select on:change=choose>{options.collect_view()}</select>
        </label>
    }
    .into_any()
}

#[component]
fn ChartDrawing(
    plotted: Memo<Plotted>,
    hovered: RwSignal<Option<VariantName>>,
    selected: RwSignal<Option<VariantName>>,
) -> impl IntoView {
    let with_chart = move |part: fn(&Chart) -> String| {
        plotted.with(|p| p.chart.as_ref().map(part).unwrap_or_default())
    };
    let view_box = move || with_chart(|c| format!("0 0 {} {}", c.width, c.height));
    let side = move |part: fn(&Chart) -> i32| {
        plotted.with(|p| p.chart.as_ref().map(part).unwrap_or_default().to_string())
    };
    let label = move || {
        plotted.with(|p| {
            format!(
                "{} against {}; each point is one variant",
                p.axes.1.label(),
                p.axes.0.label()
            )
        })
    };
    let failure = move || plotted.with(|p| p.chart.as_ref().err().map(ToString::to_string));
    view! {
        {move || failure().map(|message| view! { <super::FailureNotice message hint=None/> })}
        <svg class="chart-drawing" viewBox=view_box role="group" aria-label=label>
            <defs>
                <clipPath id="plot-clip">
                    <rect
                        x=move || side(|c| c.plot.left)
                        y=move || side(|c| c.plot.top)
                        width=move || side(|c| c.plot.right - c.plot.left)
                        height=move || side(|c| c.plot.bottom - c.plot.top)
                    ></rect>
                </clipPath>
            </defs>
            <g aria-hidden="true" inner_html=move || with_chart(|c| c.svg_inner.clone())></g>
            <path class="frontier" clip-path="url(#plot-clip)" d=move || with_chart(|c| c.frontier_path.clone())></path>
            <For
                each=move || plotted.with(|p| p.placed().into_iter().map(|placed| (placed, p.axes)).collect::<Vec<_>>())
                key=|(placed, axes)| (placed.point_idx, placed.x, placed.y, *axes)
                children=move |(placed, _)| view! { <ChartPoint placed plotted hovered selected/> }
            />
        </svg>
    }
    .into_any()
}

#[component]
fn ChartPoint(
    placed: PlacedPoint,
    plotted: Memo<Plotted>,
    hovered: RwSignal<Option<VariantName>>,
    selected: RwSignal<Option<VariantName>>,
) -> impl IntoView {
    let PlacedPoint {
        point_idx,
        x,
        y,
        x_interval,
        y_interval,
        ..
    } = placed;
    let (text, short, variant, at_right_edge) = plotted.with_untracked(|p| {
        let (variant, scheme) = &p.variants[point_idx];
        let right = p.chart.as_ref().map_or(0, |chart| chart.plot.right);
        let short = variant
            .split_preset()
            .map_or(scheme.clone(), |(_, preset)| preset.to_owned());
        (p.text(point_idx), short, variant.clone(), x > right - 70)
    });
    let variant = StoredValue::new(variant);
    let is_selected =
        move || variant.with_value(|v| selected.with(|chosen| chosen.as_ref() == Some(v)));
    let show = move || hovered.set(Some(variant.get_value()));
    let hide = move || hovered.set(None);
    let toggle = move || {
        let is_on = is_selected();
        selected.set((!is_on).then(|| variant.get_value()));
    };
    let on_key = move |event: ev::KeyboardEvent| match event.key().as_str() {
        "Enter" | " " => {
            event.prevent_default();
            toggle();
        }
        "Escape" => hide(),
        _ => {}
    };
    let label_x = if at_right_edge { x - 12 } else { x + 12 };
    let anchor = if at_right_edge { "end" } else { "start" };
    view! {
        <g class="point" class:selected=is_selected class:baseline=point_idx == 0>
            <path class="interval" aria-hidden="true" d=whiskers(x, y, x_interval, y_interval)></path>
            <circle class="dot" cx=x cy=y r="6" aria-hidden="true"></circle>
            <text class="point-label" x=label_x y=y - 9 text-anchor=anchor aria-hidden="true">{short}</text>
            <circle
                class="hit" cx=x cy=y r="16" tabindex="0" role="button" aria-label=text
                aria-pressed=move || is_selected().to_string()
                on:pointerenter=move |_| show()
                on:pointerleave=move |_| hide()
                on:focus=move |_| show()
                on:blur=move |_| hide()
                on:click=move |_| toggle()
                on:keydown=on_key
            ></circle>
        </g>
    }
    .into_any()
}

/// The intervals of a point as a cross; an interval without extent draws nothing.
fn whiskers(
    x: i32,
    y: i32,
    across: trimtab_charts::Interval,
    along: trimtab_charts::Interval,
) -> String {
    let line = |from: i32, to: i32, path: String| if from < to { path } else { String::new() };
    line(
        across.start,
        across.end,
        format!("M{} {y}H{}", across.start, across.end),
    ) + &line(
        along.start,
        along.end,
        format!("M{x} {}V{}", along.start, along.end),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_charts::Interval;

    #[test]
    fn an_interval_without_extent_draws_nothing() {
        let none = Interval { start: 5, end: 5 };
        assert_eq!(whiskers(5, 9, none, none), "");
        let some = Interval { start: 2, end: 20 };
        assert_eq!(whiskers(5, 9, none, some), "M5 2V20");
        assert_eq!(whiskers(5, 9, some, some), "M2 9H20M5 2V20");
    }

    #[test]
    fn the_better_corner_follows_both_directions() {
        assert_eq!(
            better_corner((Axis::Size, Axis::PassAt1)),
            "Better is towards the top left."
        );
        assert_eq!(
            better_corner((Axis::DecodeSpeed, Axis::Perplexity)),
            "Better is towards the bottom right."
        );
    }
}
