//! Metadata values: parsed from the file, and taken out as the type the caller needs.

use super::{GgufError, GgufTexts, cursor::Cursor};

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufValue {
    /// Unsigned, 8 bits.
    U8(u8),
    /// Signed, 8 bits.
    I8(i8),
    /// Unsigned, 16 bits.
    U16(u16),
    /// Signed, 16 bits.
    I16(i16),
    /// Unsigned, 32 bits.
    U32(u32),
    /// Signed, 32 bits.
    I32(i32),
    /// Unsigned, 64 bits.
    U64(u64),
    /// Signed, 64 bits.
    I64(i64),
    /// 32-bit float.
    F32(f32),
    /// 64-bit float.
    F64(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(String),
    /// Many values of one type.
    Array(GgufArray),
}

/// The values of an array; arrays of arrays are refused.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufArray {
    /// Unsigned, 8 bits.
    U8(Vec<u8>),
    /// Signed, 8 bits.
    I8(Vec<i8>),
    /// Unsigned, 16 bits.
    U16(Vec<u16>),
    /// Signed, 16 bits.
    I16(Vec<i16>),
    /// Unsigned, 32 bits.
    U32(Vec<u32>),
    /// Signed, 32 bits.
    I32(Vec<i32>),
    /// Unsigned, 64 bits.
    U64(Vec<u64>),
    /// Signed, 64 bits.
    I64(Vec<i64>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    String(GgufTexts),
}

impl GgufValue {
    /// The type, with its article, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) | Self::U16(_) | Self::U32(_) | Self::U64(_) => "an unsigned integer",
            Self::I8(_) | Self::I16(_) | Self::I32(_) | Self::I64(_) => "a signed integer",
            Self::F32(_) | Self::F64(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::String(_) => "a string",
            Self::Array(GgufArray::String(_)) => "an array of strings",
            Self::Array(_) => "an array of numbers",
        }
    }

    fn integer(&self) -> Option<i128> {
        match *self {
            Self::U8(value) => Some(value.into()),
            Self::I8(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U64(value) => Some(value.into()),
            Self::I64(value) => Some(value.into()),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) | Self::Array(_) => None,
        }
    }
}

/// A type that a metadata value can be taken out as.
pub trait FromGguf<'a>: Sized {
    /// What is needed, with its article, for messages.
    const EXPECTED: &'static str;
    /// The value, or `None` where it has another type or does not fit.
    fn from_gguf(value: &'a GgufValue) -> Option<Self>;
}

impl FromGguf<'_> for u32 {
    const EXPECTED: &'static str = "an unsigned integer of 32 bits";
    fn from_gguf(value: &GgufValue) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl FromGguf<'_> for u64 {
    const EXPECTED: &'static str = "an unsigned integer of 64 bits";
    fn from_gguf(value: &GgufValue) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl FromGguf<'_> for f32 {
    const EXPECTED: &'static str = "a finite float";
    fn from_gguf(value: &GgufValue) -> Option<Self> {
        let value = match *value {
            GgufValue::F32(value) => value,
            GgufValue::F64(value) => value as Self,
            _ => return None,
        };
        value.is_finite().then_some(value)
    }
}

