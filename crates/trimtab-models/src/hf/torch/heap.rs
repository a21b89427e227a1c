//! The values that a pickle makes.

use super::{PickleError, global::Global};
use crate::hf::ElementType;

/// One value; lists, tuples and dictionaries are places in the [`Heap`], because a pickle may fill
/// them after it has named them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Text(&'a str),
    Global(Global),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(Storage<'a>),
    Tensor(usize),
}

/// The elements of one or more tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub(super) element: ElementType,
    /// Its member in the archive.
    pub(super) key: &'a str,
    pub(super) n_elements: i64,
}

/// A tensor as the pickle describes it, unchecked.
#[derive(Clone, Debug)]
pub(super) struct TensorRecord<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// What the values that have parts consist of.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    tuples: Vec<Vec<Value<'a>>>,
    lists: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    tensors: Vec<TensorRecord<'a>>,
    n_made: usize,
}

/// A checkpoint of 100,000 tensors needs three million.
const MAX_MADE: usize = 1 << 23;

impl<'a> Heap<'a> {
    pub(super) fn tuple(&mut self, items: Vec<Value<'a>>) -> Result<Value<'a>, PickleError> {
        self.count(1 + items.len())?;
        self.tuples.push(items);
        Ok(Value::Tuple(self.tuples.len() - 1))
    }

    pub(super) fn list(&mut self) -> Result<Value<'a>, PickleError> {
        self.count(1)?;
        self.lists.push(vec![]);
        Ok(Value::List(self.lists.len() - 1))
    }

    pub(super) fn dict(&mut self) -> Result<Value<'a>, PickleError> {
        self.count(1)?;
        self.dicts.push(vec![]);
        Ok(Value::Dict(self.dicts.len() - 1))
    }

    pub(super) fn tensor(&mut self, tensor: TensorRecord<'a>) -> Result<Value<'a>, PickleError> {
        self.count(1 + tensor.shape.len() + tensor.strides.len())?;
        self.tensors.push(tensor);
        Ok(Value::Tensor(self.tensors.len() - 1))
    }

    pub(super) fn append(&mut self, list: usize, items: &[Value<'a>]) -> Result<(), PickleError> {
        self.count(items.len())?;
        self.lists[list].extend_from_slice(items);
        Ok(())
    }

    pub(super) fn set(
        &mut self,
        dict: usize,
        key: Value<'a>,
        value: Value<'a>,
    ) -> Result<(), PickleError> {
        self.count(2)?;
        self.dicts[dict].push((key, value));
        Ok(())
    }

    pub(super) fn items(&self, tuple: usize) -> &[Value<'a>] {
        &self.tuples[tuple]
    }

    pub(super) fn elements(&self, list: usize) -> &[Value<'a>] {
        &self.lists[list]
    }

    /// In the order in which they were set; a key may occur more than once.
    pub(super) fn entries(&self, dict: usize) -> &[(Value<'a>, Value<'a>)] {
        &self.dicts[dict]
    }

    pub(super) fn record(&self, tensor: usize) -> &TensorRecord<'a> {
        &self.tensors[tensor]
    }

    fn count(&mut self, n_more: usize) -> Result<(), PickleError> {
        self.n_made += n_more;
        match self.n_made <= MAX_MADE {
            true => Ok(()),
            false => Err(PickleError::TooMuch {
                what: "values",
                limit: MAX_MADE,
            }),
        }
    }
}

impl Value<'_> {
    /// What it is, for messages.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float => "a float",
            Self::Text(_) => "a text",
            Self::Global(_) => "a class or function",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}
