//! A whole model: metadata first, then one weight at a time.

use super::{
    ExportWeight, Fidelity, GgufExportError, TokenizerMetadata, Transfer,
    description::{ROPE_DIVISORS, rope_divisors, size_metadata},
    model::{TensorPlan, tensor_plans},
    stream::FileStream,
    weight::{n_bytes, tensor_bytes},
};
use crate::{
    ModelConfig, WeightRole, WeightSpec,
    gguf::{
        GgmlType, GgufValue,
        encode::is_writable,
        write::{TensorEntry, header_bytes},
    },
};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
};
use trimtab_kernels::pack_f32;

/// Types by what a matrix is for. Norms and biases are always F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTypes {
    /// Linear layers of the decoder blocks.
    pub linear: GgmlType,
    /// The token embedding; a tied head reads it too.
    pub embedding: GgmlType,
    /// An output head of its own.
    pub head: GgmlType,
    /// Instead of the above, for rows that do not divide into their blocks; `None` refuses those.
    pub uneven: Option<GgmlType>,
}

impl BlockTypes {
    /// One type for all.
    pub fn all(ggml_type: GgmlType) -> Self {
        Self {
            linear: ggml_type,
            embedding: ggml_type,
            head: ggml_type,
            uneven: None,
        }
    }

    fn of(&self, spec: &WeightSpec) -> GgmlType {
        let ggml_type = match spec.role {
            WeightRole::Embedding => self.embedding,
            WeightRole::Head => self.head,
            WeightRole::Linear | WeightRole::Kept | WeightRole::Vector => self.linear,
        };
        self.of_rows(ggml_type, spec.d_in)
    }

    fn of_rows(&self, ggml_type: GgmlType, d_in: usize) -> GgmlType {
        let is_even = |block: crate::gguf::Block| d_in.is_multiple_of(block.n_elements);
        match self.uneven {
            Some(uneven) if !ggml_type.block().is_some_and(is_even) => uneven,
            _ => ggml_type,
        }
    }
}

/// The type of each weight, by its name in Hugging Face checkpoints.
pub type TypeByWeight = HashMap<String, GgmlType>;

/// Which matrix gets which type.
#[derive(Clone, Copy, Debug)]
pub enum TensorTypes<'a> {
    /// By what it is for.
    ByRole(BlockTypes),
    /// By its name; those that are not named are F32.
    ByWeight(&'a TypeByWeight),
}

impl From<BlockTypes> for TensorTypes<'_> {
    fn from(types: BlockTypes) -> Self {
        Self::ByRole(types)
    }
}

impl TensorTypes<'_> {
    pub(super) fn of(&self, spec: &WeightSpec) -> GgmlType {
        match self {
            Self::ByRole(types) => types.of(spec),
            Self::ByWeight(types) => types.get(&spec.name).copied().unwrap_or(GgmlType::F32),
        }
    }

    /// The type of most linear layers.
    fn usual(&self) -> GgmlType {
        let types = match self {
            Self::ByRole(types) => return types.linear,
            Self::ByWeight(types) => types.values(),
        };
        let mut counts = HashMap::new();
        for ggml_type in types {
            *counts.entry(ggml_type.code()).or_insert(0) += 1;
        }
        let usual = counts.into_iter().max_by_key(|(code, n)| (*n, *code));
        usual.map_or(GgmlType::F32, |(code, _)| GgmlType::from_code(code))
    }
}

/// A model to write as GGUF.
#[derive(Clone, Copy, Debug)]
pub struct GgufExport<'a> {
    /// Sizes and constants.
    pub config: &'a ModelConfig,
    /// Tokens, merges and chat template.
    pub tokenizer: &'a TokenizerMetadata,
    /// Entries `general.*` about the model: name, license.
    pub general: &'a [(String, GgufValue)],
    /// Types of the tensors.
    pub types: TensorTypes<'a>,
    /// What may happen to weights that these types cannot hold as they are.
    pub transfer: Transfer,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// Every weight, in the order of the file.
    pub weights: Vec<WeightReport>,
    /// Bytes of the file.
    pub n_bytes: u64,
}

/// What became of one weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightReport {
    /// Name as in Hugging Face checkpoints.
    pub name: String,
    /// How it is stored.
    pub ggml_type: GgmlType,
    /// How near it is to what was given.
    pub fidelity: Fidelity,
}

