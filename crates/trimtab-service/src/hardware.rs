//! The machine that a run is measured on.

use std::fs;
use trimtab_domain::Hardware;

/// What `/proc` and the kernels say of this machine.
pub(crate) fn hardware() -> Hardware {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory_info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Hardware {
        cpu: field(&cpu_info, "model name")
            .unwrap_or("unknown")
            .to_owned(),
        n_threads: n_threads(),
        memory_bytes: total_memory_bytes(&memory_info).unwrap_or(0),
        simd: trimtab_kernels::Simd::detect().name().to_owned(),
        os: format!("Linux {}", release.trim()),
    }
}

/// Threads that workers use.
pub(crate) fn n_threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn total_memory_bytes(memory_info: &str) -> Option<u64> {
    let kibibytes: u64 = field(memory_info, "MemTotal")?
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_of_proc() {
        let cpu_info = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\n";
        assert_eq!(field(cpu_info, "model name"), Some("AMD EPYC 7B13"));
        assert_eq!(
            total_memory_bytes("MemTotal:       24576 kB\n"),
            Some(24_576 * 1024)
        );
        assert_eq!(total_memory_bytes(""), None);
    }

    #[test]
    fn this_machine_has_threads_and_memory() {
        let machine = hardware();
        assert!(machine.n_threads >= 1 && machine.memory_bytes > 0);
    }
}
