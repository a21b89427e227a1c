//! Why a layer cannot be compressed.

/// Why a layer cannot be compressed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LayerError {
    /// Two things that belong together have other sizes.
    #[error("{what}: {got} values where {expected} belong")]
    Size {
        /// What has the wrong size.
        what: &'static str,
        /// How many values belong there.
        expected: usize,
        /// How many are there.
        got: usize,
    },
    /// A layer, input or list of nothing.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// NaN or an infinite value.
    #[error("{what}: value {index} is {value}, which is not finite")]
    NotFinite {
        /// Where it is.
        what: &'static str,
        /// Its position.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A code width without grids.
    #[error("codes of {0} bits are not offered; choose 2, 3, 4 or 8")]
    Bits(u32),
    /// Groups of no weights.
    #[error("a group size of 0 holds no weights")]
    GroupSize,
    /// Scales that 16-bit floats cannot hold.
    #[error("a scale of row {row} is too large for the stored number format")]
    ScaleTooLarge {
        /// The row.
        row: usize,
    },
    /// A factor for a channel that is no positive number.
    #[error("scale {index} is {value}; scales have to be above 0 and finite")]
    Scale {
        /// Its position.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// A Hessian whose halves differ.
    #[error("the Hessian is not symmetric: ({row}, {column}) is {value}, its mirror {mirror}")]
    NotSymmetric {
        /// Row of the first that differs.
        row: usize,
        /// Its column.
        column: usize,
        /// Its value.
        value: f64,
        /// The value on the other side of the diagonal.
        mirror: f64,
    },
    /// A matrix that has no Cholesky factor.
    #[error("the matrix is not positive definite: column {column} has nothing left")]
    NotPositiveDefinite {
        /// The column at which the factorisation stopped.
        column: usize,
    },
    /// A Hessian that stays without a factor, whatever is added to its diagonal.
    #[error(
        "the Hessian is not positive definite, even with {damping_ratio} of its mean diagonal added"
    )]
    Undampable {
        /// The largest share that was tried.
        damping_ratio: f64,
    },
    /// A damping that is negative or not a number.
    #[error("a damping of {0} of the mean diagonal; it has to be 0 or more")]
    Damping(f64),
    /// Statistics of no tokens.
    #[error("no calibration token reached the layer")]
    NoTokens,
    /// A share of weights that leaves none or removes none.
    #[error("a sparsity of {0}; it has to lie between 0 and 1, both excluded")]
    Sparsity(f64),
    /// A pattern that keeps nothing, or everything, or more than there is.
    #[error("a pattern of {kept}:{of}; it has to keep at least 1 and fewer than all of 2 to 256")]
    Pattern {
        /// Weights kept of each group.
        kept: usize,
        /// Weights in each group.
        of: usize,
    },
    /// A pattern that does not divide the rows.
    #[error("rows of {d_in} weights do not divide into groups of {of}")]
    PatternDoesNotFit {
        /// Weights a row.
        d_in: usize,
        /// Weights a group.
        of: usize,
    },
    /// A factor with sorted columns where the method needs them as stored.
    #[error("the method takes columns as they are stored, not in activation order")]
    SortedColumns,
    /// A module without a choice.
    #[error("module {0} has no option to choose from")]
    NoOption(usize),
    /// A budget below the smallest options.
    #[error("the budget is {budget} bytes, and the smallest options take {needed}")]
    Budget {
        /// Bytes allowed.
        budget: u64,
        /// Bytes needed at least.
        needed: u64,
    },
    /// A budget that is no number above 0.
    #[error("a budget of {0} bits per weight; it has to be above 0")]
    BitsPerWeight(f64),
}

impl LayerError {
    /// What the user can do about it, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Undampable { .. } => Some("use more calibration tokens, or round to nearest"),
            Self::NoTokens => Some("use a longer calibration text"),
            Self::ScaleTooLarge { .. } => Some("keep this module in 16 bits"),
            Self::PatternDoesNotFit { .. } => {
                Some("choose a pattern whose second number divides the row, or a plain sparsity")
            }
            Self::Budget { .. } => Some("raise the budget, or offer options with fewer bits"),
            Self::NotFinite { .. } => Some("check the checkpoint and the calibration text"),
            _ => None,
        }
    }
}
