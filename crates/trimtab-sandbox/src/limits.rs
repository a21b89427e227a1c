//! How much a program may use before it is stopped.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The limits of one program. Part of what makes a verdict reproducible: store them with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Elapsed time, counted from the moment the program starts (not from the sandbox's start),
    /// without the time that it waited for a processor.
    pub wall: Duration,
    /// CPU time of one process, rounded up to whole seconds.
    pub cpu: Duration,
    /// Address space of one process, and resident memory of all processes together.
    pub memory_bytes: u64,
    /// Processes and threads at one time, the program's first one included.
    pub n_processes: u32,
    /// Size of one file.
    pub file_bytes: u64,
    /// All files in the private `/tmp` together.
    pub tmp_bytes: u64,
    /// Standard output and standard error together.
    pub output_bytes: u64,
}

impl Default for Limits {
    /// Generous for a programming exercise, small enough to grade several at a time on a laptop.
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(10),
            cpu: Duration::from_secs(5),
            memory_bytes: 512 << 20,
            n_processes: 16,
            file_bytes: 16 << 20,
            tmp_bytes: 32 << 20,
            output_bytes: 256 << 10,
        }
    }
}

/// No program is stopped earlier, however quick its reference solution is.
const MIN_TIME_OUT: Duration = Duration::from_secs(4);

/// How much longer than the reference solution a program may take.
const SLACK: u32 = 4;

impl Limits {
    /// The limits of a program whose reference solution took `reference` of CPU time: CPU time up
    /// to max(4 s, 4 × reference), and half as much again of wall-clock time for waiting.
    #[must_use]
    pub fn for_reference(reference: Duration) -> Self {
        let cpu = reference.saturating_mul(SLACK).max(MIN_TIME_OUT);
        Self {
            wall: cpu.saturating_add(cpu / 2),
            cpu,
            ..Self::default()
        }
    }

    /// CPU seconds as the kernel counts them: whole, at least one.
    pub(crate) fn cpu_seconds(&self) -> u64 {
        let has_fraction = self.cpu.subsec_nanos() > 0;
        (self.cpu.as_secs() + u64::from(has_fraction)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_out_follows_the_reference_solution() {
        let cpu = |millis| Limits::for_reference(Duration::from_millis(millis)).cpu;
        assert_eq!(cpu(0), Duration::from_secs(4));
        assert_eq!(cpu(1000), Duration::from_secs(4));
        assert_eq!(cpu(2500), Duration::from_secs(10));
        let limits = Limits::for_reference(Duration::MAX);
        assert_eq!((limits.cpu, limits.wall), (Duration::MAX, Duration::MAX));
    }

    #[test]
    fn cpu_time_is_rounded_up_to_whole_seconds() {
        let seconds = |millis| {
            Limits {
                cpu: Duration::from_millis(millis),
                ..Limits::default()
            }
            .cpu_seconds()
        };
        assert_eq!(seconds(0), 1);
        assert_eq!(seconds(1000), 1);
        assert_eq!(seconds(1001), 2);
    }
}
