//! The merges of byte-pair encoding: which two tokens become one, and which of them first.

use super::TokenizerError;

/// Two tokens that become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) left: u32,
    pub(super) right: u32,
    /// The token of both texts.
    pub(super) union: u32,
}

impl Merge {
    /// The merge at place `idx` of a file.
    ///
    /// # Errors
    ///
    /// A part, or the union, that `id` does not know.
    pub(super) fn new(
        idx: usize,
        left: &str,
        right: &str,
        id: impl Fn(&str) -> Option<u32>,
    ) -> Result<Self, TokenizerError> {
        let required = |part: &str| {
            id(part).ok_or_else(|| TokenizerError::MergeOutOfVocabulary {
                idx,
                part: part.to_owned(),
            })
        };
        Ok(Self {
            left: required(left)?,
            right: required(right)?,
            union: required(&format!("{left}{right}"))?,
        })
    }
}

/// What becomes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Union {
    /// Place of the merge in the file: lower ones come first.
    pub(super) rank: u32,
    pub(super) id: u32,
}

/// All merges, by their left part and then by their right one.
#[derive(Debug)]
pub(super) struct MergeTable {
    /// Where the merges of each left part begin, and where the last ones end.
    starts: Vec<u32>,
    rights: Vec<(u32, Union)>,
}

impl MergeTable {
    /// Puts merges in order, of tokens with ids below `n_ids`. Of two for the same pair the later
    /// holds.
    pub(super) fn new(merges: &[Merge], n_ids: usize) -> Self {
        let ranked = (0..).zip(merges);
        let mut ranked: Vec<(u32, &Merge)> = ranked.collect();
        ranked.sort_unstable_by_key(|(rank, merge)| {
            (merge.left, merge.right, std::cmp::Reverse(*rank))
        });
        ranked.dedup_by_key(|(_, merge)| (merge.left, merge.right));
        let mut starts = vec![0; n_ids + 1];
        for (_, merge) in &ranked {
            starts[merge.left as usize + 1] += 1;
        }
        for left in 0..n_ids {
            starts[left + 1] += starts[left];
        }
        let rights = ranked.into_iter().map(|(rank, merge)| {
            let id = merge.union;
            (merge.right, Union { rank, id })
        });
        Self {
            starts,
            rights: rights.collect(),
        }
    }

    /// What becomes of two tokens that stand side by side.
    pub(super) fn get(&self, left: u32, right: u32) -> Option<Union> {
        let left = left as usize;
        let (start, end) = (*self.starts.get(left)?, *self.starts.get(left + 1)?);
        let rights = &self.rights[start as usize..end as usize];
        let place = rights.binary_search_by_key(&right, |(right, _)| *right);
        place.ok().map(|place| rights[place].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_merges_of_one_pair_the_later_holds() {
        let merge = |left, right, union| Merge { left, right, union };
        let merges = [
            merge(1, 0, 3),
            merge(0, 1, 2),
            merge(1, 0, 4),
            merge(3, 3, 0),
        ];
        let table = MergeTable::new(&merges, 5);
        assert_eq!(table.get(1, 0), Some(Union { rank: 2, id: 4 }));
        assert_eq!(table.get(0, 1), Some(Union { rank: 1, id: 2 }));
        assert_eq!(table.get(3, 3), Some(Union { rank: 3, id: 0 }));
        assert_eq!((table.get(0, 0), table.get(4, 0)), (None, None));
        assert_eq!(table.get(u32::MAX, 0), None);
    }

    #[test]
    fn a_part_that_is_no_token_is_named() {
        let id = |text: &str| ["a", "b", "ab"].iter().position(|token| *token == text);
        let merge = |left, right| Merge::new(7, left, right, |text| Some(id(text)? as u32));
        assert_eq!(merge("a", "b").unwrap().union, 2);
        for (left, right, missing) in [("x", "b", "x"), ("a", "x", "x"), ("b", "a", "ba")] {
            let error = merge(left, right).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("merge 7: `{missing}` is not in the vocabulary")
            );
        }
    }
}
