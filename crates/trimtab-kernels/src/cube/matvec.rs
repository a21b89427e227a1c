//! Few tokens times a packed weight: every byte of the weight is read once, by the plane that owns its row.
//!
//! A plane (a warp on NVIDIA cards) owns a few rows and up to eight tokens. Its threads take turns
//! at the chunks of a row, so that a plane reads 512 bytes in one piece; each value of the
//! activations that a thread loads is used for all rows of the plane. Sums are f32.

use super::{
    activation::activate,
    panel::Finish,
    weight::{Chunk, Line, Quad, Weight, quad, quad_offset, weight_arg},
};
use crate::{Activation, PackedShape, shape::BLOCK};
use cubecl::{client::Client, prelude::*, server::Handle};

/// Most tokens that one launch computes.
pub(super) const MAX_TOKENS: usize = 8;

/// Planes of a cube.
const PLANES: u32 = 4;

/// How a launch cuts its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    /// Rows of a plane.
    rows: usize,
    /// Tokens of a plane.
    tokens: usize,
    /// Threads of a plane.
    plane: usize,
    /// What is done to the sums.
    finish: Finish,
    /// Whether the last chunk of a row reaches beyond its channels.
    is_ragged: bool,
}

/// What a plane works on.
#[derive(CubeType, Clone, Copy)]
struct Place {
    first_row: usize,
    first_token: usize,
    n_tokens: usize,
    d_out: usize,
}

/// `out[token, row] = finish(x[token, :] · weight[row, :])`
#[cube(launch_unchecked)]
fn matvec(
    weight: Weight,
    bias: &[f32],
    x: &[Quad],
    out: &mut [f32],
    n_tokens: usize,
    #[comptime] plan: Plan,
) {
    let d_out = if comptime!(plan.finish.is_gated) {
        weight.d_out / 2
    } else {
        weight.d_out
    };
    let plane_idx = (CUBE_POS_X * CUBE_DIM_Y + UNIT_POS_Y) as usize;
    let place = Place {
        first_row: plane_idx * comptime!(plan.width()),
        first_token: CUBE_POS_Y as usize * plan.tokens,
        n_tokens,
        d_out,
    };
    if place.first_row >= d_out {
        terminate!();
    }
    let mut sums = Array::<f32>::new(comptime!(plan.rows * plan.tokens));
    #[unroll]
    for idx in 0..comptime!(plan.rows * plan.tokens) {
        sums[idx] = 0.0f32;
    }
    let mut chunk_idx = UNIT_POS_X as usize;
    while chunk_idx < weight.row_chunks {
        add_chunk(&weight, x, &mut sums, &place, chunk_idx, plan);
        chunk_idx += plan.plane;
    }
    #[unroll]
    for idx in 0..comptime!(plan.rows * plan.tokens) {
        sums[idx] = plane_sum(sums[idx]);
    }
    if UNIT_POS_X == 0 {
        write(&sums, bias, out, &place, plan);
    }
}

/// Adds one chunk of each row of the plane to the sums.
#[cube]
fn add_chunk(
    weight: &Weight,
    x: &[Quad],
    sums: &mut Array<f32>,
    place: &Place,
    chunk_idx: usize,
    #[comptime] plan: Plan,
) {
    let codes = comptime!(weight.codes);
    let mut chunks = Sequence::<Chunk>::new();
    let mut lines = Sequence::<Line>::new();
    #[unroll]
    for row_idx in 0..plan.rows {
        let row = place.weight_row(row_idx, plan);
        chunks.push(weight.chunk(row, chunk_idx));
        lines.push(weight.line(row, chunk_idx));
    }
    let first_channel = weight.first_channel(chunk_idx);
    #[unroll]
    for quad_idx in 0..comptime!(codes.n_quads()) {
        let channel = first_channel + comptime!(quad_offset(codes, quad_idx));
        let mut quads = Sequence::<Quad>::new();
        #[unroll]
        for row_idx in 0..plan.rows {
            quads.push(quad(
                *chunks.index(row_idx),
                lines.index(row_idx),
                quad_idx,
                codes,
            ));
        }
        #[unroll]
        for token_idx in 0..plan.tokens {
            let values = place.activations(x, token_idx, channel, weight.d_in, plan);
            #[unroll]
            for row_idx in 0..plan.rows {
                let idx = comptime!(row_idx * plan.tokens + token_idx);
                let mut sum = sums[idx];
                #[unroll]
                for lane in 0..4usize {
                    sum = fma(
                        quads.index(row_idx).extract(lane),
                        values.extract(lane),
                        sum,
                    );
                }
                sums[idx] = sum;
            }
        }
    }
}

#[cube]
impl Place {
    /// The row of the weight that is the plane's row `row_idx`; the last row stands in beyond the end.
    fn weight_row(&self, #[comptime] row_idx: usize, #[comptime] plan: Plan) -> usize {
        let width = comptime!(plan.width());
        let row = min(self.first_row + comptime!(row_idx % width), self.d_out - 1);
        row + comptime!(row_idx / width) * self.d_out
    }

