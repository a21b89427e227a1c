//! From the name of a device to the device: only what is there is opened.
//!
//! burn's own choice of a default device is never asked for: with CUDA compiled in it ends the
//! process where there is no card.

use crate::card_meter::{CardCounters, Occupancy};
use burn::tensor::Device;
use trimtab_domain::{Bytes, DeviceName, Failure, FailureKind};

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The program was built without the feature `cuda`.
    #[error("this build has no CUDA, so device `{0}` is out")]
    NotBuiltIn(DeviceName),
    /// There is no such card, or no driver.
    #[error("device `{name}` is not there: CUDA finds {n_found} devices on this machine")]
    Absent {
        /// What was asked for.
        name: DeviceName,
        /// Devices that the driver knows.
        n_found: usize,
    },
    /// Kernels cannot be compiled.
    #[error("device `{name}` cannot be used: {reason}")]
    NoToolkit {
        /// What was asked for.
        name: DeviceName,
        /// What is missing.
        reason: String,
    },
}

impl DeviceError {
    /// What the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotBuiltIn(_) => {
                "use `--device cpu`, or build with `cargo build --release -p server --features cuda`"
            }
            Self::Absent { .. } => {
                "use `--device cpu`, or see `nvidia-smi` for driver and cards, and CUDA_VISIBLE_DEVICES for what is hidden"
            }
            Self::NoToolkit { .. } => {
                "use `--device cpu`, or install the CUDA toolkit (NVRTC and headers) and set CUDA_PATH to it"
            }
        }
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::new(FailureKind::BadInput, &error).with_hint(error.hint())
    }
}

/// A device that this build can use on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What it is called here.
    pub name: DeviceName,
    /// What its maker calls it.
    pub model: String,
    /// Its memory, if it says.
    pub memory: Option<Bytes>,
}

/// Opens a device.
///
/// # Errors
///
/// [`DeviceError`] if this build or this machine does not have it.
pub fn open_device(name: DeviceName) -> Result<Device, DeviceError> {
    match name {
        DeviceName::Cpu => Ok(Device::flex()),
        DeviceName::Cuda(number) => cuda::open(number),
    }
}

/// Whether CUDA was compiled in.
pub fn has_cuda() -> bool {
    cfg!(feature = "cuda")
}

/// The NVIDIA cards that can be opened; none without the feature `cuda`.
pub fn cuda_devices() -> Vec<DeviceInfo> {
    cuda::devices()
}

/// What the driver counts of a card; `None` for the processor. Where the driver's library cannot be
/// used, every question is answered with the reason.
pub fn card_counters(name: DeviceName) -> Option<Box<dyn CardCounters>> {
    match name {
        DeviceName::Cpu => None,
        DeviceName::Cuda(number) => Some(match cuda::counters(number) {
            Ok(counters) => counters,
            Err(reason) => Box::new(NoCounters(reason)),
        }),
    }
}

/// A card that nothing is known of, and why.
struct NoCounters(String);

impl CardCounters for NoCounters {
    fn energy_mj(&self) -> Result<u64, String> {
        Err(self.0.clone())
    }

    fn occupancy(&self) -> Result<Occupancy, String> {
        Err(self.0.clone())
    }
}

