//! A whole model: metadata first, then one weight at a time.

use super::{
    ExportWeight, Fidelity, GgufExportError, TokenizerMetadata, Transfer,
    model::{TensorPlan, size_metadata, tensor_plans},
    stream::FileStream,
    weight::{n_bytes, tensor_bytes},
};
use crate::{
    ModelConfig, WeightSpec,
    gguf::{
        GgmlType, GgufValue,
        encode::is_writable,
        write::{TensorEntry, header_bytes},
    },
};
use std::{collections::HashSet, path::Path};

/// What is written how. Norms and biases are always F32.
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

    pub(super) fn of_rows(&self, ggml_type: GgmlType, d_in: usize) -> GgmlType {
        let is_even = |block: crate::gguf::Block| d_in.is_multiple_of(block.n_elements);
        match self.uneven {
            Some(uneven) if !ggml_type.block().is_some_and(is_even) => uneven,
            _ => ggml_type,
        }
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
    pub types: BlockTypes,
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
        let shapes: Vec<Vec<usize>> = plans.iter().map(|plan| plan.spec.gguf_shape()).collect();
        let entries = plans.iter().zip(&shapes).map(|(plan, shape)| TensorEntry {
            name: &plan.spec.gguf_name,
            shape,
            ggml_type: plan.ggml_type,
            n_bytes: n_bytes(plan),
        });
        let mut file = FileStream::create(path, &header_bytes(&metadata, entries))?;
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
        let n_bytes = file.finish()?;
        Ok(ExportReport { weights, n_bytes })
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
        match self.types.linear {
            GgmlType::F16 => 1,
            GgmlType::Q4_0 => 2,
            GgmlType::Q4_1 => 3,
            GgmlType::Q8_0 => 7,
            GgmlType::Q4K => 14,
            // F32, as no other type gets past `plans`.
            _ => 0,
        }
    }
}
