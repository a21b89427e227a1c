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

/// Gives memory that was freed in small pieces back to the system, where the allocator can: a
/// tokenizer leaves several times its size behind when it is built.
pub(crate) fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes the allocator's own locks and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets this process keep what it frees, for work that asks for the same large pieces again and again:
/// otherwise each comes from the system, which clears it first. For processes that end with their work.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the calls set numbers of the allocator under its own locks. One that is refused leaves
    // the allocator as it was.
    unsafe {
        // One heap, which large pieces come from too, and which does not shrink.
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
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
