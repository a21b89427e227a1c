//! Quantities with their unit, and how people read them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A size in bytes. Shown in decimal units, as file managers and vendors do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, f64); 3] = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
        let bytes = self.0 as f64;
        match UNITS.iter().find(|(_, size)| bytes >= *size) {
            Some((unit, size)) if bytes / size >= 100.0 => write!(f, "{:.0} {unit}", bytes / size),
            Some((unit, size)) => write!(f, "{:.2} {unit}", bytes / size),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A moment: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// `YYYY-MM-DD HH:MM UTC`.
    ///
    /// Source: the civil-from-days algorithm of Howard Hinnant,
    /// <https://howardhinnant.github.io/date_algorithms.html>.
    pub fn to_utc_text(self) -> String {
        let minutes = self.0.div_euclid(60_000);
        let (days, minute_of_day) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute) = (minute_of_day / 60, minute_of_day % 60);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

/// A duration for people: `840 ms`, `12.4 s`, `3 min 05 s`, `2 h 10 min`.
pub fn format_duration_ms(duration_ms: f64) -> String {
    let seconds = duration_ms / 1e3;
    if duration_ms < 10.0 {
        format!("{duration_ms:.1} ms")
    } else if duration_ms < 1e3 {
        format!("{duration_ms:.0} ms")
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else if seconds < 3600.0 {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        let minutes = (seconds / 60.0).round() as u64;
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_three_figures() {
        let shown = |n| Bytes(n).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(999), "999 B");
        assert_eq!(shown(491_400_064), "491 MB");
        assert_eq!(shown(1_260_000_000), "1.26 GB");
    }

    #[test]
    fn timestamps_cross_leap_days_and_the_epoch() {
        assert_eq!(Timestamp(0).to_utc_text(), "1970-01-01 00:00 UTC");
        assert_eq!(Timestamp(-60_000).to_utc_text(), "1969-12-31 23:59 UTC");
        assert_eq!(
            Timestamp(951_782_400_000).to_utc_text(),
            "2000-02-29 00:00 UTC"
        );
    }

    #[test]
    fn durations_change_unit_with_size() {
        assert_eq!(format_duration_ms(8.25), "8.2 ms");
        assert_eq!(format_duration_ms(12_400.0), "12.4 s");
        assert_eq!(format_duration_ms(185_000.0), "3 min 05 s");
        assert_eq!(format_duration_ms(7_800_000.0), "2 h 10 min");
    }
}
