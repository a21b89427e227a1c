//! What work takes of a graphics card: energy by the driver's counter, memory and other processes
//! by looking again and again.
//!
//! A peak of memory that comes and goes between two looks is missed; what CubeCL's pools have taken
//! they keep, so that is rare.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use trimtab_domain::{Bytes, CardMemory, CardMemoryOf, CardUse};

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a driver counts of one card.
pub trait CardCounters: Send {
    /// Energy that the card has taken since its driver was loaded, in millijoules.
    ///
    /// # Errors
    ///
    /// What the driver says.
    fn energy_mj(&self) -> Result<u64, String>;

    /// Who uses the card's memory now.
    ///
    /// # Errors
    ///
    /// What the driver says.
    fn occupancy(&self) -> Result<Occupancy, String>;
}

/// Who uses a card's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// All that is in use.
    pub used: Bytes,
    /// What is free.
    pub free: Bytes,
    /// What this process uses; absent where the driver does not tell.
    pub own: Option<Bytes>,
    /// Other processes that compute on the card; absent where this one is not listed, so that it may
    /// be among them under another number.
    pub n_others: Option<u32>,
}

/// Counts what is taken of a card, from [`Self::start`] until it is dropped.
pub struct CardMeter {
    watched: Arc<Watched>,
    watcher: Option<JoinHandle<()>>,
}

impl fmt::Debug for CardMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardMeter").finish_non_exhaustive()
    }
}

struct Watched {
    counts: Mutex<Counts>,
    /// Told when the meter is dropped.
    is_over: Condvar,
}

struct Counts {
    counters: Box<dyn CardCounters>,
    since: Instant,
    energy_mj: Result<u64, String>,
    peak_used: Option<Bytes>,
    peak_own: Option<Bytes>,
    n_others: Option<u32>,
    /// Why memory is not told.
    memory_error: Option<String>,
    is_over: bool,
}

impl CardMeter {
    /// Begins to count.
    pub fn start(counters: Box<dyn CardCounters>) -> Self {
        let mut counts = Counts {
            energy_mj: counters.energy_mj(),
            counters,
            since: Instant::now(),
            peak_used: None,
            peak_own: None,
            n_others: None,
            memory_error: None,
            is_over: false,
        };
        counts.look();
        let watched = Arc::new(Watched {
            counts: Mutex::new(counts),
            is_over: Condvar::new(),
        });
        let watcher = std::thread::spawn({
            let watched = watched.clone();
            move || watched.watch()
        });
        Self {
            watched,
            watcher: Some(watcher),
        }
    }

    /// What was taken since the start.
    pub fn so_far(&self) -> CardUse {
        let mut counts = self.watched.lock();
        counts.look();
        counts.card_use()
    }

    /// What the driver does not tell of this card, and why.
    pub fn missing(&self) -> Vec<String> {
        let counts = self.watched.lock();
        let energy = counts.energy_mj.as_ref().err();
        let energy = energy.map(|why| format!("the energy is not measured: {why}"));
        let memory = counts.memory_error.as_ref();
        let memory = memory.map(|why| format!("the memory of the card is not measured: {why}"));
        energy.into_iter().chain(memory).collect()
    }
}

impl Drop for CardMeter {
    fn drop(&mut self) {
        self.watched.lock().is_over = true;
        self.watched.is_over.notify_all();
        if let Some(watcher) = self.watcher.take() {
            watcher.join().expect("looking at a card does not panic");
        }
    }
}

impl Watched {
    /// Numbers stay true where a thread has panicked: each is written at once.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        let mut counts = self.lock();
        while !counts.is_over {
            let waited = self.is_over.wait_timeout(counts, LOOK_EVERY);
            (counts, _) = waited.unwrap_or_else(PoisonError::into_inner);
            counts.look();
        }
    }
}

impl Counts {
    fn look(&mut self) {
        let now = match self.counters.occupancy() {
            Ok(now) => now,
            Err(error) => {
                self.memory_error.get_or_insert(error);
                return;
            }
        };
        self.peak_used = self.peak_used.max(Some(now.used));
        self.peak_own = self.peak_own.max(now.own);
        self.n_others = self.n_others.max(now.n_others);
    }

