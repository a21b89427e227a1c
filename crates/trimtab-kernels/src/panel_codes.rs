//! The innermost loop of products with panels of codes: integer sums over each block of 64 channels,
//! scaled and added to float sums.

use crate::{
    PackedFormat, PackedShape,
    isa::Isa,
    panel::{CODE_UNIT, PANEL_ROWS, Panel, units_of_block},
    shape::BLOCK,
    token_tile::{TokenTile, words_of_block},
};

/// How a unit of codes is unpacked and multiplied.
pub(crate) trait Codes {
    /// Bits of a code.
    const BITS: usize;
    /// Bits of an activation.
    const X_BITS: usize;
    /// Words of activations that a unit meets.
    const UNIT_WORDS: usize = words_of_block(Self::X_BITS) / units_of_block(Self::BITS);
    /// Whether sums start with what [`Isa::WEIGHT_OFFSET`] takes away.
    const HAS_OFFSET: bool = false;

    /// Adds the products of one unit of `V` vectors of rows with `T` tokens.
    ///
    /// # Safety
    ///
    /// `x` is valid for reads of `UNIT_WORDS · T` words.
    unsafe fn add<S: Isa, const V: usize, const T: usize>(
        isa: S,
        units: [S::B; V],
        x: *const i32,
        sums: &mut [[S::I; V]; T],
    );
}

/// 4-bit codes, 8-bit activations.
pub(crate) struct NibbleCodes;

impl Codes for NibbleCodes {
    const BITS: usize = 4;
    const X_BITS: usize = 8;

    #[inline(always)]
    unsafe fn add<S: Isa, const V: usize, const T: usize>(
        isa: S,
        units: [S::B; V],
        x: *const i32,
        sums: &mut [[S::I; V]; T],
    ) {
        for half in 0..2 {
            let codes = units.map(|unit| isa.halves(unit, half == 1));
            for (token, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the words.
                let x = isa.splat_bytes(unsafe { *x.add(half * T + token) });
                for (sum, codes) in sums.iter_mut().zip(codes) {
                    *sum = isa.dot_nibbles(*sum, codes, x);
                }
            }
        }
    }
}

/// 8-bit codes and activations.
pub(crate) struct ByteCodes;

impl Codes for ByteCodes {
    const BITS: usize = 8;
    const X_BITS: usize = 8;
    const HAS_OFFSET: bool = true;

    #[inline(always)]
    unsafe fn add<S: Isa, const V: usize, const T: usize>(
        isa: S,
        units: [S::B; V],
        x: *const i32,
        sums: &mut [[S::I; V]; T],
    ) {
        for (token, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the words.
            let x = isa.splat_bytes(unsafe { *x.add(token) });
            for (sum, codes) in sums.iter_mut().zip(units) {
                *sum = isa.dot_codes(*sum, codes, x);
            }
        }
    }
}

/// 4-bit codes, 16-bit activations.
pub(crate) struct NibblePairs;

impl Codes for NibblePairs {
    const BITS: usize = 4;
    const X_BITS: usize = 16;

    #[inline(always)]
    unsafe fn add<S: Isa, const V: usize, const T: usize>(
        isa: S,
        units: [S::B; V],
        x: *const i32,
        sums: &mut [[S::I; V]; T],
    ) {
        for idx in 0..4 {
            let pairs = units.map(|unit| isa.nibble_pairs(unit, idx));
            // SAFETY: the caller vouches for the words.
            unsafe { add_pairs(isa, pairs, x.add(idx * T), sums) }
        }
    }
}

/// 8-bit codes, 16-bit activations.
pub(crate) struct BytePairs;

impl Codes for BytePairs {
    const BITS: usize = 8;
    const X_BITS: usize = 16;

    #[inline(always)]
    unsafe fn add<S: Isa, const V: usize, const T: usize>(
        isa: S,
        units: [S::B; V],
        x: *const i32,
        sums: &mut [[S::I; V]; T],
    ) {
        for idx in 0..2 {
            let pairs = units.map(|unit| isa.byte_pairs(unit, idx));
            // SAFETY: the caller vouches for the words.
            unsafe { add_pairs(isa, pairs, x.add(idx * T), sums) }
        }
    }
}

/// # Safety
///
/// `x` is valid for reads of `T` words.
#[inline(always)]
unsafe fn add_pairs<S: Isa, const V: usize, const T: usize>(
    isa: S,
    pairs: [S::I; V],
    x: *const i32,
    sums: &mut [[S::I; V]; T],
) {
    for (token, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller vouches for the words.
        let x = isa.splat_int(unsafe { *x.add(token) });
        for (sum, pair) in sums.iter_mut().zip(pairs) {
            *sum = isa.dot_pairs(*sum, pair, x);
        }
    }
}

