//! Which text a method watches the model read, and how the text is cut into sequences.

use super::InvalidRecipe;
use crate::{DeviceName, Digest};
use serde::{Deserialize, Serialize};

/// The calibration of a step: what the inputs of the layers are measured on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The texts; the bundled code where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<CalibrationSource>,
    /// Whether documents are read as they are or as chats.
    #[serde(default, skip_serializing_if = "CalibrationForm::is_raw")]
    pub form: CalibrationForm,
    /// Tokens of a sequence [default: 512 on a processor, 1,024 on a card].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_length: Option<u32>,
    /// How many sequences [default: 32 on a processor, 128 on a card].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<u32>,
    /// Seed that sequences are drawn with; without one they are taken from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Go on although the calibration text shares passages with a suite or a perplexity text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_overlap: bool,
}

/// How documents become sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationForm {
    /// As they are, one after the other.
    #[default]
    Raw,
    /// Each as a question and its answer, in the model's chat form.
    Chat,
}

impl CalibrationForm {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    fn is_raw(&self) -> bool {
        *self == Self::Raw
    }
}

/// A text to calibrate on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawSource", into = "RawSource")]
pub struct CalibrationSource {
    /// The text.
    pub text: CalibrationText,
    /// Its share of the sequences, relative to the other sources.
    pub share: f64,
}

/// Where a calibration text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalibrationText {
    /// A text that ships with the program, by name.
    Bundled(String),
    /// A text file, by path; its contents are taken over and named by their digest before work begins.
    File(String),
    /// A text that was taken over, by the name of its file and the digest of its contents.
    Stored {
        /// Name of the file, for people.
        name: String,
        /// SHA-256 of the contents.
        digest: Digest,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bundled: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    share: f64,
}

fn whole() -> f64 {
    1.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde calls it with a reference; only the default itself is left out"
)]
fn is_whole(share: &f64) -> bool {
    *share == whole()
}

impl TryFrom<RawSource> for CalibrationSource {
    type Error = &'static str;
    fn try_from(raw: RawSource) -> Result<Self, Self::Error> {
        let text = match (raw.bundled, raw.file, raw.digest) {
            (Some(name), None, None) => CalibrationText::Bundled(name),
            (None, Some(path), None) => CalibrationText::File(path),
            (None, Some(name), Some(digest)) => CalibrationText::Stored { name, digest },
            _ => return Err("a source of calibration has either `bundled` or `file`"),
        };
        let share = raw.share;
        Ok(Self { text, share })
    }
}

impl From<CalibrationSource> for RawSource {
    fn from(source: CalibrationSource) -> Self {
        let (bundled, file, digest) = match source.text {
            CalibrationText::Bundled(name) => (Some(name), None, None),
            CalibrationText::File(path) => (None, Some(path), None),
            CalibrationText::Stored { name, digest } => (None, Some(name), Some(digest)),
        };
        Self {
            bundled,
            file,
            digest,
            share: source.share,
        }
    }
}

impl Calibration {
    /// Name of the bundled text that is used where none is named.
    pub const BUNDLED: &'static str = "code";

    /// How many sequences of how many tokens: what is asked for, else the default of the device.
    pub fn size(&self, device: DeviceName) -> (u32, u32) {
        let (n_sequences, length) = match device {
            DeviceName::Cpu => (32, 512),
            DeviceName::Cuda(_) => (128, 1024),
        };
        (
            self.sequences.unwrap_or(n_sequences),
            self.sequence_length.unwrap_or(length),
        )
    }

    /// The sources, the bundled text where none is named.
    pub fn sources(&self) -> Vec<CalibrationSource> {
        if !self.sources.is_empty() {
            return self.sources.clone();
        }
        vec![CalibrationSource {
            text: CalibrationText::Bundled(Self::BUNDLED.to_owned()),
            share: whole(),
        }]
    }

    pub(super) fn validate(&self) -> Result<(), InvalidRecipe> {
        let range = |key, value: Option<u32>, low, high| match value {
            Some(n) if !(low..=high).contains(&n) => Err(InvalidRecipe::Range {
                key,
                value: n.to_string(),
                low: low.to_string(),
                high: high.to_string(),
            }),
            _ => Ok(()),
        };
        range("sequence_length", self.sequence_length, 2, 4096)?;
        range("sequences", self.sequences, 1, 65_536)?;
        let is_share = |source: &CalibrationSource| source.share.is_finite() && source.share > 0.0;
        match self.sources.iter().find(|source| !is_share(source)) {
            Some(source) => Err(InvalidRecipe::Share(source.share.to_string())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_bundled_or_a_file() {
        let read = |json: &str| serde_json::from_str::<CalibrationSource>(json);
        let bundled = read(r#"{"bundled":"code"}"#).unwrap();
        assert_eq!(bundled, Calibration::default().sources()[0]);
        let file = read(r#"{"file":"a.txt","share":0.25}"#).unwrap();
        assert_eq!(file.text, CalibrationText::File("a.txt".into()));
        let json = serde_json::to_string(&file).unwrap();
        assert_eq!(json, r#"{"file":"a.txt","share":0.25}"#);
        for bad in ["{}", r#"{"bundled":"a","file":"b"}"#, r#"{"fiel":"b"}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_depends_on_the_device_and_what_is_asked_for_does_not() {
        let default = Calibration::default();
        assert_eq!(default.size(DeviceName::Cpu), (32, 512));
        assert_eq!(default.size(DeviceName::Cuda(0)), (128, 1024));
        let asked = Calibration {
            sequences: Some(16),
            ..default
        };
        assert_eq!(asked.size(DeviceName::Cuda(0)), (16, 1024));
    }
}
