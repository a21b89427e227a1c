//! What is kept of a calibrated compression while it runs, so that one that was killed goes on after
//! the last finished block with the same result.
//!
//! A folder holds, for each finished block, its packed weights with their reports and the vectors
//! that changed, and what leaves the last of them on the calibration text; and before that, what has
//! been measured for a choice of bits. Files are written under another name, synced and
//! renamed; a file that cannot be read counts as not there.

use crate::CompressError;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use trimtab_domain::LayerReport;
use trimtab_kernels::pack_f32;

/// Where the reports of a block lie in its file.
const REPORTS: &str = "reports";

/// Name of the tensor that leaves a block.
const HIDDEN: &str = "hidden";

/// A packed weight with its report.
pub(crate) struct Finished {
    pub(crate) bytes: Vec<u8>,
    pub(crate) report: LayerReport,
}

/// The folder.
pub(crate) struct State<'a> {
    folder: &'a Path,
}

impl<'a> State<'a> {
    /// The state in `folder`, which is made if it is not there.
    pub(crate) fn open(folder: &'a Path) -> Result<Self, CompressError> {
        fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        Ok(Self { folder })
    }

    fn block_file(&self, layer_idx: usize) -> PathBuf {
        self.folder.join(format!("block-{layer_idx:04}"))
    }

    fn hidden_file(&self, layer_idx: usize) -> PathBuf {
        self.folder.join(format!("hidden-{layer_idx:04}"))
    }

    /// How many blocks are finished, and what leaves the last of them; none without all of it.
    pub(crate) fn resume(&self, n_layers: usize) -> (usize, Option<Vec<f32>>) {
        self.resume_from::<Vec<LayerReport>>(n_layers)
    }

    /// The same where blocks have records of another kind.
    pub(crate) fn resume_from<R: DeserializeOwned>(
        &self,
        n_layers: usize,
    ) -> (usize, Option<Vec<f32>>) {
        let n_blocks = (0..n_layers)
            .take_while(|layer_idx| self.record::<R>(*layer_idx).is_some())
            .count();
        (1..=n_blocks)
            .rev()
            .find_map(|n| Some((n, Some(self.hidden(n - 1)?))))
            .unwrap_or((0, None))
    }

    fn hidden(&self, layer_idx: usize) -> Option<Vec<f32>> {
        read_hidden(&self.hidden_file(layer_idx))
    }

    fn measured_file(&self, layer_idx: usize) -> PathBuf {
        self.folder.join(format!("measured-{layer_idx:04}"))
    }

    fn choice_file(&self) -> PathBuf {
        self.folder.join("choice.json")
    }

    /// How many blocks a measurement has gone through, and what left the last of them.
    pub(crate) fn measured(&self, n_layers: usize) -> Option<(usize, Vec<f32>)> {
        (0..n_layers).rev().find_map(|layer_idx| {
            let hidden = read_hidden(&self.measured_file(layer_idx))?;
            Some((layer_idx + 1, hidden))
        })
    }

    /// Keeps what left a block while it was measured, and forgets what left those before.
    pub(crate) fn save_measured(
        &self,
        layer_idx: usize,
        hidden: &[f32],
    ) -> Result<(), CompressError> {
        write_hidden(&self.measured_file(layer_idx), hidden)?;
        self.forget_measured(layer_idx);
        Ok(())
    }

    fn forget_measured(&self, n_layers: usize) {
        for former in 0..n_layers {
            // What is left behind costs space only.
            let _ = fs::remove_file(self.measured_file(former));
        }
    }

    /// What was chosen after a measurement, if it is finished.
    pub(crate) fn choice<T: DeserializeOwned>(&self) -> Option<T> {
        let json = fs::read(self.choice_file()).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Keeps what was chosen, and forgets what it was measured on.
    pub(crate) fn save_choice(
        &self,
        choice: &impl Serialize,
        n_layers: usize,
    ) -> Result<(), CompressError> {
        let json = serde_json::to_vec(choice).expect("a choice is plain data");
        let path = self.choice_file();
        let unfinished = path.with_extension("part");
        fs::write(&unfinished, json)
            .and_then(|()| finish(&unfinished, &path))
            .map_err(|source| failed(&path, source))?;
        self.forget_measured(n_layers);
        Ok(())
    }

    /// The reports of a finished block.
    pub(crate) fn reports(&self, layer_idx: usize) -> Option<Vec<LayerReport>> {
        self.record(layer_idx)
    }

    /// What was kept beside the weights of a finished block.
    pub(crate) fn record<R: DeserializeOwned>(&self, layer_idx: usize) -> Option<R> {
        let bytes = fs::read(self.block_file(layer_idx)).ok()?;
        SafeTensors::deserialize(&bytes).ok()?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).ok()?;
        let json = metadata.metadata().as_ref()?.get(REPORTS)?;
        serde_json::from_str(json).ok()
    }

