//! Memory of all processes of a program together.
//!
//! The address-space limit holds for each process alone; a program that forks could multiply it.
//! The share of shared pages is counted once (`Pss`), so that a fork that copies nothing costs
//! nothing.

use std::fs;

/// Resident bytes of process `root` and all its descendants. Orphans belong to process 1 of
/// their namespace, so starting there finds every process of a sandbox.
pub(crate) fn resident_bytes(root: i32) -> u64 {
    let mut total = 0;
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        total += resident_bytes_of_one(pid);
        todo.extend(children(pid));
    }
    total
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
    }

    #[test]
    fn the_share_is_read_in_kibibytes() {
        assert_eq!(
            kibibytes("Rss:  90 kB\nPss:   42 kB\nPss_Dirty: 7 kB\n", "Pss:"),
            Some(42)
        );
    }
}
