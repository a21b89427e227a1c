//! How weights become codes: bit width, grid and which weights differ from the rest.

use super::InvalidRecipe;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Which weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSize {
    /// So many consecutive input channels of a row; the last group of a row may be shorter.
    Inputs(u32),
    /// A whole row: one scale an output channel.
    Channel,
    /// The whole matrix.
    Tensor,
}

impl From<u32> for GroupSize {
    fn from(n_inputs: u32) -> Self {
        Self::Inputs(n_inputs)
    }
}

impl fmt::Display for GroupSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inputs(n) => write!(f, "{n}"),
            Self::Channel => f.write_str("channel"),
            Self::Tensor => f.write_str("tensor"),
        }
    }
}

impl Serialize for GroupSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Inputs(n) => serializer.serialize_u32(*n),
            Self::Channel | Self::Tensor => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for GroupSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = GroupSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of input channels, `channel` or `tensor`")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<GroupSize, E> {
                let n = u32::try_from(n);
                n.map(GroupSize::Inputs)
                    .map_err(|_| E::custom("`group_size` is too large"))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<GroupSize, E> {
                let n = u32::try_from(n);
                n.map(GroupSize::Inputs)
                    .map_err(|_| E::custom(format!("`group_size` {n:?} is not a size")))
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<GroupSize, E> {
                match word {
                    "channel" => Ok(GroupSize::Channel),
                    "tensor" => Ok(GroupSize::Tensor),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Format of the activations inside matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activations {
    /// Floats: only the weights are quantised (`W4A16` and the like). For products with codes a
    /// processor rounds them to 16 bits in blocks of 64 channels.
    Float,
    /// Quantised to 8 bits per token and 64 channels: faster, slightly less exact (`W4A8`).
    Int8,
}

/// How the ends of a group's grid are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleSearch {
    /// The smallest and the largest weight are the ends.
    #[default]
    MinMax,
    /// Ends further in are tried, and those with the least mean squared error taken.
    Mse,
}

/// In what form quantised weights are stored and multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredAs {
    /// As codes with scales, which is what makes a model smaller and faster.
    #[default]
    Codes,
    /// The rounded values as 16-bit floats, for grids that no kernel reads: shows what the grid
    /// costs in quality, and saves neither memory nor time.
    F16,
}

/// Weights that are stored in another way than the step says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Which weights: a name or the end of one (`down_proj`, `lm_head`), or a pattern in which `*`
    /// stands for any text (`model.layers.0.*`).
    pub pattern: String,
    /// Bits per code; 8-bit codes are symmetric, whatever the step says, and 16 leaves the weights
    /// in 16-bit floats.
    pub bits: u8,
    /// Weights that share a scale; that of the step where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_size: Option<GroupSize>,
}

impl Override {
    /// Whether the weight `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        if self.pattern.contains('*') {
            return is_match(&self.pattern, name);
        }
        let head = name.strip_suffix(self.pattern.as_str());
        head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
    }
}

/// Whether `name` is `pattern` with texts in the place of its stars.
fn is_match(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The grid of a quantisation step, whatever chooses its codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeGrid<'a> {
    /// Bits per code of the linear layers in the blocks.
    pub bits: u8,
    /// Weights that share a scale.
    pub group_size: GroupSize,
    /// Whether codes are centred on zero.
    pub symmetric: bool,
    /// Bits per code of embedding and output head.
    pub embedding_bits: u8,
    /// What activations are multiplied in.
    pub activations: Activations,
    /// How the ends of a grid are chosen.
    pub scale_search: ScaleSearch,
    /// How the weights are stored.
    pub stored_as: StoredAs,
    /// Weights that differ, the first match counting.
    pub overrides: &'a [Override],
}

