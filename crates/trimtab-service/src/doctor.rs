//! What works on this machine, and what to do about what does not.

use crate::{FetchSettings, Service, devices, disk, hardware, process, text_metrics};
use trimtab_domain::{Bytes, Check, CheckStatus};
use trimtab_sandbox::{Language, Sandbox};

/// Below this, fetching and compressing the default model does not fit.
const COMFORTABLE_SPACE: Bytes = Bytes(4_000_000_000);
/// Below this, the default model in f32 does not fit.
const COMFORTABLE_MEMORY: Bytes = Bytes(4_000_000_000);

impl Service {
    /// Checks the machine: processor, memory, disk, sandbox, downloads; and the metrics.
    pub async fn doctor(&self) -> Vec<Check> {
        let machine = hardware::hardware(self.inner.config.device);
        let mut checks = vec![
            check_processor(&machine),
            check_memory(Bytes(machine.memory_bytes)),
            self.check_space(),
            self.check_models().await,
        ];
        // These wake the driver, start programs or compute, which takes a moment.
        let started = tokio::task::spawn_blocking(|| {
            let mut checks = vec![devices::check_cards()];
            checks.extend(check_sandbox());
            checks.push(check_downloads(&FetchSettings::from_env()));
            checks.extend(text_metrics::checks());
            checks
        });
        checks.extend(started.await.into_iter().flatten());
        checks
    }

    fn check_space(&self) -> Check {
        let folder = self.inner.paths.data_dir();
        let place = folder.display();
        match disk::free_space(folder) {
            Ok(free) if COMFORTABLE_SPACE <= free => {
                ok("data folder", format!("`{place}` is writable, {free} free"))
            }
            Ok(free) => check(
                "data folder",
                CheckStatus::Warning,
                format!("`{place}` is writable, but only {free} are free"),
                "the quickstart needs 4 GB; free some space or choose another folder with --data-dir",
            ),
            Err(error) => check(
                "data folder",
                CheckStatus::Error,
                format!("cannot ask for free space in `{place}`: {error}"),
                "choose another folder with --data-dir",
            ),
        }
    }

    async fn check_models(&self) -> Check {
        match self.models().await {
            Ok(models) => {
                let names: Vec<String> = models
                    .iter()
                    .filter(|model| model.is_fetched)
                    .map(|model| model.name.to_string())
                    .collect();
                let detail = match names.as_slice() {
                    [] => "none on this machine yet; they are fetched when needed".to_owned(),
                    names => format!("on this machine: {}", names.join(", ")),
                };
                ok("models", detail)
            }
            Err(failure) => Check {
                name: "models".to_owned(),
                status: CheckStatus::Error,
                detail: failure.message,
                hint: failure.hint,
            },
        }
    }
}

fn check_processor(machine: &trimtab_domain::Hardware) -> Check {
    let detail = format!(
        "{}, {} threads, {}",
        machine.cpu, machine.n_threads, machine.simd
    );
    if machine.simd == "portable" {
        let hint = "results are the same, but generation is several times slower";
        check(
            "processor",
            CheckStatus::Warning,
            format!("{detail} (no AVX2 and no NEON)"),
            hint,
        )
    } else {
        ok("processor", detail)
    }
}

fn check_memory(memory: Bytes) -> Check {
    if COMFORTABLE_MEMORY <= memory {
        ok("memory", memory.to_string())
    } else {
        let hint = "use the smaller model `smollm2-135m-instruct`";
        check(
            "memory",
            CheckStatus::Warning,
            format!("only {memory}"),
            hint,
        )
    }
}

fn check_sandbox() -> Vec<Check> {
    match Sandbox::detect() {
        Ok(sandbox) => {
            let detail = format!(
                "generated programs can be graded: bubblewrap {}, Python {}",
                sandbox.bubblewrap_version(),
                sandbox.python().version()
            );
            let languages = Language::ALL
                .into_iter()
                .filter(|language| *language != Language::Python)
                .map(|language| check_language(&sandbox, language));
            std::iter::once(ok("sandbox", detail))
                .chain(languages)
                .collect()
        }
        Err(error) => vec![Check {
            name: "sandbox".to_owned(),
            status: CheckStatus::Error,
            hint: error.hint().map(str::to_owned),
            detail: error.to_string(),
        }],
    }
}

/// Finds a language's compiler and runtime, and proves them by programs inside the sandbox.
fn check_language(sandbox: &Sandbox, language: Language) -> Check {
    let name = format!("grading {language}");
    match sandbox.toolchain(language) {
        Ok(toolchain) => ok(&name, toolchain.version().to_owned()),
        Err(error) => Check {
            name,
            status: CheckStatus::Warning,
            hint: error.hint().map(str::to_owned),
            detail: format!("{error}; its problems are left out, not failed"),
        },
    }
}

fn check_downloads(settings: &FetchSettings) -> Check {
    if settings.is_offline {
        let hint = "unset TRIMTAB_OFFLINE, or import files with `trimtab models import PATH`";
        let detail = "forbidden by `TRIMTAB_OFFLINE`".to_owned();
        return check("downloads", CheckStatus::Warning, detail, hint);
    }
    let hub = if settings.uses_hub {
        "hub first"
    } else {
        "hub switched off"
    };
    match process::answer_of(&settings.python, &["-m", "pip", "--version"]) {
        Some(version) => ok(
            "downloads",
            format!("{hub}, then the mirror through {version}"),
        ),
        None => check(
            "downloads",
            CheckStatus::Warning,
            format!("{hub}; the mirror cannot be used: `python3 -m pip` does not work"),
            "install it (Debian, Ubuntu: `apt-get install python3-pip`)",
        ),
    }
}

fn ok(name: &str, detail: String) -> Check {
    Check {
        name: name.to_owned(),
        status: CheckStatus::Ok,
        detail,
        hint: None,
    }
}

fn check(name: &str, status: CheckStatus, detail: String, hint: &str) -> Check {
    Check {
        name: name.to_owned(),
        status,
        detail,
        hint: Some(hint.to_owned()),
    }
}
