//! Charts drawn with plotters to SVG strings, with the pixel position of every point.
