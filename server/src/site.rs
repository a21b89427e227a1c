//! The folder with the built pages: wasm, script, styles, icons.

use std::path::{Path, PathBuf};
use trimtab_domain::Failure;

/// Name of wasm, script and style files in the site's `pkg` folder.
///
/// The same word stands in `.cargo/config.toml`, where Leptos reads it.
pub(crate) const OUTPUT_NAME: &str = "trimtab";

/// A folder that holds a built site.
#[derive(Clone, Debug)]
pub struct SiteDir(PathBuf);

impl SiteDir {
    /// The folder that was asked for, or else `target/site` here, or `site` beside the program.
    pub fn find(asked_for: Option<PathBuf>) -> Result<Self, Failure> {
        match asked_for {
            Some(folder) if is_site(&folder) => Ok(Self(folder)),
            Some(folder) => Err(missing(&[folder])),
            None => {
                let places = usual_places();
                let found = places.iter().find(|folder| is_site(folder));
                found.cloned().map(Self).ok_or_else(|| missing(&places))
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("target/site")];
    if let Ok(program) = std::env::current_exe()
        && let Some(folder) = program.parent()
    {
        places.push(folder.join("site"));
        // A program that was built but not installed lies in `target/release`.
        places.push(folder.join("../site"));
    }
    places
}

fn is_site(folder: &Path) -> bool {
    folder
        .join("pkg")
        .join(format!("{OUTPUT_NAME}.wasm"))
        .is_file()
}

fn missing(places: &[PathBuf]) -> Failure {
    let places: Vec<String> = places
        .iter()
        .map(|p| format!("`{}`", p.display()))
        .collect();
    Failure::bad_input(format!("no built site in {}", places.join(", ")))
        .with_hint("run `make build`, or name its folder with `--site-dir`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_pages_is_refused_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let refused = SiteDir::find(Some(folder.path().into())).unwrap_err();
        assert!(
            refused.message.starts_with("no built site in `"),
            "{refused}"
        );
        assert!(refused.hint.unwrap().contains("make build"));

        std::fs::create_dir(folder.path().join("pkg")).unwrap();
        std::fs::write(folder.path().join("pkg/trimtab.wasm"), b"\0asm").unwrap();
        assert_eq!(
            SiteDir::find(Some(folder.path().into())).unwrap().path(),
            folder.path()
        );
    }
}
