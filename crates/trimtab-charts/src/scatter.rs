//! The scatter chart: one point a variant, with intervals on both axes and the frontier.

use crate::{
    AxisRange,
    frontier::{frontier_points, step_path},
    range::tick_label,
};
use plotters::prelude::*;
use std::ops::Range;
use trimtab_domain::{Direction, Estimate};

/// One point: a value with its interval on each axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScatterPoint {
    /// Horizontal value.
    pub x: Estimate,
    /// Vertical value.
    pub y: Estimate,
}

/// What an axis shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxisOptions<'a> {
    /// Name and unit.
    pub label: &'a str,
    /// Which end is better.
    pub direction: Direction,
}

/// How a scatter chart is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScatterOptions<'a> {
    /// Width in pixels; at least 240 is used.
    pub width: u32,
    /// Height in pixels; at least 180 is used.
    pub height: u32,
    /// The horizontal axis.
    pub x: AxisOptions<'a>,
    /// The vertical axis.
    pub y: AxisOptions<'a>,
}

/// A drawn chart: axes and grid as SVG, everything else as positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// The inside of an `<svg>`: axes, grid and labels, marked with the classes
    /// `chart-grid`, `chart-axis` and `chart-text` for themes.
    pub svg_inner: String,
    /// Width of the `viewBox`.
    pub width: u32,
    /// Height of the `viewBox`.
    pub height: u32,
    /// Where the points may lie.
    pub plot: PlotArea,
    /// The points, in input order; those that are not finite are missing.
    pub points: Vec<PlacedPoint>,
    /// Steps through the points that no other beats on both axes, as the `d` of a `<path>`.
    pub frontier_path: String,
}

/// The rectangle between the axes, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlotArea {
    /// Left edge.
    pub left: i32,
    /// Top edge.
    pub top: i32,
    /// Right edge.
    pub right: i32,
    /// Bottom edge.
    pub bottom: i32,
}

impl PlotArea {
    /// Pixel ranges may run either way.
    fn new((xs, ys): (Range<i32>, Range<i32>)) -> Self {
        Self {
            left: xs.start.min(xs.end),
            top: ys.start.min(ys.end),
            right: xs.start.max(xs.end),
            bottom: ys.start.max(ys.end),
        }
    }
}

/// Both ends of an interval in pixels, `start <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Left or upper end.
    pub start: i32,
    /// Right or lower end.
    pub end: i32,
}

/// Where a point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedPoint {
    /// Index in the input.
    pub point_idx: usize,
    /// Pixels from the left.
    pub x: i32,
    /// Pixels from the top.
    pub y: i32,
    /// Extent of the horizontal interval.
    pub x_interval: Interval,
    /// Extent of the vertical interval.
    pub y_interval: Interval,
    /// Whether no other point beats it on both axes.
    pub is_on_frontier: bool,
}

/// Why a chart could not be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the axes `{x}` and `{y}` could not be drawn: {reason}")]
pub struct ChartError {
    /// Label of the horizontal axis.
    pub x: String,
    /// Label of the vertical axis.
    pub y: String,
    /// What plotters said.
    pub reason: String,
}

// Colours of a chart outside a page; pages restyle them through the classes.
const GRID: RGBColor = RGBColor(0xe3, 0xe7, 0xed);
const AXIS: RGBColor = RGBColor(0x6b, 0x76, 0x85);
const TEXT: RGBColor = RGBColor(0x3d, 0x47, 0x54);

/// plotters divides by 1.24 before it writes the size: 12 px in the chart.
const LABEL_SIZE: f64 = 12.0 * 1.24;

/// Draws axes and grid and places `points`.
///
/// Works for no point, one point and equal points; points with a value that is not finite
/// are left out.
pub fn scatter(points: &[ScatterPoint], options: &ScatterOptions<'_>) -> Result<Chart, ChartError> {
    let kept: Vec<(usize, ScatterPoint)> = points
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, p)| p.x.value.is_finite() && p.y.value.is_finite())
        .collect();
    draw(&kept, options).map_err(|error| ChartError {
        x: options.x.label.to_owned(),
        y: options.y.label.to_owned(),
        reason: error.to_string(),
    })
}

type DrawError = DrawingAreaErrorKind<std::io::Error>;

