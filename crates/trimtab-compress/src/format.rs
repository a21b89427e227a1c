//! Which number format and which grid a recipe gives to which weight.

use crate::layer::{GridSpec, Grouping, RangeSearch, ScaleFormat};
use trimtab_domain::{
    Activations, CodeGrid, FloatFormat, GroupSize, Override, Recipe, ScaleSearch, Sparsity, Step,
    StoredAs,
};
use trimtab_kernels::PackedFormat;
use trimtab_models::{StoredFormat, WeightRole};

/// Group of the embedding and the head when they are stored in 8 bits.
const EMBEDDING_GROUP: u32 = 64;

/// Channels that a kernel takes together: groups are multiples of it.
const KERNEL_GROUP: usize = 64;

/// The largest group that kernels read.
const LARGEST_GROUP: usize = 4096;

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WeightFormat {
    /// The format that kernels read.
    pub(crate) packed: PackedFormat,
    /// The format in the artifact: the same, narrower codes, or floats without their zeros.
    pub(crate) stored: StoredFormat,
    /// The grid that its values are rounded to; `None` for plain floats.
    pub(crate) grid: Option<GridSpec>,
}

/// What the format of a weight depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WeightKind<'a> {
    /// What it is for.
    pub(crate) role: WeightRole,
    /// Its name.
    pub(crate) name: &'a str,
    /// Input channels.
    pub(crate) d_in: usize,
}

impl WeightFormat {
    /// A format without a grid of ours: floats, or codes that are kept.
    pub(crate) fn plain(packed: PackedFormat) -> Self {
        Self {
            packed,
            stored: packed.into(),
            grid: None,
        }
    }

    fn on_grid(packed: PackedFormat, grid: GridSpec) -> Self {
        Self {
            packed,
            stored: StoredFormat::of_codes(packed, grid.bits),
            grid: Some(grid),
        }
    }
}

/// The format of a weight under `recipe`; `None` for vectors, which stay in f32. Kept codes have
/// the format of their checkpoint ([`crate::keep`]); all else beside them is stored in f16.
pub(crate) fn weight_format(recipe: &Recipe, kind: WeightKind<'_>) -> Option<WeightFormat> {
    if kind.role == WeightRole::Vector {
        return None;
    }
    let Some(grid) = recipe.grid() else {
        let packed = match recipe.steps.last()? {
            Step::Cast {
                to: FloatFormat::F32,
            } => PackedFormat::F32,
            Step::Cast {
                to: FloatFormat::Bf16,
            } => PackedFormat::Bf16,
            _ => PackedFormat::F16,
        };
        return Some(float_format(recipe, kind, packed));
    };
    let special = grid.overrides.iter().find(|one| one.matches(kind.name));
    Some(match kind.role {
        WeightRole::Linear => linear_format(&grid, special, kind.d_in),
        WeightRole::Embedding | WeightRole::Head => embedding_format(&grid, special, kind.d_in),
        WeightRole::Kept | WeightRole::Vector => WeightFormat::plain(PackedFormat::F16),
    })
}

/// Floats; what was pruned by a pattern is stored without its zeros.
fn float_format(recipe: &Recipe, kind: WeightKind<'_>, packed: PackedFormat) -> WeightFormat {
    let plain = WeightFormat::plain(packed);
    match recipe.pruning().map(|prune| prune.sparsity) {
        Some(Sparsity::Pattern { n, m }) if kind.role == WeightRole::Linear => {
            let kept = (m.saturating_sub(n) as usize, m as usize);
            WeightFormat {
                stored: StoredFormat::of_pattern(packed, kept, kind.d_in),
                ..plain
            }
        }
        _ => plain,
    }
}

fn linear_format(grid: &CodeGrid<'_>, special: Option<&Override>, d_in: usize) -> WeightFormat {
    let bits = special.map_or(grid.bits, |one| one.bits);
    if bits == 16 {
        return WeightFormat::plain(PackedFormat::F16);
    }
    let group_size = special.and_then(|one| one.group_size);
    let group_size = group_size.unwrap_or(grid.group_size);
    let mut spec = grid_spec(grid, bits, group_size);
    // Kernels read 8-bit codes without zero points.
    spec.symmetric |= bits == 8 && grid.stored_as == StoredAs::Codes;
    let packed = match grid.stored_as {
        StoredAs::F16 => PackedFormat::F16,
        StoredAs::Codes => packed_codes(
            bits,
            group_size,
            d_in,
            grid.activations == Activations::Int8,
        ),
    };
    WeightFormat::on_grid(packed, spec)
}

/// The head's scores are the answer itself: rounding its activations too costs 0.8 % of perplexity
/// (SmolLM2-135M) and saves no memory traffic.
fn embedding_format(grid: &CodeGrid<'_>, special: Option<&Override>, d_in: usize) -> WeightFormat {
    let bits = special.map_or(grid.embedding_bits, |one| one.bits);
    if bits == 16 {
        return WeightFormat::plain(PackedFormat::F16);
    }
    let group_size = match special {
        Some(one) => one.group_size.unwrap_or(grid.group_size),
        None => GroupSize::Inputs(EMBEDDING_GROUP),
    };
    // Without an override the grid is the plain one, whatever the step says of linear layers.
    let mut spec = grid_spec(grid, bits, group_size);
    spec.symmetric |= bits == 8;
    if special.is_none() {
        spec.symmetric = true;
        spec.search = RangeSearch::FullRange;
    }
    WeightFormat::on_grid(packed_codes(bits, group_size, d_in, false), spec)
}

fn grid_spec(grid: &CodeGrid<'_>, bits: u8, group_size: GroupSize) -> GridSpec {
    GridSpec {
        bits: u32::from(bits),
        grouping: match group_size {
            GroupSize::Inputs(n) => Grouping::Size(n as usize),
            GroupSize::Channel => Grouping::Row,
            GroupSize::Tensor => Grouping::Tensor,
        },
        // The kernels' 8-bit codes have no zero points.
        symmetric: grid.symmetric || (bits == 8 && grid.stored_as == StoredAs::Codes),
        search: match grid.scale_search {
            ScaleSearch::MinMax => RangeSearch::FullRange,
            ScaleSearch::Mse => RangeSearch::SquaredError,
        },
        scale_format: ScaleFormat::F16,
    }
}

/// The format of codes; a scale of more channels than kernels read at once is repeated.
fn packed_codes(
    bits: u8,
    group_size: GroupSize,
    d_in: usize,
    int8_activations: bool,
) -> PackedFormat {
    let group_size = match group_size {
        GroupSize::Inputs(n) => n as usize,
        GroupSize::Channel | GroupSize::Tensor => {
            d_in.next_multiple_of(KERNEL_GROUP).min(LARGEST_GROUP)
        }
    };
    match bits {
        8 => PackedFormat::Int8 {
            group_size,
            int8_activations,
        },
        _ => PackedFormat::Int4 {
            group_size,
            int8_activations,
        },
    }
}
