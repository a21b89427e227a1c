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
    /// Other processes that hold the card; absent where the driver does not tell all of them.
    pub n_others: Option<u32>,
}

/// Counts what is taken of a card, from [`Self::start`] until it is dropped, and what a part of the
/// work takes of it.
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
    whole: Tally,
    part: Tally,
    /// Whether a part is timed, which looking would disturb.
    is_quiet: bool,
    /// Why energy is not told.
    energy_error: Option<String>,
    /// Why memory is not told.
    memory_error: Option<String>,
    is_over: bool,
}

/// What was seen since a moment.
#[derive(Clone, Copy)]
struct Tally {
    since: Instant,
    energy_mj: Option<u64>,
    peak_used: Option<Bytes>,
    peak_own: Option<Bytes>,
    n_others: Option<u32>,
}

impl CardMeter {
    /// Begins to count.
    pub fn start(counters: Box<dyn CardCounters>) -> Self {
        let tally = Tally::starting(None);
        let mut counts = Counts {
            counters,
            whole: tally,
            part: tally,
            is_quiet: false,
            energy_error: None,
            memory_error: None,
            is_over: false,
        };
        counts.whole = Tally::starting(counts.energy_mj());
        counts.part = counts.whole;
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
        let now_mj = counts.energy_mj();
        let whole = counts.whole;
        counts.card_use(whole, now_mj)
    }

    /// Begins a part. Until [`Self::end_part`] memory is looked at when asked only, so that nothing
    /// disturbs what is timed.
    pub fn begin_part(&self) {
        let mut counts = self.watched.lock();
        counts.is_quiet = true;
        counts.part = Tally::starting(counts.energy_mj());
        counts.look();
    }

    /// Looks at memory now, between two repeats that are timed.
    pub fn look(&self) {
        self.watched.lock().look();
    }

    /// What the part took that began last; it goes on.
    pub fn part_so_far(&self) -> CardUse {
        let mut counts = self.watched.lock();
        counts.look();
        let now_mj = counts.energy_mj();
        let part = counts.part;
        counts.card_use(part, now_mj)
    }

    /// What the part took that began last.
    pub fn end_part(&self) -> CardUse {
        let used = self.part_so_far();
        self.watched.lock().is_quiet = false;
        used
    }

    /// What the driver has not told of this card so far, and why.
    pub fn missing(&self) -> Vec<String> {
        let counts = self.watched.lock();
        let energy = counts.energy_error.as_ref();
        let energy = energy.map(|why| format!("the energy of the card is not measured: {why}"));
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
            if !counts.is_quiet {
                counts.look();
            }
        }
    }
}

impl Tally {
    fn starting(energy_mj: Option<u64>) -> Self {
        Self {
            since: Instant::now(),
            energy_mj,
            peak_used: None,
            peak_own: None,
            n_others: None,
        }
    }

    fn see(&mut self, now: Occupancy) {
        self.peak_used = self.peak_used.max(Some(now.used));
        self.peak_own = self.peak_own.max(now.own);
        self.n_others = self.n_others.max(now.n_others);
    }
}

impl Counts {
    fn look(&mut self) {
        match self.counters.occupancy() {
            Ok(now) => {
                self.whole.see(now);
                self.part.see(now);
            }
            Err(error) => {
                self.memory_error.get_or_insert(error);
            }
        }
    }

    fn energy_mj(&mut self) -> Option<u64> {
        match self.counters.energy_mj() {
            Ok(energy_mj) => Some(energy_mj),
            Err(error) => {
                self.energy_error.get_or_insert(error);
                None
            }
        }
    }

    /// What was taken since `tally` began, of which the counter of energy says `now_mj`.
    fn card_use(&mut self, tally: Tally, now_mj: Option<u64>) -> CardUse {
        let taken_mj = tally.energy_mj.zip(now_mj);
        let taken_mj = taken_mj.and_then(|(before, now)| {
            let taken = now.checked_sub(before);
            if taken.is_none() {
                let fell = "its counter has fallen: the driver was loaded anew";
                self.energy_error.get_or_insert(fell.to_owned());
            }
            taken
        });
        let (of, peak) = match tally.peak_own {
            Some(own) => (CardMemoryOf::Process, Some(own)),
            None => (CardMemoryOf::Card, tally.peak_used),
        };
        // After a look that failed, the largest amount may be one that was not seen.
        let peak = peak.filter(|_| self.memory_error.is_none());
        CardUse {
            seconds: tally.since.elapsed().as_secs_f64(),
            energy_j: taken_mj.map(|millijoules| millijoules as f64 / 1e3),
            peak_memory: peak.map(|bytes| CardMemory { bytes, of }),
            n_others: tally.n_others.filter(|_| self.memory_error.is_none()),
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
        assert!(meter.missing()[0].contains("loaded anew"));
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

    #[test]
    fn a_part_has_numbers_of_its_own_and_is_not_looked_at_meanwhile() {
        let card = played(occupied(900, Some(800), Some(3)));
        let meter = meter(&card);
        {
            let mut card = card.0.lock().unwrap();
            card.energy_mj = Ok(9_000);
            card.occupancy = Ok(occupied(300, Some(200), Some(0)));
        }
        meter.begin_part();
        {
            let mut card = card.0.lock().unwrap();
            card.energy_mj = Ok(9_500);
            card.occupancy = Ok(occupied(400, Some(350), Some(0)));
        }
        meter.look();
        card.0.lock().unwrap().occupancy = Ok(occupied(300, Some(200), Some(0)));
        let part = meter.end_part();
        let peak = |used: &CardUse| used.peak_memory.map(|peak| peak.bytes);
        assert_eq!((part.energy_j, part.n_others), (Some(0.5), Some(0)));
        assert_eq!(peak(&part), Some(Bytes(350)));
        let whole = meter.so_far();
        assert_eq!((whole.energy_j, whole.n_others), (Some(4.5), Some(3)));
        assert_eq!(peak(&whole), Some(Bytes(800)));

        meter.begin_part();
        let (on_look, looked) = mpsc::channel();
        card.0.lock().unwrap().on_look = Some(on_look);
        assert!(looked.recv_timeout(4 * LOOK_EVERY).is_err());
        meter.end_part();
        // It was looked at when the part ended; now the watching thread goes on by itself.
        looked.recv().unwrap();
        looked.recv().unwrap();
    }

    #[test]
    fn a_peak_that_may_have_been_missed_is_not_told() {
        let card = played(occupied(300, Some(200), Some(0)));
        let meter = meter(&card);
        card.0.lock().unwrap().occupancy = Err("the card is lost".to_owned());
        let used = meter.so_far();
        assert_eq!((used.peak_memory, used.n_others), (None, None));
        assert!(meter.missing()[0].ends_with("the card is lost"));
    }
}
