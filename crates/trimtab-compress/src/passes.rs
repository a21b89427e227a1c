//! The calibration text on its way through a model: the inputs of a block for all sequences, and
//! the passes that turn them into those of the next.

use crate::{CalibrationSet, CompressError};
use burn::tensor::{Device, Tensor, TensorData};
use std::path::Path;
use trimtab_domain::LayerReport;
use trimtab_models::{
    FloatBlocks, ModelConfig, ReadWeight,
    decoder::{Block, LinearKind, RopeTables},
};

/// What [`crate::compress_calibrated`] and steps that make another model say while they work.
#[derive(Clone, Debug, PartialEq)]
pub enum CompressEvent {
    /// A weight is done.
    Layer(LayerReport),
    /// How far the measurement is that comes before the work, where bits are chosen.
    Measuring {
        /// Units done.
        n_done: u64,
        /// Units in all.
        n_total: u64,
    },
    /// How far the work is.
    Progress {
        /// Units done.
        n_done: u64,
        /// Units in all.
        n_total: u64,
    },
}

/// Where and on what a recipe is calibrated.
#[derive(Clone, Copy, Debug)]
pub struct Calibrated<'a> {
    /// The tokens.
    pub set: &'a CalibrationSet,
    /// Folder for what is finished; one of its own for each [`crate::identity`].
    pub state: &'a Path,
    /// Where the model runs.
    pub device: &'a Device,
    /// Sequences that are run side by side.
    pub n_side_by_side: usize,
}

/// Tells how far the work is.
pub(crate) type OnEvent<'a> = dyn FnMut(CompressEvent) + 'a;

/// Counts passes over the calibration text.
pub(crate) struct Ticker<'a, 'b> {
    pub(crate) on_event: &'a mut OnEvent<'b>,
    pub(crate) n_done: u64,
    pub(crate) n_total: u64,
}

impl Ticker<'_, '_> {
    pub(crate) fn tick(&mut self) {
        self.n_done = (self.n_done + 1).min(self.n_total);
        (self.on_event)(CompressEvent::Progress {
            n_done: self.n_done,
            n_total: self.n_total,
        });
    }
}

/// Inputs of a block: the tokens of some sequences, one after the other.
pub(crate) struct Batch {
    /// `[1, n_sequences · n_tokens, d_model]`
    pub(crate) hidden: Tensor<3>,
    pub(crate) n_sequences: usize,
}

/// Half of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Attention,
    Mlp,
}

impl Half {
    /// The half that a linear layer belongs to.
    pub(crate) fn of(kind: LinearKind) -> Self {
        match kind.is_attention() {
            true => Self::Attention,
            false => Self::Mlp,
        }
    }
}

/// A model, and the text that it reads.
pub(crate) struct Passes<'a> {
    pub(crate) calibrated: Calibrated<'a>,
    pub(crate) blocks: FloatBlocks<'a>,
    config: &'a ModelConfig,
    rope: Option<RopeTables>,
}

impl<'a> Passes<'a> {
    /// Through the model `config`, whose weights `read` knows.
    pub(crate) fn new(
        config: &'a ModelConfig,
        read: &'a ReadWeight<'a>,
        calibrated: Calibrated<'a>,
    ) -> Self {
        let blocks = FloatBlocks::new(config, read, calibrated.device);
        Self {
            calibrated,
            config,
            rope: blocks.rope(calibrated.set.length()),
            blocks,
        }
    }

    /// Batches that the sequences make.
    pub(crate) fn n_batches(&self) -> usize {
        let n_sequences = self.calibrated.set.sequences().len();
        n_sequences.div_ceil(self.calibrated.n_side_by_side)
    }

    /// What enters the first block.
    pub(crate) fn embedded(&self) -> Result<Vec<Batch>, CompressError> {
        let sequences = self.calibrated.set.sequences();
        Ok(self.batched(&self.blocks.embedded(sequences)?))
    }

    /// What enters a block, as [`gathered`] has kept it.
    pub(crate) fn restored(&self, values: &[f32]) -> Result<Vec<Batch>, CompressError> {
        let set = self.calibrated.set;
        let (n_sequences, d_model) = (set.sequences().len(), self.config.d_model);
        let n_values = set.length() * d_model;
        if values.len() != n_sequences * n_values {
            return Err(CompressError::ForeignState(
                self.calibrated.state.to_owned(),
            ));
        }
        let sequences = values.chunks_exact(n_values).map(|values| {
            let data = TensorData::new(values.to_vec(), [1, set.length(), d_model]);
            Tensor::from_data(data, self.calibrated.device)
        });
        Ok(self.batched(&sequences.collect::<Vec<_>>()))
    }

    /// Sequences side by side.
    fn batched(&self, hidden: &[Tensor<3>]) -> Vec<Batch> {
        hidden
            .chunks(self.calibrated.n_side_by_side)
            .map(|sequences| Batch {
                hidden: Tensor::cat(sequences.to_vec(), 1),
                n_sequences: sequences.len(),
            })
            .collect()
    }

    /// What leaves half of a block.
    pub(crate) fn pass(&self, block: &Block, half: Half, batch: &Batch) -> Tensor<3> {
        let hidden = batch.hidden.clone();
        match half {
            Half::Attention => block.attend(hidden, batch.n_sequences, self.rope.as_ref()),
            Half::Mlp => block.transform(hidden),
        }
    }
}

/// All values of a batch.
pub(crate) fn values(hidden: &Tensor<3>) -> Vec<f32> {
    let data = hidden.to_data();
    data.try_into_vec().expect("the model computes in f32")
}

/// All values of all sequences.
pub(crate) fn gathered(batches: &[Batch]) -> Vec<f32> {
    let values = batches.iter().flat_map(|batch| values(&batch.hidden));
    values.collect()
}
