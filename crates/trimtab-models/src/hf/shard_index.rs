//! The index of a checkpoint that is split over several files: which file holds which tensor.

use super::{HfError, json::read_json};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Component, Path},
};

/// An index of a model with 10,000 tensors has about one megabyte.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// File by tensor.
///
/// Invariant: not empty, and every file name stays inside the folder of the index.
#[derive(Debug, Deserialize)]
pub(super) struct ShardIndex {
    weight_map: WeightMap,
}

impl ShardIndex {
    /// Reads an index; `None` where there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, HfError> {
        let Some(index) = read_json::<Self>(path, MAX_INDEX_BYTES)? else {
            return Ok(None);
        };
        if index.weight_map.0.is_empty() {
            return Err(HfError::EmptyIndex(path.to_owned()));
        }
        let outside = index.shards().into_iter().find(|shard| !is_inside(shard));
        match outside {
            None => Ok(Some(index)),
            Some(shard) => Err(HfError::ShardOutside {
                index: path.to_owned(),
                shard: shard.to_owned(),
            }),
        }
    }

    /// Every file once, sorted.
    pub(super) fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.0.values().map(String::as_str).collect()
    }

    /// Tensors and their files.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&str, &str)> {
        let tensors = self.weight_map.0.iter();
        tensors.map(|(tensor, shard)| (tensor.as_str(), shard.as_str()))
    }
}

fn is_inside(shard: &str) -> bool {
    // Backslashes and colons lead elsewhere on other systems only, but no real shard has them.
    let has_foreign = shard.contains(['\\', ':', '\0']);
    let mut components = Path::new(shard).components().peekable();
    let is_empty = components.peek().is_none();
    !has_foreign && !is_empty && components.all(|part| matches!(part, Component::Normal(_)))
}

/// A map that refuses a key that occurs twice, where serde's own would keep the last.
#[derive(Debug)]
struct WeightMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WeightMapVisitor)
    }
}

struct WeightMapVisitor;

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = WeightMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tensors to files")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<WeightMap, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((tensor, shard)) = entries.next_entry::<String, String>()? {
            if map.contains_key(&tensor) {
                return Err(A::Error::custom(format!("tensor `{tensor}` occurs twice")));
            }
            map.insert(tensor, shard);
        }
        Ok(WeightMap(map))
    }
}