fn draw(kept: &[(usize, ScatterPoint)], options: &ScatterOptions<'_>) -> Result<Chart, DrawError> {
    let (width, height) = (options.width.max(240), options.height.max(180));
    let x_range = AxisRange::around(
        kept.iter()
            .flat_map(|(_, p)| [p.x.low, p.x.value, p.x.high]),
    );
    let y_range = AxisRange::around(
        kept.iter()
            .flat_map(|(_, p)| [p.y.low, p.y.value, p.y.high]),
    );
    let n_characters = tick_label(y_range.high())
        .len()
        .max(tick_label(y_range.low()).len())
        + 1;
    let mut svg = String::new();
    let (plot, placed) = {
        let root = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .margin_right(18)
            .x_label_area_size(44)
            .y_label_area_size(30 + 7 * n_characters as u32)
            .build_cartesian_2d(x_range.low()..x_range.high(), y_range.low()..y_range.high())?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .x_labels(if width < 500 { 5 } else { 8 })
            .y_labels(7)
            .x_desc(options.x.label)
            .y_desc(options.y.label)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(AXIS)
            .label_style(("sans-serif", LABEL_SIZE).into_font().color(&TEXT))
            .x_label_formatter(&|v| tick_label(*v))
            .y_label_formatter(&|v| tick_label(*v))
            .draw()?;
        let area = chart.plotting_area();
        let plot = PlotArea::new(area.get_pixel_range());
        let pixel = |x: f64, y: f64| area.map_coordinate(&(x, y));
        let placed: Vec<PlacedPoint> = kept
            .iter()
            .map(|(point_idx, point)| place(*point_idx, point, plot, pixel))
            .collect();
        root.present()?;
        (plot, placed)
    };
    let (points, frontier_path) = with_frontier(placed, kept, options);
    Ok(Chart {
        svg_inner: themed_inside(&svg),
        width,
        height,
        plot,
        points,
        frontier_path,
    })
}

fn place(
    point_idx: usize,
    point: &ScatterPoint,
    plot: PlotArea,
    pixel: impl Fn(f64, f64) -> (i32, i32),
) -> PlacedPoint {
    let (x, y) = pixel(point.x.value, point.y.value);
    let finite = |end: f64, value: f64| if end.is_finite() { end } else { value };
    let low = pixel(
        finite(point.x.low, point.x.value),
        finite(point.y.low, point.y.value),
    );
    let high = pixel(
        finite(point.x.high, point.x.value),
        finite(point.y.high, point.y.value),
    );
    let interval = |a: i32, b: i32, from: i32, to: i32| Interval {
        start: a.min(b).clamp(from, to),
        end: a.max(b).clamp(from, to),
    };
    PlacedPoint {
        point_idx,
        x,
        y,
        x_interval: interval(low.0, high.0, plot.left, plot.right),
        y_interval: interval(low.1, high.1, plot.top, plot.bottom),
        is_on_frontier: false,
    }
}

fn with_frontier(
    mut placed: Vec<PlacedPoint>,
    kept: &[(usize, ScatterPoint)],
    options: &ScatterOptions<'_>,
) -> (Vec<PlacedPoint>, String) {
    let values: Vec<(f64, f64)> = kept.iter().map(|(_, p)| (p.x.value, p.y.value)).collect();
    let frontier = frontier_points(&values, [options.x.direction, options.y.direction]);
    for &idx in &frontier {
        placed[idx].is_on_frontier = true;
    }
    let pixels: Vec<(i32, i32)> = frontier
        .iter()
        .map(|&i| (placed[i].x, placed[i].y))
        .collect();
    (placed, step_path(&pixels, options.x.direction))
}

