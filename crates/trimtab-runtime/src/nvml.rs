//! The counters of NVIDIA's management library (NVML), which comes with the driver and is opened
//! while the program runs.

use crate::card_meter::{CardCounters, Occupancy};
use nvml_wrapper::{Device, Nvml, enums::device::UsedGpuMemory, error::NvmlError};
use std::{collections::HashSet, ffi::OsStr};
use trimtab_domain::Bytes;

/// One card, found by its place on the PCI bus: CUDA and NVML number cards differently.
pub(crate) struct NvmlCard {
    nvml: Nvml,
    pci_address: String,
    sees_all_processes: bool,
}

impl NvmlCard {
    /// The card at `pci_address`, such as `0000:07:00.0`. `library` is opened in place of the
    /// driver's.
    ///
    /// # Errors
    ///
    /// What is missing, in words.
    pub(crate) fn open(pci_address: String, library: Option<&OsStr>) -> Result<Self, String> {
        let mut builder = Nvml::builder();
        if let Some(library) = library {
            builder.lib_path(library);
        }
        let nvml = builder
            .init()
            .map_err(|error| format!("the driver's library NVML cannot be used: {error}"))?;
        let card = Self {
            nvml,
            pci_address,
            sees_all_processes: is_in_first_pid_namespace(),
        };
        if card.is_divided()? {
            return Err(
                "the card is divided (MIG), and its parts are not counted apart".to_owned(),
            );
        }
        Ok(card)
    }

    fn is_divided(&self) -> Result<bool, String> {
        let device = self.device().map_err(|error| {
            let address = &self.pci_address;
            format!("NVML does not know the card at {address}: {error}")
        })?;
        // Older cards do not know the question.
        Ok(device.mig_mode().is_ok_and(|mode| mode.current != 0))
    }

    fn device(&self) -> Result<Device<'_>, NvmlError> {
        self.nvml.device_by_pci_bus_id(self.pci_address.as_str())
    }

    fn read_occupancy(&self) -> Result<Occupancy, NvmlError> {
        let device = self.device()?;
        let memory = device.memory_info()?;
        let mut now = Occupancy {
            used: Bytes(memory.used),
            free: Bytes(memory.free),
            own: None,
            n_others: None,
        };
        if !self.sees_all_processes {
            return Ok(now);
        }
        // Without the right to see the list, the memory of the card is known all the same.
        let Ok(processes) = device.running_compute_processes() else {
            return Ok(now);
        };
        let own_pid = std::process::id();
        // A process with two contexts has two entries.
        let own = processes.iter().filter(|process| process.pid == own_pid);
        let own_bytes = own.map(|process| match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        });
        let own_bytes: Vec<Option<u64>> = own_bytes.collect();
        if !own_bytes.is_empty() {
            now.own = own_bytes.into_iter().sum::<Option<u64>>().map(Bytes);
            let others = processes.iter().map(|process| process.pid);
            let others: HashSet<u32> = others.filter(|pid| *pid != own_pid).collect();
            now.n_others = Some(others.len() as u32);
        }
        Ok(now)
    }
}

/// Whether this process is in the machine's first namespace of process ids. In another, as in a
/// container, a driver lists no processes, some, or all by numbers that mean others here.
fn is_in_first_pid_namespace() -> bool {
    /// The number that the kernel gives it (`PROC_PID_INIT_INO` of Linux's `proc_ns.h`).
    const FIRST: &str = "pid:[4026531836]";
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == FIRST)
}

impl CardCounters for NvmlCard {
    fn energy_mj(&self) -> Result<u64, String> {
        let read = self
            .device()
            .and_then(|device| device.total_energy_consumption());
        read.map_err(|error| error.to_string())
    }

    fn occupancy(&self) -> Result<Occupancy, String> {
        self.read_occupancy().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CardMeter;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use trimtab_domain::CardMemoryOf;

    /// Compiles a library with the functions of NVML that are used here, which answers for a card
    /// that this machine does not have.
    #[expect(
        clippy::disallowed_methods,
        reason = "a compiler is started, by a test"
    )]
    fn library(folder: &Path) -> PathBuf {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/nvml/played_card.c");
        let path = folder.join("libplayed.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([path.as_os_str(), OsStr::new(source)])
            .status()
            .expect("a machine that builds Rust has a linker `cc`");
        assert!(status.success());
        path
    }

    /// As on a machine's own system, wherever this test runs.
    fn open(library: &Path, pci_address: &str) -> Result<NvmlCard, String> {
        let mut card = NvmlCard::open(pci_address.to_owned(), Some(library.as_os_str()))?;
        card.sees_all_processes = true;
        Ok(card)
    }

    #[test]
    fn a_card_is_read_through_the_drivers_functions() {
        let folder = tempfile::tempdir().unwrap();
        let library = library(folder.path());
        let mut card = open(&library, "0000:07:00.0").unwrap();
        card.sees_all_processes = false;
        let in_container = card.occupancy().unwrap();
        assert_eq!((in_container.own, in_container.n_others), (None, None));
        assert_eq!(in_container.used, Bytes(5 << 30));
        card.sees_all_processes = true;
        let now = card.occupancy().unwrap();
        let expected = Occupancy {
            used: Bytes(5 << 30),
            free: Bytes(11 << 30),
            own: Some(Bytes(3 << 30)),
            n_others: Some(1),
        };
        assert_eq!(now, expected);
        let (first, second) = (card.energy_mj().unwrap(), card.energy_mj().unwrap());
        assert_eq!(second - first, 1500);

        let meter = CardMeter::start(Box::new(card));
        let used = meter.so_far();
        assert_eq!(used.energy_j, Some(1.5));
        let peak = used.peak_memory.unwrap();
        assert_eq!(
            (peak.bytes, peak.of),
            (Bytes(3 << 30), CardMemoryOf::Process)
        );
        assert_eq!(used.n_others, Some(1));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let library = library(folder.path());
        let refused = |path: &Path, address| open(path, address).err().unwrap();
        let other = refused(&library, "0000:99:00.0");
        assert!(other.contains("0000:99:00.0"), "{other}");
        let divided = refused(&library, "0000:09:00.0");
        assert!(divided.contains("MIG"), "{divided}");
        let nowhere = refused(&folder.path().join("nothing.so"), "0000:07:00.0");
        assert!(nowhere.contains("NVML cannot be used"), "{nowhere}");
        // One of an old driver or an old card: it is there, and does not count energy.
        let old = open(&library, "0000:08:00.0").unwrap();
        let error = old.energy_mj().unwrap_err();
        assert!(error.contains("not available"), "{error}");
        assert_eq!(old.occupancy().unwrap().own, None);
    }
}
