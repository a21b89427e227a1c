//! What a job takes of a graphics card, told while it goes on: a job that is killed has told nearly
//! all of it.

use std::time::{Duration, Instant};
use trimtab_domain::{JobEvent, LogLevel};
use trimtab_runtime::CardMeter;

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

/// Does `work` and tells `sink` what `meter` counts meanwhile: between other events, and at the end,
/// however it ends.
pub(crate) fn metered<R>(
    meter: &CardMeter,
    sink: &mut Sink<'_>,
    work: impl FnOnce(&mut Sink<'_>) -> R,
) -> R {
    for message in meter.missing() {
        let level = LogLevel::Warning;
        sink(JobEvent::Log { level, message });
    }
    let mut told = Instant::now();
    let outcome = work(&mut |event| {
        sink(event);
        if TELL_EVERY <= told.elapsed() {
            told = Instant::now();
            sink(card_used(meter));
        }
    });
    sink(card_used(meter));
    outcome
}

fn card_used(meter: &CardMeter) -> JobEvent {
    JobEvent::CardUsed {
        total: meter.so_far(),
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

    #[test]
    fn the_end_is_told_after_all_that_was_done() {
        let meter = CardMeter::start(Box::new(Old));
        let mut events = Vec::new();
        let outcome = metered(&meter, &mut |event| events.push(event), |sink| {
            sink(JobEvent::Finished);
            Err::<(), _>("failed")
        });
        assert_eq!(outcome, Err("failed"));
        let [
            JobEvent::Log { message, .. },
            JobEvent::Finished,
            JobEvent::CardUsed { total },
        ] = events.as_slice()
        else {
            panic!("{events:?}");
        };
        assert!(message.contains("too old"), "{message}");
        assert_eq!(total.peak_memory.map(|peak| peak.bytes), Some(Bytes(7)));
        assert_eq!(total.energy_j, None);
    }
}
