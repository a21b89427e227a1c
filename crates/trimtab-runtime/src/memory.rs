//! Memory of this process.

use trimtab_domain::Bytes;

/// Largest resident set of this process so far; `None` where the system does not say.
pub fn peak_memory() -> Option<Bytes> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kibibytes * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn touching_memory_raises_the_peak() {
        let before = peak_memory().unwrap();
        let touched = vec![1_u8; 64 << 20];
        assert!(touched.iter().step_by(4096).all(|byte| *byte == 1));
        assert!(peak_memory().unwrap().0 >= before.0.max(64 << 20));
    }
}
