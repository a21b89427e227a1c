//! Writes headers that the real writer refuses to write.

/// Bytes of a file, pushed one by one.
#[derive(Clone, Debug)]
pub(super) struct RawHeader(pub(super) Vec<u8>);

impl RawHeader {
    /// Magic, version and the two counts.
    pub(super) fn new(n_tensors: u64, n_metadata: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(n_tensors).u64(n_metadata)
    }

    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self = self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
        self
    }

    /// An entry of the tensor table; `dims` as in the file, the fastest first.
    pub(super) fn tensor(mut self, name: &str, dims: &[u64], code: u32, offset: u64) -> Self {
        self = self.text(name).u32(dims.len() as u32);
        for &dim in dims {
            self = self.u64(dim);
        }
        self.u32(code).u64(offset)
    }

    /// Padding up to the data, and the data.
    pub(super) fn data(mut self, n_bytes: usize) -> Vec<u8> {
        let data_offset = self.0.len().next_multiple_of(32);
        self.0.resize(data_offset + n_bytes, 0);
        self.0
    }
}
