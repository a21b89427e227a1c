//! The machine that a run is measured on.

use crate::process;
use std::fs;
use std::path::{Path, PathBuf};
use trimtab_domain::{Bytes, DeviceName, Hardware, MemoryPlace};
use trimtab_runtime::free_card_memory;

/// What `/proc` and the kernels say of this machine, and where its models are computed.
pub(crate) fn hardware(device: DeviceName) -> Hardware {
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
        device,
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
    memory_field(memory_info, "MemTotal")
}

fn memory_field(memory_info: &str, name: &str) -> Option<u64> {
    let kibibytes: u64 = field(memory_info, name)?
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    kibibytes.checked_mul(1024)
}

/// The memories that a model can be held in: the machine's, then that of every graphics card that
/// NVIDIA's driver lists. Starts a program, so callers do not wait on it.
pub(crate) fn memory_places() -> Vec<MemoryPlace> {
    let query = "--query-gpu=name,memory.total,memory.free";
    let format = "--format=csv,noheader,nounits";
    let cards = process::answer_of(Path::new("nvidia-smi"), &[query, format]);
    std::iter::once(machine_memory())
        .chain(graphics_memories(&cards.unwrap_or_default()))
        .collect()
}

/// The machine's memory, or what a container may use of it.
fn machine_memory() -> MemoryPlace {
    let memory_info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = MemoryPlace {
        name: "this machine's memory".to_owned(),
        total: Bytes(memory_field(&memory_info, "MemTotal").unwrap_or(0)),
        free: Bytes(memory_field(&memory_info, "MemAvailable").unwrap_or(0)),
    };
    control_groups().iter().fold(machine, |place, folder| {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let limits = (
            read("memory.max"),
            read("memory.current"),
            read("memory.stat"),
        );
        limited(place, [&limits.0, &limits.1, &limits.2])
    })
}

/// The memory that is free for a device's caches; `None` where it is not known, so that only the
/// driver can refuse what does not fit.
pub(crate) fn free_memory_of(device: DeviceName) -> Option<Bytes> {
    if let DeviceName::Cuda(_) = device {
        return free_card_memory(device);
    }
    let memory_info = fs::read_to_string("/proc/meminfo").ok()?;
    memory_field(&memory_info, "MemAvailable")?;
    Some(machine_memory().free)
}

/// Folders of this process's control group and those above it (cgroups, version 2).
fn control_groups() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return Vec::new();
    };
    let root = Path::new("/sys/fs/cgroup");
    let below = root.join(path);
    let folders = below
        .ancestors()
        .take_while(|folder| folder.starts_with(root));
    folders.map(Path::to_owned).collect()
}

/// `place` under the limit of a control group; cached files are given up when memory runs short,
/// so they count as free.
fn limited(place: MemoryPlace, [max, current, stat]: [&str; 3]) -> MemoryPlace {
    let Ok(max) = max.trim().parse::<u64>() else {
        return place;
    };
    let cached = stat.lines().filter_map(|line| {
        let (name, bytes) = line.split_once(' ')?;
        ["active_file", "inactive_file"]
            .contains(&name)
            .then(|| bytes.parse::<u64>().ok())?
    });
    let cached: u64 = cached.fold(0, u64::saturating_add);
    let used = current
        .trim()
        .parse::<u64>()
        .unwrap_or(0)
        .saturating_sub(cached);
    MemoryPlace {
        total: place.total.min(Bytes(max)),
        free: place.free.min(Bytes(max.saturating_sub(used))),
        ..place
    }
}

/// Lines of `name, MiB in all, MiB free`.
fn graphics_memories(csv: &str) -> Vec<MemoryPlace> {
    let place = |(idx, line): (usize, &str)| {
        let mut fields = line.rsplitn(3, ',').map(str::trim);
        let mut mebibytes = || fields.next()?.parse::<u64>().ok()?.checked_mul(1 << 20);
        let (free, total) = (Bytes(mebibytes()?), Bytes(mebibytes()?));
        let name = format!("GPU {idx}, {}", fields.next()?);
        Some(MemoryPlace { name, total, free })
    };
    csv.lines().enumerate().filter_map(place).collect()
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

    fn place(total: u64, free: u64) -> MemoryPlace {
        MemoryPlace {
            name: "m".to_owned(),
            total: Bytes(total),
            free: Bytes(free),
        }
    }

    #[test]
    fn a_container_has_no_more_than_its_limit_and_gets_its_cached_files_back() {
        assert_eq!(
            limited(place(100, 80), ["max\n", "7\n", ""]),
            place(100, 80)
        );
        let stat = "anon 10\nactive_file 3\ninactive_file 4\n";
        assert_eq!(
            limited(place(100, 80), ["50\n", "20\n", stat]),
            place(50, 37)
        );
        assert_eq!(
            limited(place(100, 30), ["50\n", "20\n", stat]),
            place(50, 30)
        );
        assert_eq!(limited(place(100, 80), ["50", "70", ""]), place(50, 0));
    }

    #[test]
    fn graphics_cards_are_read_from_the_drivers_lines() {
        let csv = "NVIDIA H200, 143771, 143161\nOdd, Name, 10, 4\nno numbers, [N/A], [N/A]\n";
        let places = graphics_memories(csv);
        assert_eq!(places.len(), 2);
        assert_eq!(places[0].name, "GPU 0, NVIDIA H200");
        assert_eq!(places[0].total, Bytes(143_771 << 20));
        assert_eq!(
            (&*places[1].name, places[1].free),
            ("GPU 1, Odd, Name", Bytes(4 << 20))
        );
        assert_eq!(graphics_memories(""), []);
    }

    #[test]
    fn this_machine_has_threads_and_memory() {
        let machine = hardware(DeviceName::Cpu);
        assert!(machine.n_threads >= 1 && machine.memory_bytes > 0);
        let memory = machine_memory();
        assert!(memory.free > Bytes(0) && memory.free <= memory.total);
        assert!(free_memory_of(DeviceName::Cpu).is_some_and(|free| free > Bytes(0)));
        assert_eq!(free_memory_of(DeviceName::Cuda(u16::MAX)), None);
    }
}
