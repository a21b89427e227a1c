//! The counters of NVIDIA's management library (NVML), which comes with the driver and is opened
//! while the program runs.

use crate::card_meter::{CardCounters, Occupancy};
use nvml_wrapper::{Device, Nvml, enums::device::UsedGpuMemory, error::NvmlError};
use std::ffi::OsStr;
use trimtab_domain::Bytes;

/// One card, found by its place on the PCI bus: CUDA and NVML number cards differently.
pub(crate) struct NvmlCard {
    nvml: Nvml,
    pci_address: String,
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
        let card = Self { nvml, pci_address };
        card.device().map_err(|error| {
            format!(
                "NVML does not know the card at {}: {error}",
                card.pci_address
            )
        })?;
        Ok(card)
    }

    fn device(&self) -> Result<Device<'_>, NvmlError> {
        self.nvml.device_by_pci_bus_id(self.pci_address.as_str())
    }

    fn read_occupancy(&self) -> Result<Occupancy, NvmlError> {
        let device = self.device()?;
        let memory = device.memory_info()?;
        let processes = device.running_compute_processes()?;
        let own = processes
            .iter()
            .find(|process| process.pid == std::process::id());
        Ok(Occupancy {
            used: Bytes(memory.used),
            free: Bytes(memory.free),
            own: own.and_then(|process| match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(Bytes(bytes)),
                UsedGpuMemory::Unavailable => None,
            }),
            n_others: own.map(|_| processes.len() as u32 - 1),
        })
    }
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

    fn open(library: &Path, pci_address: &str) -> Result<NvmlCard, String> {
        NvmlCard::open(pci_address.to_owned(), Some(library.as_os_str()))
    }

    #[test]
    fn a_card_is_read_through_the_drivers_functions() {
        let folder = tempfile::tempdir().unwrap();
        let library = library(folder.path());
        let card = open(&library, "0000:07:00.0").unwrap();
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
        let nowhere = refused(&folder.path().join("nothing.so"), "0000:07:00.0");
        assert!(nowhere.contains("NVML cannot be used"), "{nowhere}");
        // One of an old driver or an old card: it is there, and does not count energy.
        let old = open(&library, "0000:08:00.0").unwrap();
        let error = old.energy_mj().unwrap_err();
        assert!(error.contains("not available"), "{error}");
        assert_eq!(old.occupancy().unwrap().own, None);
    }
}
