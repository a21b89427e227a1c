//! Contamination: passages that a calibration text shares with what models are tested on.
//!
//! Two texts overlap where 13 consecutive words are the same; words are runs of letters and digits,
//! in lower case. The length is that of Brown et al. 2020, <https://arxiv.org/abs/2005.14165>,
//! appendix C, who remove such passages from training data.

use std::{collections::HashSet, fmt};

/// Consecutive words that two texts have to share.
pub const N_WORDS: usize = 13;

/// A text that models are tested on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// What it is, for people: `problem starter/w01`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A passage that the calibration text contains in part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Overlap {
    /// The first passage that overlaps.
    pub name: String,
    /// The words that they share.
    pub words: String,
    /// How many passages overlap.
    pub n_passages: usize,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, words) = (&self.name, &self.words);
        write!(
            f,
            "the calibration text shares {N_WORDS} words with {name}: `{words}`"
        )?;
        match self.n_passages {
            0 | 1 => Ok(()),
            n => write!(f, "; and with {} more", n - 1),
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Where `calibration` shares [`N_WORDS`] consecutive words with a passage.
pub fn find_overlap(calibration: &str, passages: &[Passage]) -> Option<Overlap> {
    let calibration = words(calibration);
    let known: HashSet<&[String]> = calibration.windows(N_WORDS).collect();
    let mut found: Option<Overlap> = None;
    for passage in passages {
        let words = words(&passage.text);
        let Some(shared) = words.windows(N_WORDS).find(|words| known.contains(words)) else {
            continue;
        };
        match &mut found {
            Some(overlap) => overlap.n_passages += 1,
            None => {
                found = Some(Overlap {
                    name: passage.name.clone(),
                    words: shared.join(" "),
                    n_passages: 1,
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "One two, three: four five six seven eight nine ten eleven twelve thirteen!";

    fn passage(name: &str, text: &str) -> Passage {
        Passage {
            name: name.into(),
            text: text.into(),
        }
    }

    #[test]
    fn thirteen_words_in_a_row_overlap_and_twelve_do_not() {
        let longer = format!("zero ({}) fourteen", TEXT.to_uppercase());
        let shorter = TEXT.replace("One ", "");
        let passages = [
            passage("a", &shorter),
            passage("b", &longer),
            passage("c", TEXT),
        ];
        let found = find_overlap(TEXT, &passages).unwrap();
        assert_eq!((found.name.as_str(), found.n_passages), ("b", 2));
        assert!(found.words.starts_with("one two three four"));
        assert!(found.to_string().ends_with("; and with 1 more"));
        assert_eq!(find_overlap(TEXT, &passages[..1]), None);
        assert_eq!(find_overlap("", &passages), None);
    }
}
