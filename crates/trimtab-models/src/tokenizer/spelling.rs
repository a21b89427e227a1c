//! Which bytes a token of a Hugging Face tokenizer stands for, as its decoder says.
//!
//! Byte-level vocabularies write every byte as a character; sentencepiece-like ones write a space as
//! U+2581 and bytes that no token has as `<0x00>` to `<0xFF>`.

use super::{TokenizerError, byte_symbols::bytes_from_symbols};
use serde_json::Value;

/// How tokens are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    is_byte_level: bool,
    has_byte_tokens: bool,
    /// Whether the first space of a text is one that encoding put there.
    pub(super) drops_first_space: bool,
}

const SPACE_SYMBOL: char = '\u{2581}';

impl Spelling {
    /// Every byte is a character.
    pub(super) const BYTE_LEVEL: Self = Self {
        is_byte_level: true,
        has_byte_tokens: false,
        drops_first_space: false,
    };

    /// Reads the `decoder` of `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// A decoder that does something else, by its name.
    pub(super) fn from_decoder(decoder: &Value) -> Result<Self, TokenizerError> {
        let kind = |step: &Value| step["type"].as_str().unwrap_or("none").to_owned();
        let single = [decoder.clone()];
        let steps = match decoder["decoders"].as_array() {
            Some(steps) if kind(decoder) == "Sequence" => steps.as_slice(),
            _ => single.as_slice(),
        };
        if let [step] = steps
            && kind(step) == "ByteLevel"
        {
            return Ok(Self::BYTE_LEVEL);
        }
        let mut spelling = Self {
            is_byte_level: false,
            has_byte_tokens: false,
            drops_first_space: false,
        };
        let (mut has_spaces, mut is_fused) = (false, false);
        for step in steps {
            match kind(step).as_str() {
                "Replace" if step["pattern"]["String"] == "\u{2581}" && step["content"] == " " => {
                    has_spaces = true;
                }
                "Metaspace" if step["replacement"] == "\u{2581}" => {
                    has_spaces = true;
                    spelling.drops_first_space |= step["prepend_scheme"] != "never";
                }
                "ByteFallback" => spelling.has_byte_tokens = true,
                "Fuse" => is_fused = true,
                "Strip"
                    if is_fused
                        && step["content"] == " "
                        && step["start"] == 1
                        && step["stop"] == 0 =>
                {
                    spelling.drops_first_space = true;
                }
                _ => return Err(unsupported(kind(step))),
            }
        }
        match has_spaces {
            true => Ok(spelling),
            false => Err(unsupported("no way to write spaces".to_owned())),
        }
    }

    /// The bytes of a token.
    pub(super) fn bytes(self, token: &str) -> Vec<u8> {
        if self.is_byte_level {
            // What is no row of byte symbols is written as itself.
            return bytes_from_symbols(token).unwrap_or_else(|| token.as_bytes().to_vec());
        }
        match byte_token(token).filter(|_| self.has_byte_tokens) {
            Some(byte) => vec![byte],
            None => token.replace(SPACE_SYMBOL, " ").into_bytes(),
        }
    }

    /// The bytes of a piece of text as it is when it is cut into tokens.
    pub(super) fn text_bytes(self, piece: &str) -> Vec<u8> {
        let plain = Self {
            has_byte_tokens: false,
            ..self
        };
        plain.bytes(piece)
    }
}

fn unsupported(found: String) -> TokenizerError {
    TokenizerError::UnsupportedPart {
        part: "decoder",
        found,
    }
}

/// The byte of `<0x41>`.
fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let are_digits = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn byte_tokens_and_spaces_are_spelled_out() {
        let decoder = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]});
        let spelling = Spelling::from_decoder(&decoder).unwrap();
        assert!(spelling.drops_first_space);
        assert_eq!(spelling.bytes("▁a▁"), b" a ");
        assert_eq!(spelling.bytes("<0xe2>"), [0xe2]);
        assert_eq!(spelling.bytes("<0xe>"), b"<0xe>");
        assert_eq!(spelling.bytes("<0x+1>"), b"<0x+1>");
        assert_eq!(spelling.text_bytes("<0xe2>"), b"<0xe2>");
    }

    #[test]
    fn a_metaspace_decoder_says_whether_a_space_was_put_before_the_text() {
        for (scheme, drops) in [("first", true), ("always", true), ("never", false)] {
            let decoder =
                json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme});
            let spelling = Spelling::from_decoder(&decoder).unwrap();
            assert_eq!(spelling.drops_first_space, drops);
        }
    }

    #[test]
    fn other_decoders_are_named() {
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        for (decoder, name) in [
            (json!({"type": "WordPiece"}), "`WordPiece`"),
            (json!({"type": "Sequence", "decoders": [strip]}), "`Strip`"),
            (Value::Null, "`none`"),
            (json!({"type": "Fuse"}), "spaces"),
        ] {
            let error = Spelling::from_decoder(&decoder).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