impl GgufExport<'_> {
    /// Writes the file, one weight in memory at a time. It appears under `path` once it is complete
    /// and on disk; after an error nothing is left.
    ///
    /// `read` gives each weight, rows in half-rotated order as the rest of the code has them; they
    /// are put in the order of the architecture's files here.
    ///
    /// # Errors
    ///
    /// [`GgufExportError`], most of them before anything is written.
    pub fn write<'w>(
        &self,
        path: &Path,
        read: &mut dyn FnMut(&WeightSpec) -> Result<ExportWeight<'w>, String>,
    ) -> Result<ExportReport, GgufExportError> {
        let plans = self.plans()?;
        let metadata = self.metadata()?;
        let divisors = rope_divisors(self.config);
        let header = header(&metadata, &plans, divisors.as_deref());
        let mut file = FileStream::create(path, &header)?;
        let mut weights = Vec::with_capacity(plans.len());
        for plan in plans {
            let weight = read(&plan.spec).map_err(|reason| GgufExportError::Weight {
                name: plan.spec.name.clone(),
                reason,
            })?;
            let (bytes, fidelity) = tensor_bytes(&plan, &weight, self.transfer)?;
            file.push(&bytes)?;
            weights.push(WeightReport {
                name: plan.spec.name,
                ggml_type: plan.ggml_type,
                fidelity,
            });
        }
        if let Some(divisors) = divisors {
            file.push(&pack_f32(&divisors))?;
        }
        let n_bytes = file.finish()?;
        Ok(ExportReport { weights, n_bytes })
    }

    /// Bytes of all weights, before any is written.
    ///
    /// # Errors
    ///
    /// [`GgufExportError`] for types that do not fit the weights.
    pub fn n_weight_bytes(&self) -> Result<u64, GgufExportError> {
        let plans = self.plans()?;
        Ok(plans.iter().map(|plan| n_bytes(plan) as u64).sum())
    }

    fn plans(&self) -> Result<Vec<TensorPlan>, GgufExportError> {
        let (n_tokens, n_rows) = (self.tokenizer.n_tokens, self.config.vocab_size);
        if n_tokens != n_rows {
            return Err(GgufExportError::Vocabulary { n_tokens, n_rows });
        }
        let plans = tensor_plans(self.config, &self.types);
        for plan in &plans {
            let (ggml_type, d_in) = (plan.ggml_type, plan.spec.d_in);
            let block = ggml_type.block().filter(|_| is_writable(ggml_type));
            let block = block.ok_or(GgufExportError::UnsupportedType(ggml_type))?;
            if !d_in.is_multiple_of(block.n_elements) {
                let name = plan.spec.name.clone();
                return Err(GgufExportError::UnevenBlocks {
                    name,
                    d_in,
                    ggml_type,
                });
            }
        }
        Ok(plans)
    }

    fn metadata(&self) -> Result<Vec<(String, GgufValue)>, GgufExportError> {
        let mut metadata = size_metadata(self.config)?;
        metadata.push(("general.file_type".to_owned(), self.file_type().into()));
        // The second version of the block layouts, the one that is read everywhere.
        metadata.push(("general.quantization_version".to_owned(), 2_u32.into()));
        metadata.extend_from_slice(self.general);
        metadata.extend_from_slice(&self.tokenizer.entries);
        let mut seen = HashSet::new();
        match metadata.iter().find(|(key, _)| !seen.insert(key)) {
            Some((key, _)) => Err(GgufExportError::DuplicateKey(key.clone())),
            None => Ok(metadata),
        }
    }

    /// The code for what most weights are stored as.
    ///
    /// Source: `llama_ftype` in <https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h>.
    fn file_type(&self) -> u32 {
        match self.types.usual() {
            GgmlType::F16 => 1,
            GgmlType::Q4_0 => 2,
            GgmlType::Q4_1 => 3,
            GgmlType::Q8_0 => 7,
            GgmlType::Q4K => 14,
            GgmlType::Bf16 => 32,
            // F32, as no other type gets past `plans`.
            _ => 0,
        }
    }
}

/// Metadata and table of tensors; divisors of rotary frequencies come last.
fn header(
    metadata: &[(String, GgufValue)],
    plans: &[TensorPlan],
    divisors: Option<&[f32]>,
) -> Vec<u8> {
    let shapes: Vec<Vec<usize>> = plans.iter().map(|plan| plan.spec.gguf_shape()).collect();
    let weights = plans.iter().zip(&shapes).map(|(plan, shape)| TensorEntry {
        name: &plan.spec.gguf_name,
        shape,
        ggml_type: plan.ggml_type,
        n_bytes: n_bytes(plan),
    });
    let divisors_shape = divisors.map(|divisors| [divisors.len()]);
    let divisors = divisors_shape.as_ref().map(|shape| TensorEntry {
        name: ROPE_DIVISORS,
        shape,
        ggml_type: GgmlType::F32,
        n_bytes: 4 * shape[0],
    });
    let tensors: Vec<TensorEntry<'_>> = weights.chain(divisors).collect();
    header_bytes(metadata, tensors.into_iter())
}
