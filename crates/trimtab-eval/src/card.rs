//! What a job takes of a graphics card, told while it goes on: a job that is killed has told nearly
//! all of it.

use std::time::{Duration, Instant};
use trimtab_domain::{DeviceName, JobEvent, LogLevel};
use trimtab_runtime::{CardMeter, card_counters};

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

/// Does `work`, and tells `sink` what it takes of `device` if that is a card; the work may ask its meter.
pub fn on_device<R>(
    device: DeviceName,
    sink: &mut Sink<'_>,
    work: impl FnOnce(Option<&CardMeter>, &mut Sink<'_>) -> R,
) -> R {
    let Some(counters) = card_counters(device) else {
        return work(None, sink);
    };
    let meter = CardMeter::start(counters);
    metered(&meter, TELL_EVERY, sink, |sink| work(Some(&meter), sink))
}

/// Does `work` and tells `sink` what `meter` counts: at once, after other events where it was not told
/// for as long as `every`, and at the end, however the work ends.
fn metered<R>(
    meter: &CardMeter,
    every: Duration,
    sink: &mut Sink<'_>,
    work: impl FnOnce(&mut Sink<'_>) -> R,
) -> R {
    let mut n_warned = 0;
    warn_of_missing(meter, &mut n_warned, sink);
    sink(card_used(meter));
    let mut told = Instant::now();
    let outcome = work(&mut |event| {
        sink(event);
        if every <= told.elapsed() {
            told = Instant::now();
            sink(card_used(meter));
        }
    });
    sink(card_used(meter));
    warn_of_missing(meter, &mut n_warned, sink);
    outcome
}

fn card_used(meter: &CardMeter) -> JobEvent {
    JobEvent::CardUsed {
        total: meter.so_far(),
    }
}

/// What is missing now and was not when `n_warned` were missing.
fn warn_of_missing(meter: &CardMeter, n_warned: &mut usize, sink: &mut Sink<'_>) {
    let missing = meter.missing();
    if missing.len() <= *n_warned {
        return;
    }
    *n_warned = missing.len();
    for message in missing {
        let level = LogLevel::Warning;
        sink(JobEvent::Log { level, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::Bytes;
    use trimtab_runtime::{CardCounters, Occupancy};

    /// A card that counts no energy.
    struct Old;

    impl CardCounters for Old {
        fn energy_mj(&self) -> Result<u64, String> {
            Err("too old".to_owned())
        }

        fn occupancy(&self) -> Result<Occupancy, String> {
            Ok(Occupancy {
                used: Bytes(7),
                free: Bytes(1),
                own: None,
                n_others: None,
            })
        }
    }

    /// The kinds of events of a job that fails after three steps.
    fn told(every: Duration) -> Vec<&'static str> {
        let meter = CardMeter::start(Box::new(Old));
        let mut kinds = Vec::new();
        let mut sink = |event| {
            kinds.push(match event {
                JobEvent::Log { message, .. } if message.contains("too old") => "warning",
                JobEvent::CardUsed { total } if total.peak_memory.is_some() => "card",
                JobEvent::Progress { .. } => "step",
                _ => "other",
            });
        };
        let outcome = metered(&meter, every, &mut sink, |sink| {
            for n_done in 0..3 {
                sink(JobEvent::Progress {
                    stage: String::new(),
                    n_done,
                    n_total: 3,
                });
            }
            Err::<(), _>("failed")
        });
        assert_eq!(outcome, Err("failed"));
        kinds
    }

    #[test]
    fn it_is_told_at_once_meanwhile_and_at_the_end() {
        let long = Duration::from_hours(1);
        assert_eq!(
            told(long),
            ["warning", "card", "step", "step", "step", "card"]
        );
        assert_eq!(
            told(Duration::ZERO),
            [
                "warning", "card", "step", "card", "step", "card", "step", "card", "card"
            ]
        );
    }
}
