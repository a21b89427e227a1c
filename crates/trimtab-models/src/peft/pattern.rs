//! Settings by pattern: regular expressions over the names of layers, the first match counts.

use super::AdapterError;
use regex::{Regex, RegexBuilder};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use std::{collections::HashSet, fmt};

/// The most memory a compiled pattern may take; honest ones need a few kilobytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A pattern that names whole layers.
pub(super) fn whole_name(key: &'static str, pattern: &str) -> Result<Regex, AdapterError> {
    compile(key, pattern, &format!("^(?:{pattern})$"))
}

/// A pattern that names layers by the end of their path, from any dot on.
pub(super) fn end_of_name(key: &'static str, pattern: &str) -> Result<Regex, AdapterError> {
    compile(key, pattern, &format!(r"^(?:.*\.)?(?:{pattern})$"))
}

fn compile(key: &'static str, pattern: &str, whole: &str) -> Result<Regex, AdapterError> {
    let mut builder = RegexBuilder::new(whole);
    let regex = builder.size_limit(MAX_PATTERN_BYTES).build();
    regex.map_err(|error| AdapterError::Pattern {
        key,
        pattern: pattern.to_owned(),
        // The library shows the pattern over several lines; the last says what is wrong.
        reason: error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned(),
    })
}

/// Values by pattern, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct ByPattern<T>(Vec<(Regex, T)>);

impl<T: Copy> ByPattern<T> {
    /// Compiles `entries`, each value turned into what it stands for.
    pub(super) fn new<V>(
        key: &'static str,
        entries: OrderedMap<V>,
        value: impl Fn(V) -> Result<T, AdapterError>,
    ) -> Result<Self, AdapterError> {
        let entries = entries.0.into_iter();
        let compiled = entries.map(|(pattern, v)| Ok((end_of_name(key, &pattern)?, value(v)?)));
        compiled.collect::<Result<_, _>>().map(Self)
    }

    /// The value for a layer, if a pattern names it.
    pub(super) fn get(&self, layer: &str) -> Option<T> {
        let found = self.0.iter().find(|(pattern, _)| pattern.is_match(layer));
        found.map(|(_, value)| *value)
    }
}

/// A JSON object that keeps its order and refuses a key that occurs twice.
#[derive(Debug)]
pub(super) struct OrderedMap<V>(Vec<(String, V)>);

impl<V> Default for OrderedMap<V> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for OrderedMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<V>(std::marker::PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for InOrder<V> {
            type Value = OrderedMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of patterns")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut entries, mut seen) = (vec![], HashSet::new());
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format!("`{key}` occurs twice")));
                    }
                    entries.push((key, value));
                }
                Ok(OrderedMap(entries))
            }
        }

        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}
