//! From what a pickle holds to tensors with names.
//!
//! Nested dictionaries give names joined with dots: `{"a": {"b": tensor}}` is `a.b`. Trainers often
//! save a model beside other things: where the file holds no tensor at its top, one entry of
//! [`WRAPPERS`] that is a dictionary is taken for the model, and its name does not count.

use super::{
    TorchError,
    heap::{Heap, TensorRecord, Value},
};
use std::collections::BTreeMap;

/// Names under which a model is saved.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];
const MAX_DEPTH: usize = 16;
const MAX_NAME_BYTES: usize = 1024;
/// Entries that are looked at; a dictionary that holds another twice is looked at twice.
const MAX_ENTRIES: usize = 1 << 18;

/// The tensors by name.
pub(super) fn tensors<'h, 'a>(
    heap: &'h Heap<'a>,
    root: Value<'a>,
) -> Result<BTreeMap<String, &'h TensorRecord<'a>>, TorchError> {
    let Value::Dict(root) = root else {
        let found = root.kind();
        return Err(TorchError::NotADictionary { found });
    };
    let mut walk = Walk {
        heap,
        tensors: BTreeMap::new(),
        n_entries: 0,
    };
    walk.visit(unwrapped(heap, root)?, "", 0)?;
    Ok(walk.tensors)
}

/// The dictionary of the model in that of the file.
fn unwrapped(heap: &Heap<'_>, root: usize) -> Result<usize, TorchError> {
    if holds_tensors(heap, root) {
        return Ok(root);
    }
    let mut wrapper = None;
    let mut with_tensors = vec![];
    for (key, value) in heap.entries(root) {
        let (Value::Text(key), Value::Dict(dict)) = (key, value) else {
            continue;
        };
        let is_wrapper = WRAPPERS.contains(key);
        if is_wrapper {
            wrapper = Some(*dict);
        }
        if is_wrapper || holds_tensors(heap, *dict) {
            with_tensors.push((*key).to_owned());
        }
    }
    match wrapper {
        None => Ok(root),
        Some(dict) if with_tensors.len() == 1 => Ok(dict),
        Some(_) => Err(TorchError::AmbiguousStateDict(with_tensors)),
    }
}

fn holds_tensors(heap: &Heap<'_>, dict: usize) -> bool {
    let mut entries = heap.entries(dict).iter();
    entries.any(|(_, value)| matches!(value, Value::Tensor(_)))
}

struct Walk<'h, 'a> {
    heap: &'h Heap<'a>,
    tensors: BTreeMap<String, &'h TensorRecord<'a>>,
    n_entries: usize,
}

impl Walk<'_, '_> {
    fn visit(&mut self, dict: usize, prefix: &str, depth: usize) -> Result<(), TorchError> {
        at_most(depth, MAX_DEPTH, "levels")?;
        for (key, value) in self.heap.entries(dict) {
            self.n_entries += 1;
            at_most(self.n_entries, MAX_ENTRIES, "entries")?;
            let is_relevant = match value {
                Value::Tensor(_) | Value::Dict(_) => true,
                Value::List(list) => any_tensor(self.heap.elements(*list)),
                Value::Tuple(tuple) => any_tensor(self.heap.items(*tuple)),
                // Step counts, versions and the like.
                _ => false,
            };
            if !is_relevant {
                continue;
            }
            let Value::Text(key) = key else {
                let (prefix, found) = (prefix.to_owned(), key.kind());
                return Err(TorchError::KeyIsNoName { prefix, found });
            };
            at_most(prefix.len() + key.len(), MAX_NAME_BYTES, "bytes in a name")?;
            let name = match prefix {
                "" => (*key).to_owned(),
                _ => format!("{prefix}.{key}"),
            };
            match value {
                Value::Dict(dict) => self.visit(*dict, &name, depth + 1)?,
                Value::Tensor(tensor) => self.insert(name, *tensor)?,
                _ => return Err(TorchError::Unnamed(name)),
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: String, tensor: usize) -> Result<(), TorchError> {
        if self.tensors.contains_key(&name) {
            return Err(TorchError::Duplicate(name));
        }
        self.tensors.insert(name, self.heap.record(tensor));
        Ok(())
    }
}

fn any_tensor(values: &[Value<'_>]) -> bool {
    values.iter().any(|value| matches!(value, Value::Tensor(_)))
}

fn at_most(count: usize, limit: usize, what: &'static str) -> Result<(), TorchError> {
    match count <= limit {
        true => Ok(()),
        false => Err(TorchError::TooMuch { what, limit }),
    }
}
