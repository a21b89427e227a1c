//! What all processes of a program use together: memory, and the time they waited for a processor.
//!
//! The address-space limit holds for each process alone; a program that forks could multiply it.
//! The share of shared pages is counted once (`Pss`), so that a fork that copies nothing costs
//! nothing.

use std::fs;
use std::time::Duration;

/// Resident bytes of process `root` and all its descendants. Orphans belong to process 1 of
/// their namespace, so starting there finds every process of a sandbox.
pub(crate) fn resident_bytes(root: i32) -> u64 {
    family(root).into_iter().map(resident_bytes_of_one).sum()
}

/// The longest time that a thread of process `root` or of its descendants was ready to run and had
/// no processor. Source: `schedstat` in the kernel's `Documentation/scheduler/sched-stats.rst`.
pub(crate) fn waited_for_processor(root: i32) -> Duration {
    let threads = family(root)
        .into_iter()
        .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok())
        .flat_map(Iterator::flatten);
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|numbers| numbers.split_whitespace().nth(1)?.parse().ok())
        .max()
        .map_or(Duration::ZERO, Duration::from_nanos)
}

/// A process and all its descendants.
fn family(root: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        found.push(pid);
        todo.extend(children(pid));
    }
    found
}

/// Children of all threads of a process; none if it has ended meanwhile.
fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .flat_map(str::parse)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn resident_bytes_of_one(pid: i32) -> u64 {
    let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
        return 0;
    };
    kibibytes(&rollup, "Pss:").unwrap_or(0) << 10
}

fn kibibytes(rollup: &str, field: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_resident_memory() {
        let own = resident_bytes(std::process::id() as i32);
        assert!(own > 100 << 10, "{own} bytes");
    }

    #[test]
    fn a_process_that_does_not_exist_has_none() {
        assert_eq!(resident_bytes(i32::MAX), 0);
        assert_eq!(waited_for_processor(i32::MAX), Duration::ZERO);
    }

    #[test]
    fn the_share_is_read_in_kibibytes() {
        assert_eq!(
            kibibytes("Rss:  90 kB\nPss:   42 kB\nPss_Dirty: 7 kB\n", "Pss:"),
            Some(42)
        );
    }
}
