//! What a graphics card gave to a piece of work, as its driver counts.

use crate::{Bytes, format_duration_ms};
use serde::{Deserialize, Serialize};

/// Time, energy and memory of a card that work took. What the driver does not tell is absent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardUse {
    /// Seconds by the clock that the card was held, busy or not.
    pub seconds: f64,
    /// Joules that the whole card took meanwhile, what it takes when idle included.
    pub energy_j: Option<f64>,
    /// Most memory in use at once.
    pub peak_memory: Option<CardMemory>,
    /// Most other processes that held the card at once, busy or not.
    pub n_others: Option<u32>,
}

/// An amount of a card's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardMemory {
    /// How much.
    pub bytes: Bytes,
    /// Whose.
    pub of: CardMemoryOf,
}

/// Whose memory was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardMemoryOf {
    /// That of the process which did the work.
    Process,
    /// All that is in use on the card: the driver did not tell processes apart, as in a container.
    Card,
}

impl CardMemoryOf {
    /// The word used in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Card => "card",
        }
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Process, Self::Card]
            .into_iter()
            .find(|of| of.as_str() == text)
    }
}

impl CardUse {
    /// Hours that the card was held.
    pub fn gpu_hours(&self) -> f64 {
        self.seconds / 3600.0
    }

    /// Mean power in watts; absent without energy, and for work that took no time.
    pub fn mean_power_w(&self) -> Option<f64> {
        let power = self.energy_j? / self.seconds;
        (0.0 < self.seconds).then_some(power)
    }

    /// This and later work together: energy is known only if that of both is.
    #[must_use]
    pub fn and(&self, later: &Self) -> Self {
        Self {
            seconds: self.seconds + later.seconds,
            energy_j: self.energy_j.zip(later.energy_j).map(|(a, b)| a + b),
            peak_memory: larger(self.peak_memory, later.peak_memory),
            n_others: self.n_others.max(later.n_others),
        }
    }

    /// `45.0 s on a card · 3.40 Wh (272 W) · peak 2.10 GB`.
    pub fn in_words(&self) -> String {
        let energy = self.energy_j.map(|joules| {
            let power = self.mean_power_w();
            let power = power.map_or_else(String::new, |watts| format!(" ({watts:.0} W)"));
            format!("{}{power}", energy_words(joules))
        });
        let peak = self
            .peak_memory
            .map(|peak| format!("peak {}", peak.in_words()));
        let hours = format!("{} on a card", format_duration_ms(1e3 * self.seconds));
        [Some(hours), energy, peak]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" · ")
    }

    /// Other processes on the card, if there were any.
    pub fn n_disturbing(&self) -> Option<u32> {
        self.n_others.filter(|n_others| 0 < *n_others)
    }
}

/// What it means for speeds that `n_others` processes held the same card.
pub fn shared_card_words(n_others: u32) -> String {
    let (processes, they) = match n_others {
        1 => ("another process".to_owned(), "it"),
        _ => (format!("{n_others} other processes"), "they"),
    };
    format!(
        "{processes} held the card while speed was measured: if {they} computed, these numbers are slower, \
         and differ more, than on a card of one's own, and the energy is that of all"
    )
}

impl CardMemory {
    /// `2.10 GB`, and whose it is where that is more than the work's own.
    pub fn in_words(&self) -> String {
        match self.of {
            CardMemoryOf::Process => self.bytes.to_string(),
            CardMemoryOf::Card => format!("{} of all processes", self.bytes),
        }
    }
}

/// An energy in the unit that people pay for, or in joules where that would be next to nothing.
pub fn energy_words(joules: f64) -> String {
    let watt_hours = joules / 3600.0;
    match watt_hours {
        _ if 1000.0 <= watt_hours => format!("{:.2} kWh", watt_hours / 1e3),
        _ if 0.1 <= watt_hours => format!("{watt_hours:.2} Wh"),
        _ => format!("{joules:.1} J"),
    }
}

