//! Sums over all threads of a cube.

use cubecl::prelude::*;

/// The sum of a value of each thread, for all of them; cubes are `[plane, n_planes]`.
#[cube]
pub(super) fn cube_sum(value: f32, #[comptime] n_planes: usize) -> f32 {
    let mut partial = Shared::<[f32]>::new_slice(n_planes);
    let of_plane = plane_sum(value);
    if UNIT_POS_X == 0 {
        partial[UNIT_POS_Y as usize] = of_plane;
    }
    sync_cube();
    let mut sum = 0.0f32;
    #[unroll]
    for idx in 0..n_planes {
        sum += partial[idx];
    }
    sum
}

/// The largest of a value of each thread, for all of them; cubes are `[plane, n_planes]`.
#[cube]
pub(super) fn cube_max(value: f32, #[comptime] n_planes: usize) -> f32 {
    let mut partial = Shared::<[f32]>::new_slice(n_planes);
    let of_plane = plane_max(value);
    if UNIT_POS_X == 0 {
        partial[UNIT_POS_Y as usize] = of_plane;
    }
    sync_cube();
    let mut largest = partial[0];
    #[unroll]
    for idx in 1..n_planes {
        largest = max(largest, partial[idx]);
    }
    largest
}
