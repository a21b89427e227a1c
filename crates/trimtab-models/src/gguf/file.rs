//! An open GGUF file: metadata by key, tensors by name, elements as floats.

use super::{
    FromGguf, GgufError, GgufTensor, GgufTexts, GgufValue, blocks::dequantize_blocks,
    header::Header,
};
use memmap2::Mmap;
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fs::File,
    ops::Range,
    path::Path,
};

/// A GGUF file whose header has been checked; tensor data is read when asked for.
pub struct GgufFile {
    bytes: Bytes,
    header: Header,
    tensor_idx_from_name: HashMap<String, usize>,
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

/// Elements that one thread dequantises at a time.
const CHUNK_ELEMENTS: usize = 1 << 16;

impl GgufFile {
    /// Maps a file into memory and reads its header.
    ///
    /// The file must not be changed while it is open: model files are written under another name,
    /// moved into place once complete, and never written to again.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let failed = |source| GgufError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            // An empty file cannot be mapped.
            return Self::from_bytes(Bytes::Owned(vec![]));
        }
        // SAFETY: the map is read-only, and the contract above keeps the file from changing.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Self::from_bytes(Bytes::Mapped(map))
    }

    /// Reads a file that is already in memory; the bytes are copied.
    pub fn parse(bytes: &[u8]) -> Result<Self, GgufError> {
        Self::from_bytes(Bytes::Owned(bytes.to_vec()))
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, GgufError> {
        let header = Header::parse(bytes.as_slice())?;
        let names = header.tensors.iter().enumerate();
        let tensor_idx_from_name = names
            .map(|(idx, tensor)| (tensor.name.clone(), idx))
            .collect();
        Ok(Self {
            bytes,
            header,
            tensor_idx_from_name,
        })
    }

    /// Version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// All metadata.
    pub fn metadata(&self) -> &BTreeMap<String, GgufValue> {
        &self.header.metadata
    }

    /// A metadata value, or `None` where the key is not there.
    pub fn find<'a, T: FromGguf<'a>>(&'a self, key: &str) -> Result<Option<T>, GgufError> {
        let Some(value) = self.header.metadata.get(key) else {
            return Ok(None);
        };
        let (expected, found) = (T::EXPECTED, value.type_name());
        let wrong_type = || GgufError::WrongType {
            key: key.to_owned(),
            expected,
            found,
        };
        T::from_gguf(value).map(Some).ok_or_else(wrong_type)
    }

    /// A metadata value that must be there.
    pub fn get<'a, T: FromGguf<'a>>(&'a self, key: &str) -> Result<T, GgufError> {
        self.find(key)?
            .ok_or_else(|| GgufError::MissingKey(key.to_owned()))
    }

    /// An integer that must be there; stored widths and signs are accepted where the value fits.
    pub fn get_u32(&self, key: &str) -> Result<u32, GgufError> {
        self.get(key)
    }

    /// An integer that must be there; stored widths and signs are accepted where the value fits.
    pub fn get_u64(&self, key: &str) -> Result<u64, GgufError> {
        self.get(key)
    }

    /// A finite float that must be there.
    pub fn get_f32(&self, key: &str) -> Result<f32, GgufError> {
        self.get(key)
    }

    /// A boolean that must be there.
    pub fn get_bool(&self, key: &str) -> Result<bool, GgufError> {
        self.get(key)
    }

    /// A text that must be there.
    pub fn get_str(&self, key: &str) -> Result<&str, GgufError> {
        self.get(key)
    }

    /// An array of texts that must be there.
    pub fn get_strings(&self, key: &str) -> Result<&GgufTexts, GgufError> {
        self.get(key)
    }

    /// An array of 32-bit integers that must be there.
    pub fn get_i32s(&self, key: &str) -> Result<&[i32], GgufError> {
        self.get(key)
    }

    /// The tensor table, in the order of the file.
    pub fn tensors(&self) -> &[GgufTensor] {
        &self.header.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.tensor_idx_from_name
            .get(name)
            .map(|&idx| &self.header.tensors[idx])
    }

    /// The bytes of a tensor, as stored.
    pub fn tensor_bytes(&self, name: &str) -> Result<&[u8], GgufError> {
        self.stored(self.required(name)?)
    }

    /// All elements of a tensor.
    ///
    /// # Shapes
    ///
    /// - result: the tensor's shape, row-major
    ///
    /// # Errors
    ///
    /// A missing tensor, a type that cannot be read, an element that is not finite.
    ///
    /// # Cost
    ///
    /// All threads share the work; the result is the only allocation.
    pub fn dequantize(&self, name: &str) -> Result<Vec<f32>, GgufError> {
        let n_rows = self.required(name)?.n_rows();
        self.dequantize_rows(name, 0..n_rows)
    }

    /// The elements of some rows of a tensor.
    ///
    /// # Shapes
    ///
    /// - result: `[rows.len(), d_in]`, row-major
    ///
    /// # Errors
    ///
    /// As [`dequantize`](Self::dequantize), and rows that the tensor does not have.
    pub fn dequantize_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>, GgufError> {
        let tensor = self.required(name)?;
        let n_rows = tensor.n_rows();
        if rows.start > rows.end || rows.end > n_rows {
            let (name, start, end) = (name.to_owned(), rows.start, rows.end);
            return Err(GgufError::RowsOutOfRange {
                name,
                n_rows,
                start,
                end,
            });
        }
        let stored = self.stored(tensor)?;
        let block = tensor
            .ggml_type
            .block()
            .expect("`stored` refuses types without a block size");
        let row_bytes = tensor.d_in() / block.n_elements * block.n_bytes;
        let stored = &stored[rows.start * row_bytes..rows.end * row_bytes];

        let mut elements = vec![0.0_f32; rows.len() * tensor.d_in()];
        let n_blocks = (CHUNK_ELEMENTS / block.n_elements).max(1);
        let first_non_finite = elements
            .par_chunks_mut(n_blocks * block.n_elements)
            .zip(stored.par_chunks(n_blocks * block.n_bytes))
            .enumerate()
            .filter_map(|(chunk_idx, (elements, stored))| {
                dequantize_blocks(tensor.ggml_type, stored, elements);
                let position = first_non_finite(elements)?;
                Some(chunk_idx * n_blocks * block.n_elements + position)
            })
            .min();
        if let Some(position) = first_non_finite {
            let (index, value) = (rows.start * tensor.d_in() + position, elements[position]);
            return Err(GgufError::NonFinite {
                name: name.to_owned(),
                index,
                value,
            });
        }
        Ok(elements)
    }

    fn required(&self, name: &str) -> Result<&GgufTensor, GgufError> {
        self.tensor(name)
            .ok_or_else(|| GgufError::MissingTensor(name.to_owned()))
    }

    fn stored(&self, tensor: &GgufTensor) -> Result<&[u8], GgufError> {
        let Some(n_bytes) = tensor.n_bytes else {
            let (name, ggml_type) = (tensor.name.clone(), tensor.ggml_type);
            return Err(GgufError::UnsupportedType { name, ggml_type });
        };
        // The table was checked against the file, so this is within it.
        let start = self.header.data_offset + tensor.offset as usize;
        Ok(&self.bytes.as_slice()[start..start + n_bytes as usize])
    }
}

fn first_non_finite(elements: &[f32]) -> Option<usize> {
    // Without a branch in the loop; almost every chunk ends here.
    let are_finite = elements
        .iter()
        .fold(true, |are, element| are & element.is_finite());
    if are_finite {
        None
    } else {
        elements.iter().position(|element| !element.is_finite())
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for GgufFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GgufFile")
            .field("version", &self.header.version)
            .field("n_bytes", &self.bytes.as_slice().len())
            .field("n_metadata", &self.header.metadata.len())
            .field("n_tensors", &self.header.tensors.len())
            .finish_non_exhaustive()
    }
}