/// The larger of two peaks. One of the whole card wins over one of a process, which it contains
/// or which was told while it could not be.
fn larger(a: Option<CardMemory>, b: Option<CardMemory>) -> Option<CardMemory> {
    let (a, b) = match (a, b) {
        (Some(a), Some(b)) => (a, b),
        (known, None) | (None, known) => return known,
    };
    let of = match (a.of, b.of) {
        (CardMemoryOf::Process, CardMemoryOf::Process) => CardMemoryOf::Process,
        _ => CardMemoryOf::Card,
    };
    let bytes = a.bytes.max(b.bytes);
    Some(CardMemory { bytes, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: u64, of: CardMemoryOf) -> CardMemory {
        let bytes = Bytes(bytes);
        CardMemory { bytes, of }
    }

    fn used() -> CardUse {
        CardUse {
            seconds: 45.0,
            energy_j: Some(12_240.0),
            peak_memory: Some(memory(2_100_000_000, CardMemoryOf::Process)),
            n_others: Some(0),
        }
    }

    #[test]
    fn units_follow_from_seconds_and_joules() {
        assert!((used().gpu_hours() - 0.0125).abs() < 1e-12);
        assert_eq!(used().mean_power_w(), Some(272.0));
        let nothing = CardUse {
            seconds: 0.0,
            ..used()
        };
        assert_eq!(nothing.mean_power_w(), None);
        assert_eq!(energy_words(12_240.0), "3.40 Wh");
        assert_eq!(energy_words(7_200_000.0), "2.00 kWh");
        assert_eq!(energy_words(35.0), "35.0 J");
    }

    #[test]
    fn words_name_what_is_known_only() {
        let words = used().in_words();
        assert!(
            words.ends_with(" on a card · 3.40 Wh (272 W) · peak 2.10 GB"),
            "{words}"
        );
        let unknown = CardUse {
            energy_j: None,
            peak_memory: Some(memory(3_000_000_000, CardMemoryOf::Card)),
            ..used()
        };
        let words = unknown.in_words();
        assert!(
            words.ends_with(" on a card · peak 3.00 GB of all processes"),
            "{words}"
        );
    }

    #[test]
    fn attempts_add_up_and_what_one_of_them_lacks_is_not_made_up() {
        let later = CardUse {
            seconds: 5.0,
            energy_j: Some(60.0),
            peak_memory: Some(memory(3_000_000_000, CardMemoryOf::Process)),
            n_others: Some(2),
        };
        let both = used().and(&later);
        assert_eq!((both.seconds, both.energy_j), (50.0, Some(12_300.0)));
        assert_eq!(
            (both.peak_memory, both.n_others),
            (later.peak_memory, Some(2))
        );
        let blind = CardUse {
            energy_j: None,
            peak_memory: Some(memory(1, CardMemoryOf::Card)),
            n_others: None,
            ..later
        };
        let both = used().and(&blind);
        assert_eq!((both.energy_j, both.n_others), (None, Some(0)));
        let of_card = memory(2_100_000_000, CardMemoryOf::Card);
        assert_eq!(both.peak_memory, Some(of_card));
    }

    #[test]
    fn others_on_the_card_are_warned_of() {
        assert_eq!(used().n_disturbing(), None);
        let disturbing = |n_others| CardUse { n_others, ..used() }.n_disturbing();
        assert_eq!((disturbing(None), disturbing(Some(2))), (None, Some(2)));
        assert!(shared_card_words(1).starts_with("another process"));
        assert!(shared_card_words(3).starts_with("3 other processes"));
    }

    #[test]
    fn words_of_the_store_read_back() {
        for of in [CardMemoryOf::Process, CardMemoryOf::Card] {
            assert_eq!(CardMemoryOf::parse(of.as_str()), Some(of));
        }
        assert_eq!(CardMemoryOf::parse("nobody"), None);
        let text = serde_json::to_string(&used()).unwrap();
        assert_eq!(serde_json::from_str::<CardUse>(&text).unwrap(), used());
    }
}
