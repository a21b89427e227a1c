//! The border between two halves of a range, found by halving it.

/// The border between `low`, where `is_below` holds, and `high`, where it does not.
///
/// Ends when the two are neighbouring numbers, so the result is exact to rounding.
pub(crate) fn bisect(low: f64, high: f64, is_below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (low, high);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if is_below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}
