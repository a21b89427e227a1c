//! From documents to sequences of equal length.

use super::CalibrationError;
use trimtab_domain::CalibrationForm;
use trimtab_models::{ChatMessage, GenerationPrompt, ModelFiles, SpecialTokens, TextTokenizer};

/// Separates the documents of a text.
const FORM_FEED: char = '\u{c}';

/// A text with its name, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedText<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

/// How many sequences to make of how many tokens, and what comes first in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packing {
    pub(super) n_sequences: usize,
    pub(super) length: usize,
    pub(super) bos: Option<u32>,
}

/// The tokens of a text, its documents one after the other.
pub(super) fn tokens(
    text: &NamedText<'_>,
    form: CalibrationForm,
    files: &ModelFiles,
    tokenizer: &TextTokenizer,
) -> Result<Vec<u32>, CalibrationError> {
    let documents = text.text.split(FORM_FEED);
    let mut ids = Vec::new();
    match form {
        CalibrationForm::Raw => {
            for document in documents {
                ids.extend(tokenizer.encode(document, SpecialTokens::AsText)?);
            }
        }
        CalibrationForm::Chat => {
            let template = files.chat_template()?;
            let template = template.ok_or(CalibrationError::NoChatTemplate)?;
            for (idx, document) in documents.enumerate() {
                let (question, answer) =
                    document
                        .trim()
                        .split_once('\n')
                        .ok_or(CalibrationError::NoAnswer {
                            name: text.name.to_owned(),
                            n: idx + 1,
                        })?;
                let messages = [
                    ChatMessage::new("user", question),
                    ChatMessage::new("assistant", answer),
                ];
                let chat = template.render(&messages, GenerationPrompt::Omit)?;
                ids.extend(tokenizer.encode(&chat, SpecialTokens::Parse)?);
            }
        }
    }
    Ok(ids)
}

/// Cuts tokens into sequences, whose order `order` gives for their number.
pub(super) fn sequences(
    name: &str,
    ids: &[u32],
    packing: Packing,
    order: impl FnOnce(usize) -> Vec<usize>,
) -> Result<Vec<Vec<u32>>, CalibrationError> {
    let Packing {
        n_sequences,
        length,
        bos,
    } = packing;
    let n_new = length - usize::from(bos.is_some());
    let windows: Vec<&[u32]> = ids.chunks_exact(n_new).collect();
    if windows.len() < n_sequences {
        return Err(CalibrationError::TooShort {
            name: name.to_owned(),
            got: windows.len(),
            wanted: n_sequences,
            length,
            n_tokens: ids.len(),
        });
    }
    let chosen = order(windows.len()).into_iter().take(n_sequences);
    Ok(chosen
        .map(|idx| bos.iter().chain(windows[idx]).copied().collect())
        .collect())
}

/// How many of `n` sequences each share gets: the largest remainders are rounded up.
pub(super) fn divided(n: usize, shares: &[f64]) -> Vec<usize> {
    let sum: f64 = shares.iter().sum();
    let exact: Vec<f64> = shares.iter().map(|share| n as f64 * share / sum).collect();
    let mut counts: Vec<usize> = exact.iter().map(|value| value.floor() as usize).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let missing = n.saturating_sub(counts.iter().sum());
    for idx in order.into_iter().take(missing) {
        counts[idx] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKING: Packing = Packing {
        n_sequences: 2,
        length: 3,
        bos: None,
    };

    #[test]
    fn sequences_are_whole_and_begin_with_the_beginning_of_text() {
        let ids: Vec<u32> = (10..17).collect();
        let plain = sequences("t", &ids, PACKING, |n| (0..n).collect()).unwrap();
        assert_eq!(plain, [[10, 11, 12], [13, 14, 15]]);
        let bos = Packing {
            bos: Some(1),
            ..PACKING
        };
        let with_bos = sequences("t", &ids, bos, |n| (0..n).rev().collect()).unwrap();
        assert_eq!(with_bos, [[1, 14, 15], [1, 12, 13]]);
    }

    #[test]
    fn a_text_that_is_too_short_says_what_it_gives() {
        let refused = sequences("t", &[1, 2, 3, 4], PACKING, |n| (0..n).collect());
        assert_eq!(
            refused.unwrap_err().to_string(),
            "calibration text `t` gives 1 sequences of 3 tokens, not 2; it has 4 tokens"
        );
    }

    #[test]
    fn shares_add_up_to_all_sequences() {
        assert_eq!(divided(32, &[1.0]), [32]);
        assert_eq!(divided(10, &[0.5, 0.25, 0.25]), [5, 3, 2]);
        assert_eq!(divided(3, &[2.0, 1.0, 1.0, 1.0]), [1, 1, 1, 0]);
        assert_eq!(divided(7, &[1.0, 1e-9]), [7, 0]);
    }
}
