//! Attention over the cache on the device, in the same layout of bytes; [`crate::attention`] has it for the CPU.
//!
//! One launch rotates the new queries and keys and stores keys and values, a plane a head. A second
//! one attends: a cube has one token and head, its planes share out the keys, each with a running
//! softmax (Milakov and Gimelshein 2018, <https://arxiv.org/abs/1805.02867>), and join their results
//! at the end. For long prompts [`crate::fused_attention`] takes the second launch's place.

mod attend;
mod copy;
mod store;

pub(super) use copy::launch_copy;

use crate::{AttentionStep, KvFormat, KvShape, attention::Part};
use attend::launch_attend;
use cubecl::{
    client::Client,
    ir::{ElemType, FloatKind, IntKind},
    prelude::*,
    server::Handle,
};
use store::launch_store;

/// Planes of a cube.
const PLANES: usize = 8;

/// Where the parts of a cache lie; starts and strides count numbers of the cache's format.
#[derive(CubeType, CubeLaunch)]
struct Layout {
    slot: usize,
    head: usize,
    values: usize,
    /// In scales, of four bytes each; not used for floats.
    slot_scales: usize,
    head_scales: usize,
    key_scales: usize,
    value_scales: usize,
}

#[cube]
impl Layout {
    fn row(&self, slot: usize, head: usize) -> usize {
        slot * self.slot + head * self.head
    }

    fn scales(&self, slot: usize, head: usize) -> usize {
        slot * self.slot_scales + head * self.head_scales
    }
}

fn layout(kv: &KvShape) -> LayoutLaunch {
    let bytes = kv.format.value_bytes();
    LayoutLaunch::new(
        kv.slot_bytes() / bytes,
        kv.head_bytes() / bytes,
        kv.codes(Part::Values).start / bytes,
        kv.slot_bytes() / 4,
        kv.head_bytes() / 4,
        kv.scales(Part::Keys).start / 4,
        kv.scales(Part::Values).start / 4,
    )
}

fn elem_type(format: KvFormat) -> ElemType {
    match format {
        KvFormat::F32 => ElemType::Float(FloatKind::F32),
        KvFormat::F16 => ElemType::Float(FloatKind::F16),
        KvFormat::Int8 => ElemType::Int(IntKind::I8),
    }
}

/// Buffers of a step.
#[derive(Debug)]
pub(super) struct StepBuffers {
    /// `[n_tokens, d_qkv]`
    pub(super) qkv: Handle,
    /// Cosines and sines, `[max_len, rotary / 2]` each, and `max_len`.
    pub(super) rope: Option<(Handle, Handle, usize)>,
    /// `[kv.n_bytes()]`, written at the new positions.
    pub(super) cache: Handle,
    /// Slot and position of each token, `[n_tokens, 2]`.
    pub(super) places: Handle,
    /// Scratch of rotated queries, `[n_tokens, n_heads · d_key]`.
    pub(super) queries: Handle,
}

/// Rotates and stores, and attends where `out` says where to: `[n_tokens, n_heads · d_value]`.
///
/// # Panics
///
/// If sizes contradict each other, or cache or rotary table are too short.
pub(super) fn launch(
    client: &Client,
    buffers: StepBuffers,
    out: Option<Handle>,
    step: &AttentionStep,
) {
    step.check();
    let plane = client.properties().hardware.plane_size_max as usize;
    launch_store(client, &buffers, step, plane);
    if let Some(out) = out {
        launch_attend(client, (buffers, out), step, plane);
    }
}
