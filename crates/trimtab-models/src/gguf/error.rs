//! Everything that can be wrong with a GGUF file.

use super::GgmlType;
use std::path::PathBuf;

/// Why a GGUF file, or something in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file cannot be opened or mapped.
    #[error("cannot open `{}`: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file does not begin with `GGUF`.
    #[error("not a GGUF file: it begins with {found:?} instead of `GGUF`")]
    BadMagic {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// A version of the format that is not read.
    #[error("GGUF version {0} is not supported; versions 2 and 3 are")]
    UnsupportedVersion(u32),
    /// The file was written for a big-endian machine.
    #[error("the GGUF file is big-endian; only little-endian files are supported")]
    BigEndian,
    /// The file ends before something it must hold.
    #[error("the file ends inside {what}: {needed} bytes needed at offset {offset}, {left} left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        offset: usize,
        /// Bytes it needs.
        needed: u64,
        /// Bytes left.
        left: usize,
    },
    /// A count that the rest of the file cannot hold.
    #[error("the file claims {claimed} {what}, but the {left} bytes left hold at most {most}")]
    ImpossibleCount {
        /// What is counted.
        what: &'static str,
        /// The count in the file.
        claimed: u64,
        /// The largest count that would fit.
        most: usize,
        /// Bytes left.
        left: usize,
    },
    /// A name or key longer than the format allows.
    #[error("{what} of {length} bytes is longer than {limit}")]
    NameTooLong {
        /// What is named.
        what: &'static str,
        /// Its length.
        length: u64,
        /// The longest allowed.
        limit: u64,
    },
    /// Text that is not UTF-8.
    #[error("{what} at offset {offset} is not UTF-8")]
    InvalidUtf8 {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        offset: usize,
    },
    /// A metadata key that occurs twice.
    #[error("metadata key `{0}` occurs twice")]
    DuplicateKey(String),
    /// A tensor name that occurs twice.
    #[error("tensor `{0}` occurs twice")]
    DuplicateTensor(String),
    /// A value type that the format does not have.
    #[error("metadata key `{key}` has the unknown value type {code}")]
    UnknownValueType {
        /// The key.
        key: String,
        /// The type's code in the file.
        code: u32,
    },
    /// An array of arrays.
    #[error("metadata key `{0}` is an array of arrays, which is refused")]
    NestedArray(String),
    /// A boolean that is neither 0 nor 1.
    #[error("metadata key `{key}` holds {found} where a boolean, 0 or 1, belongs")]
    InvalidBool {
        /// The key.
        key: String,
        /// The byte in the file.
        found: u8,
    },
    /// An alignment that is no power of two, or larger than the file.
    #[error("`general.alignment` = {0} is not a power of two within the file")]
    InvalidAlignment(u64),
    /// A shape with no or more than four axes, an empty axis, or too many elements.
    #[error("tensor `{name}` has the impossible dimensions {dims:?}")]
    InvalidShape {
        /// The tensor.
        name: String,
        /// Its dimensions as in the file, the fastest first.
        dims: Vec<u64>,
    },
    /// Rows that do not divide into blocks.
    #[error("tensor `{name}`: rows of {d_in} do not divide into blocks of {block} ({ggml_type})")]
    UnevenBlocks {
        /// The tensor.
        name: String,
        /// Elements in a row.
        d_in: usize,
        /// Elements in a block.
        block: usize,
        /// Its type.
        ggml_type: GgmlType,
    },
    /// An offset that is not a multiple of the alignment.
    #[error("tensor `{name}` begins at {offset}, which is not a multiple of {alignment}")]
    MisalignedTensor {
        /// The tensor.
        name: String,
        /// Its offset within the data.
        offset: u64,
        /// The alignment of the file.
        alignment: u64,
    },
    /// Data beyond the end of the file.
    #[error(
        "tensor `{name}` needs {needed} bytes at offset {offset} of the data, which has {available}"
    )]
    TensorOutOfFile {
        /// The tensor.
        name: String,
        /// Its offset within the data.
        offset: u64,
        /// Its bytes.
        needed: u64,
        /// Bytes of data in the file.
        available: usize,
    },
    /// Two tensors that share bytes.
    #[error("tensors `{first}` and `{second}` share bytes of the file")]
    OverlappingTensors {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
    /// A metadata key that is needed and not there.
    #[error("metadata key `{0}` is missing")]
    MissingKey(String),
    /// A metadata value of another type than needed.
    #[error("metadata key `{key}` holds {found}, not {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// What is needed.
        expected: &'static str,
        /// What the file has.
        found: &'static str,
    },
    /// A tensor that is needed and not there.
    #[error("tensor `{0}` is missing")]
    MissingTensor(String),
    /// A tensor of a type that cannot be dequantised.
    #[error("tensor `{name}` has the type {ggml_type}, which cannot be read")]
    UnsupportedType {
        /// The tensor.
        name: String,
        /// Its type.
        ggml_type: GgmlType,
    },
    /// Rows that the tensor does not have.
    #[error("tensor `{name}` has {n_rows} rows; {start}..{end} is not among them")]
    RowsOutOfRange {
        /// The tensor.
        name: String,
        /// Its rows.
        n_rows: usize,
        /// First row asked for.
        start: usize,
        /// One after the last row asked for.
        end: usize,
    },
    /// A weight that is no finite number.
    #[error("tensor `{name}` holds {value} at element {index}")]
    NonFinite {
        /// The tensor.
        name: String,
        /// Which element.
        index: usize,
        /// The value, an infinity or not a number.
        value: f32,
    },
}

impl GgufError {
    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } | Self::TensorOutOfFile { .. } => {
                Some("the download may be incomplete; remove the file and fetch it again")
            }
            Self::UnsupportedType { .. } => Some(
                "use a file in F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL or Q2_K to Q6_K",
            ),
            Self::UnsupportedVersion(_) | Self::BigEndian => {
                Some("convert the model again with a current converter")
            }
            _ => None,
        }
    }
}