/// The inside of the `<svg>` element, with a class beside each of our colours.
fn themed_inside(svg: &str) -> String {
    let inside = svg.split_once('>').map_or("", |(_, inside)| inside);
    let inside = inside.trim().trim_end_matches("</svg>").trim_end();
    let hex = |c: RGBColor| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2);
    let classed = [
        ("stroke", GRID, "chart-grid"),
        ("stroke", AXIS, "chart-axis"),
        ("fill", TEXT, "chart-text"),
    ];
    classed
        .into_iter()
        .fold(inside.to_owned(), |text, (attribute, colour, class)| {
            let plain = format!("{attribute}=\"{}\"", hex(colour));
            text.replace(&plain, &format!("class=\"{class}\" {plain}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Higher, Lower};

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate {
            value,
            low,
            high,
            n: 48,
        }
    }

    fn point(x: f64, y: f64) -> ScatterPoint {
        ScatterPoint {
            x: estimate(x, x, x),
            y: estimate(y, y - 5.0, y + 5.0),
        }
    }

    fn options() -> ScatterOptions<'static> {
        ScatterOptions {
            width: 720,
            height: 420,
            x: AxisOptions {
                label: "File size (MB)",
                direction: Lower,
            },
            y: AxisOptions {
                label: "Problems solved, pass@1 (%)",
                direction: Higher,
            },
        }
    }

    fn three() -> [ScatterPoint; 3] {
        [point(988.0, 62.5), point(525.0, 60.4), point(330.0, 47.9)]
    }

    #[test]
    fn the_chart_of_three_variants_keeps_its_picture() {
        let chart = scatter(&three(), &options()).unwrap();
        insta::assert_snapshot!(chart.svg_inner);
    }

    #[test]
    fn larger_lies_right_and_higher_lies_up() {
        let chart = scatter(&three(), &options()).unwrap();
        let [base, int8, int4] = chart.points[..] else {
            panic!("three points")
        };
        assert!(int4.x < int8.x && int8.x < base.x);
        assert!(base.y < int8.y && int8.y < int4.y);
    }

    #[test]
    fn intervals_surround_their_point_and_stay_in_the_plot() {
        let chart = scatter(&three(), &options()).unwrap();
        let area = chart.plot;
        for placed in &chart.points {
            assert!(placed.y_interval.start < placed.y && placed.y < placed.y_interval.end);
            assert_eq!(
                placed.x_interval,
                Interval {
                    start: placed.x,
                    end: placed.x
                }
            );
            assert!(area.left <= placed.x && placed.x <= area.right);
            assert!(area.top <= placed.y_interval.start && placed.y_interval.end <= area.bottom);
        }
    }

    #[test]
    fn the_frontier_leaves_out_what_is_beaten() {
        let mut points = three().to_vec();
        points.push(point(600.0, 50.0));
        let chart = scatter(&points, &options()).unwrap();
        let on: Vec<bool> = chart.points.iter().map(|p| p.is_on_frontier).collect();
        assert_eq!(on, [true, true, true, false]);
        assert!(chart.frontier_path.starts_with('M'));
        assert_eq!(chart.frontier_path.matches('H').count(), 2);
    }

    #[test]
    fn no_point_and_one_point_are_charts_too() {
        let empty = scatter(&[], &options()).unwrap();
        assert!(empty.points.is_empty() && empty.frontier_path.is_empty());
        assert!(empty.svg_inner.contains("File size (MB)"));
        let one = scatter(&three()[..1], &options()).unwrap();
        assert_eq!(one.points.len(), 1);
        assert!(one.points[0].is_on_frontier && one.frontier_path.is_empty());
    }

    #[test]
    fn equal_points_share_their_place() {
        let chart = scatter(&[point(5.0, 5.0), point(5.0, 5.0)], &options()).unwrap();
        assert_eq!(
            (chart.points[0].x, chart.points[0].y),
            (chart.points[1].x, chart.points[1].y)
        );
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_the_rest_keeps_its_index() {
        let mut points = three();
        points[0].x.value = f64::NAN;
        points[1].y.high = f64::INFINITY;
        let chart = scatter(&points, &options()).unwrap();
        let idxs: Vec<usize> = chart.points.iter().map(|p| p.point_idx).collect();
        assert_eq!(idxs, [1, 2]);
        assert_eq!(chart.points[0].y_interval.start, chart.points[0].y);
    }

    #[test]
    fn a_tiny_canvas_is_widened_instead_of_failing() {
        let chart = scatter(
            &three(),
            &ScatterOptions {
                width: 1,
                height: 1,
                ..options()
            },
        )
        .unwrap();
        assert!(chart.plot.left < chart.plot.right && chart.plot.top < chart.plot.bottom);
    }

    #[test]
    fn labels_are_escaped_and_colours_carry_classes() {
        let x = AxisOptions {
            label: "<b>&",
            direction: Lower,
        };
        let chart = scatter(&three(), &ScatterOptions { x, ..options() }).unwrap();
        assert!(chart.svg_inner.contains("&lt;b&gt;&amp;"));
        for class in ["chart-grid", "chart-axis", "chart-text"] {
            assert!(
                chart.svg_inner.contains(&format!("class=\"{class}\"")),
                "{class}"
            );
        }
        assert!(!chart.svg_inner.contains("</svg>"));
    }
}
