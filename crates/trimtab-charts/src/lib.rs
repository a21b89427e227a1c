//! Charts drawn with plotters to SVG strings, with the pixel position of every point.
//!
//! Pure geometry, no clock, no DOM: the same function serves the server, the browser and reports.
//! plotters draws axes and grid; points, intervals and the frontier come back as positions,
//! so that a page can make real, focusable elements of them.
//!
//! SVG has zero in the top left corner; data coordinates have zero in the bottom left.

mod frontier;
mod range;
mod scatter;

pub use range::AxisRange;
pub use scatter::{
    AxisOptions, Chart, ChartError, Interval, PlacedPoint, PlotArea, ScatterOptions, ScatterPoint,
    scatter,
};
