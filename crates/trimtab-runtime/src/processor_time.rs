//! Processor time of this process, and how much of the machine others used meanwhile.

use std::time::{Duration, Instant};

/// Below this the system's count, in hundredths of a second for each core, is too coarse.
const SHORTEST: Duration = Duration::from_millis(500);

/// User and system time of all threads of this process so far.
pub fn processor_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is as large as the call wants, and all zero bits are valid for it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.max(0) as u64)
            + Duration::from_micros(time.tv_usec.max(0) as u64)
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// Watches how busy the machine is with other work, from [`Self::start`] on.
#[derive(Clone, Copy, Debug)]
pub struct QuietWatch {
    clock: Instant,
    own: Duration,
    machine: Option<MachineTime>,
}

/// Ticks of all cores together since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MachineTime {
    busy: u64,
    total: u64,
}

impl QuietWatch {
    /// Begins to watch.
    pub fn start() -> Self {
        Self {
            clock: Instant::now(),
            own: processor_time(),
            machine: machine_time(),
        }
    }

    /// Share of the machine's cores, 0 to 1, that was busy with other than this process; time that
    /// the host of a virtual machine took away counts. `None` where the system does not tell, and
    /// for less than half a second.
    pub fn other_load(&self) -> Option<f64> {
        if self.clock.elapsed() < SHORTEST {
            return None;
        }
        let own = processor_time().saturating_sub(self.own);
        other_share(
            self.machine?,
            machine_time()?,
            own.as_secs_f64() * ticks_per_second()?,
        )
    }
}

fn other_share(before: MachineTime, after: MachineTime, own_ticks: f64) -> Option<f64> {
    let busy = after.busy.checked_sub(before.busy)? as f64;
    let total = after.total.checked_sub(before.total)? as f64;
    (total > 0.0).then(|| ((busy - own_ticks) / total).clamp(0.0, 1.0))
}

fn ticks_per_second() -> Option<f64> {
    // SAFETY: the call reads a constant of the system.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    (ticks > 0).then_some(ticks as f64)
}

fn machine_time() -> Option<MachineTime> {
    parse_stat(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq and steal; what
/// guests used follows, and is in user and nice already.
fn parse_stat(text: &str) -> Option<MachineTime> {
    let fields = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let sum = |ticks: &[u64]| {
        ticks
            .iter()
            .try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks))
    };
    let idle = sum(ticks.get(3..5)?)?;
    let total = sum(&ticks)?;
    Some(MachineTime {
        busy: total - idle,
        total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_time_is_read_from_its_first_line() {
        let stat = "cpu  10 1 5 100 20 2 3 4 7 0\ncpu0 1 2 3 4\n";
        let time = parse_stat(stat).unwrap();
        assert_eq!((time.busy, time.total), (25, 145));
        for wrong in ["", "cpu0 1 2 3 4 5", "cpu  1 2 x 4 5", "cpu  1 2 3"] {
            assert_eq!(parse_stat(wrong), None, "{wrong}");
        }
        let huge = format!("cpu  {0} {0} 0 0 0 0 0 0", u64::MAX);
        assert_eq!(parse_stat(&huge), None);
    }

    #[test]
    fn what_is_not_ours_is_others() {
        let at = |busy, total| MachineTime { busy, total };
        let share = |own| other_share(at(100, 1000), at(200, 1400), own);
        assert_eq!(share(60.0), Some(0.1));
        // Our own count is finer than the machine's.
        assert_eq!(share(101.0), Some(0.0));
        assert_eq!(other_share(at(1, 5), at(1, 5), 0.0), None);
        assert_eq!(other_share(at(2, 5), at(1, 6), 0.0), None);
    }

    #[test]
    fn work_takes_processor_time() {
        let before = processor_time();
        let mut sum = 0_u64;
        while processor_time() == before {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(processor_time() > before);
    }

    #[test]
    fn a_short_watch_tells_nothing() {
        assert_eq!(QuietWatch::start().other_load(), None);
    }
}