    /// A packed weight of a finished block.
    ///
    /// # Errors
    ///
    /// [`CompressError::State`] if it is not there.
    pub(crate) fn weight(&self, layer_idx: usize, name: &str) -> Result<Vec<u8>, CompressError> {
        let path = self.block_file(layer_idx);
        let bytes = fs::read(&path).map_err(|source| failed(&path, source))?;
        let damaged = |error: safetensors::SafeTensorError| {
            failed(&path, io::Error::new(io::ErrorKind::InvalidData, error))
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        Ok(tensors.tensor(name).map_err(damaged)?.data().to_vec())
    }

    /// A vector that a finished block has changed; `None` for one that it has not.
    ///
    /// # Errors
    ///
    /// [`CompressError::State`] if the block is not there.
    pub(crate) fn vector(
        &self,
        layer_idx: usize,
        name: &str,
    ) -> Result<Option<Vec<u8>>, CompressError> {
        let path = self.block_file(layer_idx);
        let bytes = fs::read(&path).map_err(|source| failed(&path, source))?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| failed(&path, io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Ok(tensors
            .tensor(name)
            .ok()
            .map(|vector| vector.data().to_vec()))
    }

    /// Keeps a finished block, the vectors that it has changed and what leaves it.
    pub(crate) fn save(
        &self,
        layer_idx: usize,
        finished: &[Finished],
        vectors: &BTreeMap<String, Vec<f32>>,
        hidden: &[f32],
    ) -> Result<(), CompressError> {
        let reports: Vec<&LayerReport> = finished.iter().map(|one| &one.report).collect();
        let weights = finished
            .iter()
            .map(|one| (one.report.name.as_str(), one.bytes.as_slice()));
        let vectors: Vec<(&str, Vec<u8>)> = vectors
            .iter()
            .map(|(name, values)| (name.as_str(), pack_f32(values)))
            .collect();
        let vectors = vectors
            .iter()
            .map(|(name, bytes)| (*name, bytes.as_slice()));
        self.save_record(layer_idx, weights.chain(vectors), &reports, hidden)
    }

    /// Keeps the weights of a finished block by name, a record of it, and what leaves it.
    pub(crate) fn save_record<'b, R: Serialize>(
        &self,
        layer_idx: usize,
        weights: impl Iterator<Item = (&'b str, &'b [u8])>,
        record: &R,
        hidden: &[f32],
    ) -> Result<(), CompressError> {
        write_hidden(&self.hidden_file(layer_idx), hidden)?;
        let json = serde_json::to_string(record).expect("a record is plain data");
        let views = weights
            .map(|(name, bytes)| (name, view(Dtype::U8, bytes.len(), bytes)))
            .collect();
        write(&self.block_file(layer_idx), views, Some(json))?;
        if let Some(former) = layer_idx.checked_sub(1) {
            // What is left behind costs space only.
            let _ = fs::remove_file(self.hidden_file(former));
        }
        Ok(())
    }

    /// Removes everything.
    pub(crate) fn remove(&self) {
        // What is left behind costs space only.
        let _ = fs::remove_dir_all(self.folder);
    }
}

fn view(dtype: Dtype, len: usize, bytes: &[u8]) -> TensorView<'_> {
    TensorView::new(dtype, vec![len], bytes).expect("as many bytes as the elements take")
}

fn failed(path: &Path, source: io::Error) -> CompressError {
    CompressError::State {
        path: path.to_owned(),
        source,
    }
}

fn read_hidden(path: &Path) -> Option<Vec<f32>> {
    let bytes = fs::read(path).ok()?;
    let tensors = SafeTensors::deserialize(&bytes).ok()?;
    let values = tensors.tensor(HIDDEN).ok()?;
    let (floats, []) = values.data().as_chunks::<4>() else {
        return None;
    };
    Some(
        floats
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
    )
}

fn write_hidden(path: &Path, hidden: &[f32]) -> Result<(), CompressError> {
    let bytes = pack_f32(hidden);
    let values = view(Dtype::F32, hidden.len(), &bytes);
    write(path, vec![(HIDDEN, values)], None)
}

/// Gives a file its name once it is on disk.
fn finish(unfinished: &Path, path: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    fs::rename(unfinished, path)
}

/// Writes a file that is complete or not there.
fn write(
    path: &Path,
    views: Vec<(&str, TensorView<'_>)>,
    reports: Option<String>,
) -> Result<(), CompressError> {
    let unfinished = path.with_extension("part");
    let info = reports.map(|json| HashMap::from([(REPORTS.to_owned(), json)]));
    let written = safetensors::serialize_to_file(views, info, &unfinished);
    written
        .map_err(|error| match error {
            safetensors::SafeTensorError::IoError(source) => source,
            other => io::Error::other(other),
        })
        .and_then(|()| finish(&unfinished, path))
        .map_err(|source| failed(path, source))
}
