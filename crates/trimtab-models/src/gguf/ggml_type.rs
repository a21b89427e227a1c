//! The types a tensor can be stored in.

use std::fmt;

/// How the elements of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GgmlType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats with the exponent of 32-bit ones.
    Bf16,
    /// Blocks of 32, 8-bit codes, one scale.
    Q8_0,
    /// Blocks of 32, 4-bit codes, one scale.
    Q4_0,
    /// Blocks of 32, 4-bit codes, scale and minimum.
    Q4_1,
    /// Blocks of 32, 5-bit codes, one scale.
    Q5_0,
    /// Blocks of 32, 5-bit codes, scale and minimum.
    Q5_1,
    /// Blocks of 32, 4-bit codes that index a fixed table of uneven steps, one scale.
    Iq4Nl,
    /// Blocks of 256, 2-bit codes, 4-bit scales and minima for every 16.
    Q2K,
    /// Blocks of 256, 3-bit codes, 6-bit scales for every 16.
    Q3K,
    /// Blocks of 256, 4-bit codes, 6-bit scales and minima for every 32.
    Q4K,
    /// Blocks of 256, 5-bit codes, 6-bit scales and minima for every 32.
    Q5K,
    /// Blocks of 256, 6-bit codes, 8-bit scales for every 16.
    Q6K,
    /// Any other code; its size is unknown, so its data is not looked at.
    Other(u32),
}

impl GgmlType {
    /// The type with this code in a file.
    pub fn from_code(code: u32) -> Self {
        match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            20 => Self::Iq4Nl,
            30 => Self::Bf16,
            other => Self::Other(other),
        }
    }

    /// The code of the type in a file.
    pub fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q2K => 10,
            Self::Q3K => 11,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::Iq4Nl => 20,
            Self::Bf16 => 30,
            Self::Other(code) => code,
        }
    }

    /// Elements and bytes of a block; `None` for a type that is not known.
    pub fn block(self) -> Option<Block> {
        let (n_elements, n_bytes) = match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q4_0 | Self::Iq4Nl => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q2K => (256, 84),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
            Self::Other(_) => return None,
        };
        Some(Block {
            n_elements,
            n_bytes,
        })
    }
}

/// The smallest part of a tensor that can be read on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Elements in it.
    pub n_elements: usize,
    /// Bytes it takes.
    pub n_bytes: usize,
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Iq4Nl => "IQ4_NL",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Other(9) => "Q8_1",
            Self::Other(15) => "Q8_K",
            Self::Other(code) => return write!(f, "number {code}"),
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_there_and_back() {
        for code in 0..64 {
            assert_eq!(GgmlType::from_code(code).code(), code);
        }
    }
}
