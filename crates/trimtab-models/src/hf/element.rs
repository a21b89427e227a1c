//! What the elements of a stored tensor are, and how they become `f32` or `i32`.

use crate::tensor_source::StoredType;
use half::{bf16, f16};
use rayon::prelude::*;
use std::fmt;

/// The type of stored elements, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float with 5 bits of exponent.
    F16,
    /// 16-bit float with 8 bits of exponent.
    Bf16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 16-bit signed integer.
    I16,
    /// 8-bit signed integer.
    I8,
    /// 8-bit unsigned integer.
    U8,
    /// 0 or 1 in one byte.
    Bool,
}

/// Elements that one thread converts at a time.
const CHUNK_ELEMENTS: usize = 1 << 16;

impl ElementType {
    /// Bytes of one element.
    pub fn width(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Floats or integers.
    pub fn stored_type(self) -> StoredType {
        match self {
            Self::F64 | Self::F32 | Self::F16 | Self::Bf16 => StoredType::Float,
            Self::I64 | Self::I32 | Self::I16 | Self::I8 | Self::U8 | Self::Bool => {
                StoredType::Integer
            }
        }
    }

    /// The elements as `f32`; `None` for integers. Doubles beyond the range become infinite.
    pub(super) fn floats(self, bytes: &[u8]) -> Option<Vec<f32>> {
        let floats = match self {
            Self::F64 => converted(bytes, |element| f64::from_le_bytes(element) as f32),
            Self::F32 => converted(bytes, f32::from_le_bytes),
            Self::F16 => converted(bytes, |element| f16::from_le_bytes(element).to_f32()),
            Self::Bf16 => converted(bytes, |element| bf16::from_le_bytes(element).to_f32()),
            Self::I64 | Self::I32 | Self::I16 | Self::I8 | Self::U8 | Self::Bool => return None,
        };
        Some(floats)
    }

    /// The elements as `i32`; `None` for floats.
    pub(super) fn integers(self, bytes: &[u8]) -> Option<Result<Vec<i32>, String>> {
        let integers = match self {
            Self::I64 => return Some(narrowed(bytes)),
            Self::Bool => return Some(booleans(bytes)),
            Self::I32 => converted(bytes, i32::from_le_bytes),
            Self::I16 => converted(bytes, |element| i16::from_le_bytes(element).into()),
            Self::I8 => converted(bytes, |element| i8::from_le_bytes(element).into()),
            Self::U8 => converted(bytes, |[element]: [u8; 1]| element.into()),
            Self::F64 | Self::F32 | Self::F16 | Self::Bf16 => return None,
        };
        Some(Ok(integers))
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        })
    }
}

/// `bytes` holds whole elements: the tables that lead here are checked against the file.
fn converted<const WIDTH: usize, T: Default + Clone + Send>(
    bytes: &[u8],
    convert: impl Fn([u8; WIDTH]) -> T + Sync,
) -> Vec<T> {
    let (stored, _) = bytes.as_chunks::<WIDTH>();
    let mut elements = vec![T::default(); stored.len()];
    elements
        .par_chunks_mut(CHUNK_ELEMENTS)
        .zip(stored.par_chunks(CHUNK_ELEMENTS))
        .for_each(|(elements, stored)| {
            for (element, bytes) in elements.iter_mut().zip(stored) {
                *element = convert(*bytes);
            }
        });
    elements
}

fn narrowed(bytes: &[u8]) -> Result<Vec<i32>, String> {
    let stored = bytes.as_chunks::<8>().0.iter().enumerate();
    let integers = stored.map(|(index, bytes)| {
        let wide = i64::from_le_bytes(*bytes);
        i32::try_from(wide).map_err(|_| format!("element {index} is {wide}, beyond 32 bits"))
    });
    integers.collect()
}

fn booleans(bytes: &[u8]) -> Result<Vec<i32>, String> {
    let stored = bytes.iter().enumerate();
    let integers = stored.map(|(index, &byte)| match byte {
        0 | 1 => Ok(i32::from(byte)),
        _ => Err(format!("element {index} is {byte}, neither 0 nor 1")),
    });
    integers.collect()
}