impl FromGguf<'_> for bool {
    const EXPECTED: &'static str = "a boolean";
    fn from_gguf(value: &GgufValue) -> Option<Self> {
        match value {
            GgufValue::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl<'a> FromGguf<'a> for &'a str {
    const EXPECTED: &'static str = "a string";
    fn from_gguf(value: &'a GgufValue) -> Option<Self> {
        match value {
            GgufValue::String(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> FromGguf<'a> for &'a GgufTexts {
    const EXPECTED: &'static str = "an array of strings";
    fn from_gguf(value: &'a GgufValue) -> Option<Self> {
        match value {
            GgufValue::Array(GgufArray::String(texts)) => Some(texts),
            _ => None,
        }
    }
}

impl<'a> FromGguf<'a> for &'a [i32] {
    const EXPECTED: &'static str = "an array of signed integers of 32 bits";
    fn from_gguf(value: &'a GgufValue) -> Option<Self> {
        match value {
            GgufValue::Array(GgufArray::I32(values)) => Some(values),
            _ => None,
        }
    }
}

impl From<u32> for GgufValue {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<f32> for GgufValue {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

impl From<bool> for GgufValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for GgufValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<Vec<String>> for GgufValue {
    fn from(values: Vec<String>) -> Self {
        Self::Array(GgufArray::String(values.into_iter().collect()))
    }
}

impl From<Vec<i32>> for GgufValue {
    fn from(values: Vec<i32>) -> Self {
        Self::Array(GgufArray::I32(values))
    }
}

/// Codes of the value types in a file.
pub(super) mod code {
    pub(in crate::gguf) const U8: u32 = 0;
    pub(in crate::gguf) const I8: u32 = 1;
    pub(in crate::gguf) const U16: u32 = 2;
    pub(in crate::gguf) const I16: u32 = 3;
    pub(in crate::gguf) const U32: u32 = 4;
    pub(in crate::gguf) const I32: u32 = 5;
    pub(in crate::gguf) const F32: u32 = 6;
    pub(in crate::gguf) const BOOL: u32 = 7;
    pub(in crate::gguf) const STRING: u32 = 8;
    pub(in crate::gguf) const ARRAY: u32 = 9;
    pub(in crate::gguf) const U64: u32 = 10;
    pub(in crate::gguf) const I64: u32 = 11;
    pub(in crate::gguf) const F64: u32 = 12;
}

const WHAT: &str = "a metadata value";

/// Reads the type and the value of `key`.
pub(super) fn read_value(cursor: &mut Cursor<'_>, key: &str) -> Result<GgufValue, GgufError> {
    let value = match cursor.u32("the type of a metadata value")? {
        code::U8 => GgufValue::U8(u8::from_le_bytes(cursor.array(WHAT)?)),
        code::I8 => GgufValue::I8(i8::from_le_bytes(cursor.array(WHAT)?)),
        code::U16 => GgufValue::U16(u16::from_le_bytes(cursor.array(WHAT)?)),
        code::I16 => GgufValue::I16(i16::from_le_bytes(cursor.array(WHAT)?)),
        code::U32 => GgufValue::U32(cursor.u32(WHAT)?),
        code::I32 => GgufValue::I32(i32::from_le_bytes(cursor.array(WHAT)?)),
        code::U64 => GgufValue::U64(cursor.u64(WHAT)?),
        code::I64 => GgufValue::I64(i64::from_le_bytes(cursor.array(WHAT)?)),
        code::F32 => GgufValue::F32(f32::from_le_bytes(cursor.array(WHAT)?)),
        code::F64 => GgufValue::F64(f64::from_le_bytes(cursor.array(WHAT)?)),
        code::BOOL => GgufValue::Bool(bool_from_byte(cursor.array::<1>(WHAT)?[0], key)?),
        code::STRING => GgufValue::String(cursor.text(WHAT)?.to_owned()),
        code::ARRAY => GgufValue::Array(read_array(cursor, key)?),
        code => {
            return Err(GgufError::UnknownValueType {
                key: key.to_owned(),
                code,
            });
        }
    };
    Ok(value)
}

fn read_array(cursor: &mut Cursor<'_>, key: &str) -> Result<GgufArray, GgufError> {
    let array = match cursor.u32("the element type of an array")? {
        code::U8 => GgufArray::U8(read_numbers(cursor, u8::from_le_bytes)?),
        code::I8 => GgufArray::I8(read_numbers(cursor, i8::from_le_bytes)?),
        code::U16 => GgufArray::U16(read_numbers(cursor, u16::from_le_bytes)?),
        code::I16 => GgufArray::I16(read_numbers(cursor, i16::from_le_bytes)?),
        code::U32 => GgufArray::U32(read_numbers(cursor, u32::from_le_bytes)?),
        code::I32 => GgufArray::I32(read_numbers(cursor, i32::from_le_bytes)?),
        code::U64 => GgufArray::U64(read_numbers(cursor, u64::from_le_bytes)?),
        code::I64 => GgufArray::I64(read_numbers(cursor, i64::from_le_bytes)?),
        code::F32 => GgufArray::F32(read_numbers(cursor, f32::from_le_bytes)?),
        code::F64 => GgufArray::F64(read_numbers(cursor, f64::from_le_bytes)?),
        code::BOOL => {
            let bytes = read_numbers(cursor, u8::from_le_bytes)?;
            let bools = bytes.into_iter().map(|byte| bool_from_byte(byte, key));
            GgufArray::Bool(bools.collect::<Result<_, _>>()?)
        }
        code::STRING => GgufArray::String(read_strings(cursor)?),
        code::ARRAY => return Err(GgufError::NestedArray(key.to_owned())),
        code => {
            return Err(GgufError::UnknownValueType {
                key: key.to_owned(),
                code,
            });
        }
    };
    Ok(array)
}

fn read_numbers<T, const N: usize>(
    cursor: &mut Cursor<'_>,
    from_bytes: fn([u8; N]) -> T,
) -> Result<Vec<T>, GgufError> {
    let count = cursor.count(N, "array elements")?;
    let bytes = cursor.take((count * N) as u64, "an array")?;
    let (numbers, _) = bytes.as_chunks::<N>();
    Ok(numbers.iter().map(|&number| from_bytes(number)).collect())
}

fn read_strings(cursor: &mut Cursor<'_>) -> Result<GgufTexts, GgufError> {
    // A string takes at least the eight bytes of its length.
    let count = cursor.count(8, "array strings")?;
    let mut texts = GgufTexts::with_capacity(count);
    for _ in 0..count {
        texts.push(cursor.text("a string of an array")?);
    }
    Ok(texts)
}

fn bool_from_byte(found: u8, key: &str) -> Result<bool, GgufError> {
    match found {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(GgufError::InvalidBool {
            key: key.to_owned(),
            found,
        }),
    }
}
