//! Which devices models can be computed on, as the door of the service tells it.

use trimtab_domain::{Bytes, Check, CheckStatus, DeviceName, Failure};
use trimtab_runtime::{CardMeter, DeviceInfo, card_counters, cuda_devices, has_cuda, open_device};

/// Whether models can be computed on a device of this machine.
///
/// # Errors
///
/// Why not, with a hint.
pub fn check_device(name: DeviceName) -> Result<(), Failure> {
    open_device(name)?;
    Ok(())
}

/// What the maker calls a card; nothing for the processor.
pub(crate) fn card_model(name: DeviceName) -> String {
    cuda_devices()
        .into_iter()
        .find(|device| device.name == name)
        .map_or_else(String::new, |device| device.model)
}

/// What the doctor says of NVIDIA cards.
pub(crate) fn check_cards() -> Check {
    if !has_cuda() {
        return ok("this build computes on the processor only".to_owned());
    }
    let devices = cuda_devices();
    match devices.first() {
        None => ok("CUDA is built in, but there is no card or no driver; \
             models are computed on the processor"
            .to_owned()),
        Some(first) => match open_device(first.name) {
            Ok(_) => counted(first.name, describe(&devices)),
            Err(error) => Check {
                name: NAME.to_owned(),
                status: CheckStatus::Warning,
                detail: error.to_string(),
                hint: Some(error.hint().to_owned()),
            },
        },
    }
}

/// Cards that can be used, and whether their driver counts what is taken of the first.
fn counted(name: DeviceName, described: String) -> Check {
    let missing =
        card_counters(name).map_or_else(Vec::new, |counters| CardMeter::start(counters).missing());
    if missing.is_empty() {
        return ok(described);
    }
    Check {
        name: NAME.to_owned(),
        status: CheckStatus::Warning,
        detail: format!("{described}; {}", missing.join("; ")),
        hint: Some("see that `nvidia-smi -q -d POWER,MEMORY` answers for the same user".to_owned()),
    }
}

const NAME: &str = "graphics cards";

fn ok(detail: String) -> Check {
    Check {
        name: NAME.to_owned(),
        status: CheckStatus::Ok,
        detail,
        hint: None,
    }
}

fn describe(devices: &[DeviceInfo]) -> String {
    let lines: Vec<String> = devices
        .iter()
        .map(|device| {
            let memory = device.memory.map_or_else(
                || "memory unknown".to_owned(),
                |Bytes(n)| Bytes(n).to_string(),
            );
            format!("`{}` is {} ({memory})", device.name, device.model)
        })
        .collect();
    lines.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_told_with_their_memory() {
        let card = |number, memory| DeviceInfo {
            name: DeviceName::Cuda(number),
            model: "Card".to_owned(),
            memory,
        };
        let told = describe(&[card(0, Some(Bytes(2_000_000_000))), card(1, None)]);
        let memory = Bytes(2_000_000_000).to_string();
        assert_eq!(
            told,
            format!("`cuda:0` is Card ({memory}), `cuda:1` is Card (memory unknown)")
        );
    }

    #[test]
    fn a_card_whose_driver_counts_nothing_is_warned_of() {
        let check = counted(
            DeviceName::Cuda(u16::MAX),
            "`cuda:65535` is Card".to_owned(),
        );
        assert_eq!(check.status, CheckStatus::Warning);
        assert!(
            check
                .detail
                .starts_with("`cuda:65535` is Card; the energy of the card is not measured")
        );
        assert!(check.hint.is_some());
        let processor = counted(DeviceName::Cpu, "processor".to_owned());
        assert_eq!(processor.status, CheckStatus::Ok);
    }

    #[test]
    fn the_doctor_has_a_line_on_cards_wherever_it_runs() {
        assert_eq!(check_cards().name, NAME);
    }
}