/// Memory of a card that is free now, after what this process keeps for later was given back;
/// `None` for the processor, and where the driver does not tell.
pub fn free_card_memory(name: DeviceName) -> Option<Bytes> {
    let DeviceName::Cuda(number) = name else {
        return None;
    };
    let counters = cuda::counters(number).ok()?;
    cuda::give_memory_back(number);
    counters.occupancy().ok().map(|now| now.free)
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::{DeviceError, DeviceInfo};
    use crate::{card_meter::CardCounters, nvml::NvmlCard};
    use burn::tensor::{Device, DeviceType};
    use std::path::Path;
    use trimtab_domain::{Bytes, DeviceName};

    /// Where CubeCL looks for CUDA's headers when `CUDA_PATH` is not set; it ends the process without.
    const TOOLKITS: [&str; 3] = ["/usr/local/cuda", "/opt/cuda", "/usr/bin/nvcc"];

    pub(super) fn open(number: u16) -> Result<Device, DeviceError> {
        let name = DeviceName::Cuda(number);
        let mut found = Device::enumerate(DeviceType::Cuda).into_vec();
        let n_found = found.len();
        if usize::from(number) >= n_found {
            return Err(DeviceError::Absent { name, n_found });
        }
        check_toolkit().map_err(|reason| DeviceError::NoToolkit { name, reason })?;
        Ok(found.swap_remove(number.into()))
    }

    fn check_toolkit() -> Result<(), String> {
        match std::env::var("CUDA_PATH") {
            Ok(path) if Path::new(&path).join("include").is_dir() => Ok(()),
            Ok(path) => Err(format!(
                "CUDA_PATH is `{path}`, which has no folder `include`"
            )),
            Err(_) if TOOLKITS.iter().any(|path| Path::new(path).exists()) => Ok(()),
            Err(_) => Err("there is no CUDA toolkit to compile kernels with".to_owned()),
        }
    }

    pub(super) fn devices() -> Vec<DeviceInfo> {
        let found = Device::enumerate(DeviceType::Cuda).into_vec();
        (0_u16..).zip(found).map(info).collect()
    }

    fn info((number, device): (u16, Device)) -> DeviceInfo {
        let model = device
            .identity()
            .map_or_else(|| "NVIDIA card".to_owned(), |identity| identity.name);
        let memory = cubecl::Device::cuda(number.into())
            .ok()
            .and_then(|device| device.client().properties().memory.max_memory());
        DeviceInfo {
            name: DeviceName::Cuda(number),
            model,
            memory: memory.map(Bytes),
        }
    }

    pub(super) fn counters(number: u16) -> Result<Box<dyn CardCounters>, String> {
        let address = pci_address(number)?;
        Ok(Box::new(NvmlCard::open(address, None)?))
    }

    /// Where the card sits, which NVML asks for: it may number cards otherwise than CUDA.
    fn pci_address(number: u16) -> Result<String, String> {
        let n_found = Device::enumerate(DeviceType::Cuda).into_vec().len();
        if n_found <= usize::from(number) {
            return Err(format!("CUDA finds {n_found} devices"));
        }
        let device = cubecl::Device::cuda(number.into()).map_err(|error| error.to_string())?;
        let client = device.client();
        let physical = client.properties().identity.physical.as_ref();
        let address = physical.and_then(|card| card.pci_address);
        let address = address.ok_or("CUDA does not tell where the card sits")?;
        Ok(address.to_string())
    }

    pub(super) fn give_memory_back(number: u16) {
        // What is refused stays taken, and is not told as free.
        if let Ok(device) = cubecl::Device::cuda(number.into()) {
            device.client().memory_cleanup().ok();
        }
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    use super::{DeviceError, DeviceInfo};
    use crate::card_meter::CardCounters;
    use burn::tensor::Device;
    use trimtab_domain::DeviceName;

    pub(super) fn open(number: u16) -> Result<Device, DeviceError> {
        Err(DeviceError::NotBuiltIn(DeviceName::Cuda(number)))
    }

    pub(super) fn devices() -> Vec<DeviceInfo> {
        Vec::new()
    }

    pub(super) fn counters(number: u16) -> Result<Box<dyn CardCounters>, String> {
        Err(DeviceError::NotBuiltIn(DeviceName::Cuda(number)).to_string())
    }

    pub(super) fn give_memory_back(_number: u16) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there() {
        assert!(open_device(DeviceName::Cpu).is_ok());
    }

    #[test]
    fn of_a_card_that_is_not_there_nothing_is_counted_and_the_reason_is_told() {
        assert!(card_counters(DeviceName::Cpu).is_none());
        let counters = card_counters(DeviceName::Cuda(u16::MAX)).unwrap();
        let why = counters.energy_mj().unwrap_err();
        assert!(why.contains("CUDA"), "{why}");
        assert_eq!(counters.occupancy(), Err(why));
        assert_eq!(free_card_memory(DeviceName::Cuda(u16::MAX)), None);
    }

    #[test]
    fn a_card_that_is_not_there_is_refused_with_a_hint() {
        let error = open_device(DeviceName::Cuda(u16::MAX)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("cuda:65535"), "{message}");
        assert!(error.hint().contains("--device cpu"));
        assert_eq!(
            has_cuda(),
            error != DeviceError::NotBuiltIn(DeviceName::Cuda(u16::MAX))
        );
    }
}