/// One panel and the tokens it is multiplied with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeTile<'a> {
    pub shape: PackedShape,
    pub panel: Panel<'a>,
    pub tile: &'a TokenTile,
}

impl CodeTile<'_> {
    /// Sums of a panel's rows for `T` tokens:
    /// Σ over blocks of `w_scale · x_scale · (Σ w · x − zero point · Σ x)`.
    #[inline(always)]
    pub(crate) fn sums<S: Isa, C: Codes, const V: usize, const T: usize>(
        self,
        isa: S,
    ) -> [[S::F; V]; T] {
        let n_blocks = self.check::<C, T>();
        let (n_units, unit_bytes) = (units_of_block(C::BITS), PANEL_ROWS * CODE_UNIT);
        let mut totals = [[isa.splat(0.0); V]; T];
        for block in 0..n_blocks {
            let mut sums = [[isa.splat_int(0); V]; T];
            if C::HAS_OFFSET && S::WEIGHT_OFFSET != 0 {
                for (sums, start) in sums.iter_mut().zip(&self.tile.starts[block * T..]) {
                    *sums = [isa.splat_int(*start); V];
                }
            }
            for unit in block * n_units..(block + 1) * n_units {
                // SAFETY: `check` holds every unit of the panel, and the words it meets.
                unsafe {
                    let codes = self.panel.codes.as_ptr().add(unit * unit_bytes);
                    let units = std::array::from_fn(
                        #[inline(always)]
                        |v| isa.load_bytes(codes.add(v * S::LANES * CODE_UNIT)),
                    );
                    let x = self.tile.words.as_ptr().add(unit * C::UNIT_WORDS * T);
                    C::add::<S, V, T>(isa, units, x, &mut sums);
                }
            }
            self.add_block(isa, block, &sums, &mut totals);
        }
        totals
    }

    /// Checks that the tile and the panel hold all that [`Self::sums`] reads; the number of blocks.
    #[inline(always)]
    fn check<C: Codes, const T: usize>(&self) -> usize {
        let n_blocks = self.shape.d_in.div_ceil(BLOCK);
        let (tile, n_groups) = (self.tile, self.shape.n_groups());
        assert_eq!(
            self.panel.codes.len(),
            n_blocks * PANEL_ROWS * BLOCK * C::BITS / 8
        );
        assert_eq!(self.panel.scales.len(), n_groups * PANEL_ROWS * 2);
        assert!(C::BITS != 4 || self.panel.zero_points.len() == n_groups * PANEL_ROWS);
        assert_eq!(tile.words.len(), n_blocks * words_of_block(C::X_BITS) * T);
        assert!(tile.scales.len() == n_blocks * T && tile.negative_sums.len() == n_blocks * T);
        assert!(!C::HAS_OFFSET || tile.starts.len() == n_blocks * T);
        n_blocks
    }

    #[inline(always)]
    fn add_block<S: Isa, const V: usize, const T: usize>(
        &self,
        isa: S,
        block: usize,
        sums: &[[S::I; V]; T],
        totals: &mut [[S::F; V]; T],
    ) {
        let (group_size, has_zero_points) = match self.shape.format {
            PackedFormat::Int8 { group_size, .. } => (group_size, false),
            PackedFormat::Int4 { group_size, .. } => (group_size, true),
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => {
                unreachable!("floats have no codes")
            }
        };
        let first = block * BLOCK / group_size * PANEL_ROWS;
        for v in 0..V {
            let row = first + v * S::LANES;
            // SAFETY: `check` holds a scale, and with 4 bits a zero point, of every group and row.
            let scales = unsafe { isa.load_f16(self.panel.scales.as_ptr().add(2 * row)) };
            let zero_points = match has_zero_points {
                // SAFETY: as above. Zero points are codes, so the sign of the byte is not set.
                true => unsafe { isa.load_i8(self.panel.zero_points.as_ptr().add(row)) },
                false => isa.splat(0.0),
            };
            for (token, (totals, sums)) in totals.iter_mut().zip(sums).enumerate() {
                // SAFETY: `check` holds a scale and a sum of every block and token.
                let (x_scale, negative_sum) = unsafe {
                    let at = block * T + token;
                    let sum = *self.tile.negative_sums.as_ptr().add(at);
                    (*self.tile.scales.as_ptr().add(at), sum)
                };
                let mut sum = isa.to_float(sums[v]);
                if has_zero_points {
                    sum = isa.fma(zero_points, isa.splat(negative_sum), sum);
                }
                let scale = isa.mul(scales, isa.splat(x_scale));
                totals[v] = isa.fma(sum, scale, totals[v]);
            }
        }
    }
}
