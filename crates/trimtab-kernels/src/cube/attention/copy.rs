//! Copies inside a cache, for sequences that begin alike.

use crate::{KvShape, PrefixCopy, attention::Part};
use cubecl::{client::Client, prelude::*, server::Handle};

/// Copies bytes inside a buffer, row by row: a row a cube in Y.
#[cube(launch_unchecked)]
fn copy_rows(bytes: &mut [u8], from: usize, to: usize, n_bytes: usize, stride: usize) {
    let idx = ABSOLUTE_POS_X as usize;
    let row = CUBE_POS_Y as usize * stride;
    if idx < n_bytes {
        bytes[to + row + idx] = bytes[from + row + idx];
    }
}

/// Copies the first tokens of a slot to another.
///
/// # Panics
///
/// If a slot or the tokens lie outside the cache.
pub(in crate::cube) fn launch_copy(
    client: &Client,
    cache: &Handle,
    kv: &KvShape,
    copy: PrefixCopy,
) {
    copy.check(kv);
    let rows = 0..copy.n_tokens;
    for part in [Part::Keys, Part::Values] {
        for range in [kv.row_codes(part, &rows), kv.row_scales(part, &rows)] {
            if range.is_empty() {
                continue;
            }
            let cubes = range.len().div_ceil(256) as u32;
            // SAFETY: the ranges are those of two slots of the cache, which was checked.
            unsafe {
                copy_rows::launch_unchecked(
                    client,
                    CubeCount::Static(cubes, kv.n_kv_heads as u32, 1),
                    CubeDim::new_1d(256),
                    BufferArg::from_raw_parts(cache.clone(), kv.n_bytes()),
                    kv.head(copy.from_slot, 0).start + range.start,
                    kv.head(copy.to_slot, 0).start + range.start,
                    range.len(),
                    kv.head_bytes(),
                );
            }
        }
    }
}