impl CodeGrid<'_> {
    /// Bit widths that can be quantised to.
    pub const BITS: [u8; 4] = [2, 3, 4, 8];

    /// Largest group that kernels read.
    const LARGEST_GROUP: u32 = 4096;

    pub(super) fn validate(&self) -> Result<(), InvalidRecipe> {
        self.check(self.bits, self.group_size)?;
        if self.bits == 8 && !self.symmetric && self.stored_as == StoredAs::Codes {
            return Err(InvalidRecipe::AsymmetricInt8);
        }
        if ![8, 16].contains(&self.embedding_bits) {
            return Err(InvalidRecipe::EmbeddingBits(self.embedding_bits));
        }
        if self.stored_as == StoredAs::F16 && self.activations == Activations::Int8 {
            return Err(InvalidRecipe::UnusedActivations);
        }
        self.overrides.iter().try_for_each(|one| {
            if one.pattern.trim().is_empty() {
                return Err(InvalidRecipe::EmptyPattern);
            }
            if one.bits == 16 {
                return match one.group_size {
                    Some(_) => Err(InvalidRecipe::UnusedGroupSize(one.pattern.clone())),
                    None => Ok(()),
                };
            }
            self.check(one.bits, one.group_size.unwrap_or(self.group_size))
        })?;
        // An override of 8 bits is symmetric whatever the step says: there is no other kind.
        match self.bits == 8 && !self.symmetric && self.stored_as == StoredAs::Codes {
            true => Err(InvalidRecipe::AsymmetricInt8),
            false => Ok(()),
        }
    }

    /// Refuses a choice between widths that leaves the step's own without use.
    pub(super) fn check_choice(&self, candidates: &[u8]) -> Result<(), InvalidRecipe> {
        if self.stored_as == StoredAs::F16 {
            return Err(InvalidRecipe::ChoiceOfNothing);
        }
        if !candidates.contains(&self.bits) {
            return Err(InvalidRecipe::NoCandidate(self.bits));
        }
        Ok(())
    }

    fn check(&self, bits: u8, group_size: GroupSize) -> Result<(), InvalidRecipe> {
        if !Self::BITS.contains(&bits) {
            return Err(InvalidRecipe::Bits(bits));
        }
        if group_size == GroupSize::Inputs(0) {
            return Err(InvalidRecipe::NoGroup);
        }
        if self.stored_as == StoredAs::F16 {
            return Ok(());
        }
        if let GroupSize::Inputs(n) = group_size
            && !(n <= Self::LARGEST_GROUP && n.is_multiple_of(64))
        {
            return Err(InvalidRecipe::GroupSize(n));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let one = Override {
            pattern: pattern.into(),
            bits: 8,
            group_size: None,
        };
        one.matches(name)
    }

    #[test]
    fn a_pattern_is_a_name_the_end_of_one_or_has_stars() {
        let name = "model.layers.10.mlp.down_proj";
        assert!(matches("down_proj", name));
        assert!(matches("mlp.down_proj", name));
        assert!(matches(name, name));
        assert!(!matches("own_proj", name));
        assert!(!matches("mlp", name));
        assert!(matches("model.layers.1*", name));
        assert!(matches("*.10.*down*", name));
        assert!(!matches("model.layers.1.*", name));
        assert!(!matches("*up_proj", name));
        assert!(!matches("*.10.mlp", name));
    }

    #[test]
    fn a_group_is_a_number_or_a_word() {
        let read = |json: &str| serde_json::from_str::<GroupSize>(json);
        assert_eq!(read("64").unwrap(), GroupSize::Inputs(64));
        assert_eq!(read("\"channel\"").unwrap(), GroupSize::Channel);
        assert_eq!(read("\"tensor\"").unwrap(), GroupSize::Tensor);
        for bad in ["-1", "\"row\"", "1.5", "5000000000", "null"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let write = |group: GroupSize| serde_json::to_string(&group).unwrap();
        assert_eq!(write(GroupSize::Inputs(64)), "64");
        assert_eq!(write(GroupSize::Channel), "\"channel\"");
    }
}
