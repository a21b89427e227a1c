//! Calibration texts that ship with the program.

/// Name and contents. `code` is a snapshot of this project's own sources, Apache-2.0, written by
/// `scripts/calibration-text.py`; documents are separated by form feeds.
const TEXTS: [(&str, &str); 1] = [("code", include_str!("../../texts/code.txt"))];

/// The bundled text called `name`.
pub fn bundled_text(name: &str) -> Option<&'static str> {
    TEXTS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}

/// Names of all bundled texts.
pub fn bundled_text_names() -> Vec<&'static str> {
    TEXTS.iter().map(|(name, _)| *name).collect()
}
