//! The classes and functions that a description of tensors names, and what calling them means.

use super::{
    PickleError,
    heap::{Heap, Storage, TensorRecord, Value},
};
use crate::hf::ElementType;

/// A known class or function.
#[derive(Clone, Copy, Debug)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(ElementType),
}

impl Global {
    /// The known one of this name.
    pub(super) fn find(module: &str, name: &str) -> Result<Self, PickleError> {
        let found = match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", _) => storage_element(name).map(Self::Storage),
            _ => None,
        };
        found.ok_or_else(|| PickleError::Global {
            module: module.to_owned(),
            name: name.to_owned(),
        })
    }

    /// What a call gives; `None` where the arguments are not those of a tensor's description.
    pub(super) fn call<'a>(
        self,
        heap: &mut Heap<'a>,
        arguments: &[Value<'a>],
    ) -> Result<Option<Value<'a>>, PickleError> {
        match (self, arguments) {
            (Self::OrderedDict, []) => heap.dict().map(Some),
            // Whether it is trained, and its hooks, are of no use here.
            (Self::RebuildParameter, [tensor @ Value::Tensor(_), _, _]) => Ok(Some(*tensor)),
            // After the strides: as above, and flags that checkpoints leave empty.
            (
                Self::RebuildTensor,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    _,
                    _,
                    rest @ ..,
                ],
            ) if rest.len() <= 1 => {
                let (Some(shape), Some(strides)) =
                    (integers(heap.items(*shape)), integers(heap.items(*strides)))
                else {
                    return Ok(None);
                };
                let (storage, offset) = (*storage, *offset);
                let record = TensorRecord {
                    storage,
                    offset,
                    shape,
                    strides,
                };
                heap.tensor(record).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The storage that a persistent id names: `("storage", class, key, device, length)`.
pub(super) fn storage<'a>(id: &[Value<'a>]) -> Option<Value<'a>> {
    match *id {
        [
            Value::Text("storage"),
            Value::Global(Global::Storage(element)),
            Value::Text(key),
            Value::Text(_),
            Value::Int(n_elements),
        ] => Some(Value::Storage(Storage {
            element,
            key,
            n_elements,
        })),
        _ => None,
    }
}

fn integers(values: &[Value<'_>]) -> Option<Vec<i64>> {
    let integers = values.iter().map(|value| match value {
        Value::Int(integer) => Some(*integer),
        _ => None,
    });
    integers.collect()
}

fn storage_element(class: &str) -> Option<ElementType> {
    let element = match class {
        "DoubleStorage" => ElementType::F64,
        "FloatStorage" => ElementType::F32,
        "HalfStorage" => ElementType::F16,
        "BFloat16Storage" => ElementType::Bf16,
        "LongStorage" => ElementType::I64,
        "IntStorage" => ElementType::I32,
        "ShortStorage" => ElementType::I16,
        "CharStorage" => ElementType::I8,
        "ByteStorage" => ElementType::U8,
        "BoolStorage" => ElementType::Bool,
        _ => return None,
    };
    Some(element)
}