    fn card_use(&mut self) -> CardUse {
        let seconds = self.since.elapsed().as_secs_f64();
        let now_mj = self.counters.energy_mj();
        if let Err(error) = &now_mj {
            self.energy_mj = Err(error.clone());
        }
        let taken_mj = self.energy_mj.clone().ok().zip(now_mj.ok());
        // A counter that has fallen was started anew, with the driver.
        let taken_mj = taken_mj.and_then(|(before, now)| now.checked_sub(before));
        let (of, peak) = match self.peak_own {
            Some(own) => (CardMemoryOf::Process, Some(own)),
            None => (CardMemoryOf::Card, self.peak_used),
        };
        CardUse {
            seconds,
            energy_j: taken_mj.map(|millijoules| millijoules as f64 / 1e3),
            peak_memory: peak.map(|bytes| CardMemory { bytes, of }),
            n_others: self.n_others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A card that another thread plays.
    #[derive(Clone)]
    struct Played(Arc<Mutex<Card>>);

    struct Card {
        energy_mj: Result<u64, String>,
        occupancy: Result<Occupancy, String>,
        on_look: Option<mpsc::Sender<()>>,
    }

    impl CardCounters for Played {
        fn energy_mj(&self) -> Result<u64, String> {
            self.0.lock().unwrap().energy_mj.clone()
        }

        fn occupancy(&self) -> Result<Occupancy, String> {
            let card = self.0.lock().unwrap();
            if let Some(on_look) = &card.on_look {
                on_look.send(()).ok();
            }
            card.occupancy.clone()
        }
    }

    fn occupied(used: u64, own: Option<u64>, n_others: Option<u32>) -> Occupancy {
        Occupancy {
            used: Bytes(used),
            free: Bytes(1000 - used),
            own: own.map(Bytes),
            n_others,
        }
    }

    fn played(occupancy: Occupancy) -> Played {
        Played(Arc::new(Mutex::new(Card {
            energy_mj: Ok(5_000),
            occupancy: Ok(occupancy),
            on_look: None,
        })))
    }

    fn meter(card: &Played) -> CardMeter {
        CardMeter::start(Box::new(card.clone()))
    }

    #[test]
    fn energy_is_what_the_counter_rose_by() {
        let card = played(occupied(10, None, None));
        let meter = meter(&card);
        assert_eq!(meter.so_far().energy_j, Some(0.0));
        card.0.lock().unwrap().energy_mj = Ok(7_500);
        let used = meter.so_far();
        assert_eq!(used.energy_j, Some(2.5));
        assert!(0.0 < used.seconds);
        assert!(meter.missing().is_empty());
        // The driver was loaded anew.
        card.0.lock().unwrap().energy_mj = Ok(100);
        assert_eq!(meter.so_far().energy_j, None);
    }

    #[test]
    fn a_peak_between_two_questions_is_seen() {
        let card = played(occupied(10, Some(4), Some(0)));
        let meter = meter(&card);
        let (on_look, looked) = mpsc::channel();
        {
            let mut card = card.0.lock().unwrap();
            card.occupancy = Ok(occupied(700, Some(600), Some(2)));
            card.on_look = Some(on_look);
        }
        // The watching thread looks by itself.
        looked.recv().unwrap();
        {
            let mut card = card.0.lock().unwrap();
            card.occupancy = Ok(occupied(20, Some(5), Some(0)));
            card.on_look = None;
        }
        let used = meter.so_far();
        let peak = CardMemory {
            bytes: Bytes(600),
            of: CardMemoryOf::Process,
        };
        assert_eq!((used.peak_memory, used.n_others), (Some(peak), Some(2)));
    }

    #[test]
    fn a_process_that_is_not_listed_is_not_told_from_others() {
        let card = played(occupied(300, None, None));
        let used = meter(&card).so_far();
        let peak = CardMemory {
            bytes: Bytes(300),
            of: CardMemoryOf::Card,
        };
        assert_eq!((used.peak_memory, used.n_others), (Some(peak), None));
    }

    #[test]
    fn what_the_driver_refuses_is_missing_with_its_reason() {
        let card = played(occupied(1, None, None));
        {
            let mut card = card.0.lock().unwrap();
            card.energy_mj = Err("not supported".to_owned());
            card.occupancy = Err("no permission".to_owned());
        }
        let meter = meter(&card);
        let used = meter.so_far();
        assert_eq!((used.energy_j, used.peak_memory), (None, None));
        let missing = meter.missing();
        assert!(missing[0].contains("energy") && missing[0].ends_with("not supported"));
        assert!(missing[1].contains("memory") && missing[1].ends_with("no permission"));
    }
}