    /// Four activations of a token; zeros beyond the last channel, the last token beyond the end.
    fn activations(
        &self,
        x: &[Quad],
        #[comptime] token_idx: usize,
        channel: usize,
        d_in: usize,
        #[comptime] plan: Plan,
    ) -> Quad {
        let token = min(self.first_token + token_idx, self.n_tokens - 1);
        if comptime!(plan.is_ragged) {
            let last = d_in - 4;
            let values = x[(token * d_in + min(channel, last)) / 4];
            let zeros = Quad::new(0.0f32);
            select(channel > last, zeros, values)
        } else {
            x[(token * d_in + channel) / 4]
        }
    }
}

/// Writes what the plane's rows and tokens come to.
#[cube]
fn write(sums: &Array<f32>, bias: &[f32], out: &mut [f32], place: &Place, #[comptime] plan: Plan) {
    let finish = comptime!(plan.finish);
    #[unroll]
    for row_idx in 0..comptime!(plan.width()) {
        let row = place.first_row + row_idx;
        if row < place.d_out {
            #[unroll]
            for token_idx in 0..plan.tokens {
                let token = place.first_token + token_idx;
                let idx = comptime!(row_idx * plan.tokens + token_idx);
                let mut value = sums[idx];
                if comptime!(finish.has_bias) {
                    value += bias[row];
                }
                if comptime!(finish.activation.is_some()) {
                    value = activate(
                        value,
                        comptime!(finish.activation.unwrap_or(Activation::Relu)),
                    );
                }
                if comptime!(finish.is_gated) {
                    let mut up = sums[comptime!(idx + plan.width() * plan.tokens)];
                    if comptime!(finish.has_bias) {
                        up += bias[place.d_out + row];
                    }
                    value *= up;
                }
                if token < place.n_tokens {
                    out[token * place.d_out + row] = value;
                }
            }
        }
    }
}

impl Plan {
    /// Rows of the output that a plane writes.
    const fn width(self) -> usize {
        if self.finish.is_gated {
            self.rows / 2
        } else {
            self.rows
        }
    }
}

/// What is multiplied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Shape and format of the weight.
    pub(super) shape: PackedShape,
    /// Tokens.
    pub(super) n_tokens: usize,
    /// The function of the channels, or of the gate.
    pub(super) activation: Option<Activation>,
    /// Whether the first half of the rows gates the second.
    pub(super) is_gated: bool,
}

impl Call {
    /// Channels of the result.
    pub(super) fn d_out(&self) -> usize {
        match self.is_gated {
            true => self.shape.d_out / 2,
            false => self.shape.d_out,
        }
    }

    /// More rows a plane use each activation more often, but leave fewer planes to hide latencies.
    fn plan(&self, plane: usize, has_bias: bool) -> Plan {
        let is_large = self.shape.d_out >= 8192 && self.n_tokens <= 4;
        Plan {
            rows: if is_large { 4 } else { 2 },
            tokens: self.n_tokens.next_power_of_two().min(MAX_TOKENS),
            plane,
            finish: Finish {
                has_bias,
                activation: self.activation,
                is_gated: self.is_gated,
            },
            is_ragged: !self.shape.d_in.is_multiple_of(BLOCK),
        }
    }
}

/// Multiplies `x` with a packed weight.
///
/// # Shapes
///
/// - `x`: `[n_tokens, d_in]`; `bias`: the rows of the weight; `out`: `[n_tokens, call.d_out()]`
///
/// # Panics
///
/// If rows of the weight do not start at multiples of 16 bytes.
pub(super) fn launch(
    client: &Client,
    (packed, bias): (&Handle, Option<Handle>),
    (x, out): (Handle, Handle),
    call: Call,
) {
    let plane = client.properties().hardware.plane_size_max;
    let plan = call.plan(plane as usize, bias.is_some());
    let d_out = call.d_out();
    let count = CubeCount::Static(
        d_out.div_ceil(plan.width() * PLANES as usize) as u32,
        call.n_tokens.div_ceil(plan.tokens) as u32,
        1,
    );
    // Never read without a bias.
    let bias = bias.unwrap_or_else(|| x.clone());
    // SAFETY: the lengths are those that the buffers are made with, and the kernel clamps rows,
    // channels and tokens to them.
    unsafe {
        matvec::launch_unchecked(
            client,
            count,
            CubeDim::new_2d(plane, PLANES),
            weight_arg(packed, call.shape),
            BufferArg::from_raw_parts(bias, call.shape.d_out),
            BufferArg::from_raw_parts(x, call.n_tokens * call.shape.d_in / 4),
            BufferArg::from_raw_parts(out, call.n_tokens * d_out),
            call.n_tokens,
            plan,
        );
    }
}
