//! How fast something moves, to say how long it will still take: in terminal and browser alike.

use crate::{Timestamp, format_duration_ms};
use serde::{Deserialize, Serialize};

/// Nothing is promised before one part in so many of the whole was seen to pass: units differ in
/// what follows them, and a twentieth has some of each.
const LEAST_PART: u64 = 20;

/// First and latest sighting of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    first: (Timestamp, u64),
    latest: (Timestamp, u64),
}

impl Pace {
    /// A counter seen for the first time.
    pub fn starting(at: Timestamp, n_done: u64) -> Self {
        Self {
            first: (at, n_done),
            latest: (at, n_done),
        }
    }

    /// The same counter, seen again.
    #[must_use]
    pub fn seen(self, at: Timestamp, n_done: u64) -> Self {
        if n_done < self.first.1 {
            Self::starting(at, n_done)
        } else {
            Self {
                latest: (at, n_done),
                ..self
            }
        }
    }

    /// Time until the counter reaches `n_total` if it goes on as before; `None` until enough of the
    /// whole was seen to pass.
    pub fn remaining_ms(self, n_total: u64) -> Option<f64> {
        let duration_ms = (self.latest.0.0 - self.first.0.0) as f64;
        let n_moved = self.latest.1.checked_sub(self.first.1)?;
        let is_enough = n_moved.saturating_mul(LEAST_PART) >= n_total;
        let is_moving = n_moved > 0 && duration_ms > 0.0 && is_enough;
        is_moving
            .then(|| n_total.saturating_sub(self.latest.1) as f64 * duration_ms / n_moved as f64)
    }

    /// `about 40 s left`.
    pub fn remaining_text(self, n_total: u64) -> Option<String> {
        let remaining_ms = self.remaining_ms(n_total)?;
        let rounded = if remaining_ms < 60_000.0 {
            format!("{:.0} s", (remaining_ms / 1000.0).ceil())
        } else {
            format_duration_ms(remaining_ms)
        };
        Some(format!("about {rounded} left"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_per_unit_as_what_is_done() {
        let pace = Pace::starting(Timestamp(0), 10).seen(Timestamp(5_000), 20);
        assert_eq!(pace.remaining_ms(60), Some(20_000.0));
        assert_eq!(pace.remaining_text(60).as_deref(), Some("about 20 s left"));
    }

    #[test]
    fn nothing_is_promised_before_enough_has_passed() {
        let pace = Pace::starting(Timestamp(0), 3);
        assert_eq!(pace.remaining_ms(9), None);
        assert_eq!(pace.seen(Timestamp(4_000), 3).remaining_ms(9), None);
        assert_eq!(pace.seen(Timestamp(4_000), 12).remaining_ms(200), None);
        let seen = pace.seen(Timestamp(4_000), 13);
        assert_eq!(seen.remaining_ms(200), Some(74_800.0));
    }

    #[test]
    fn a_counter_that_starts_over_forgets_its_pace() {
        let pace = Pace::starting(Timestamp(0), 5).seen(Timestamp(1_000), 2);
        assert_eq!(pace.remaining_ms(10), None);
    }

    #[test]
    fn beyond_the_total_nothing_is_left() {
        let pace = Pace::starting(Timestamp(0), 0).seen(Timestamp(1_000), 12);
        assert_eq!(pace.remaining_ms(10), Some(0.0));
    }
}
