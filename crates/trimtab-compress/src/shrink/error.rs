//! Why a model cannot be shrunk as asked for.

/// Why a model cannot be shrunk as asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ShrinkError {
    /// A part that cannot be cut yet.
    #[error("models with {0} cannot be shrunk here")]
    Unsupported(&'static str),
    /// A checkpoint's format without a place for the width of heads.
    #[error(
        "`heads` of `{0}` cannot be removed: its checkpoints divide the model's width by the heads"
    )]
    FixedHeads(&'static str),
    /// A model whose layers depend on their number.
    #[error("`layers` cannot be removed: attention of this model is scaled by the layer's number")]
    NumberedLayers,
    /// Heads that all read the same keys and values.
    #[error("`heads`: the model has one key and value head, which all others read")]
    OneGroup,
    /// A share that would cut a head.
    #[error(
        "`heads` = {wish} of {n} key and value heads is {exact:.2} heads; use a multiple of {one:.3}",
        exact = .wish * *.n as f64,
        one = 1.0 / *.n as f64
    )]
    Indivisible {
        /// The share.
        wish: f64,
        /// Key and value heads.
        n: usize,
    },
    /// A wish that removes nothing.
    #[error("`{key}` = {wish} of {n} {what} is none; ask for more, or leave `{key}` out")]
    Nothing {
        /// The option.
        key: &'static str,
        /// What it is.
        wish: String,
        /// How many there are.
        n: usize,
        /// Of what.
        what: &'static str,
    },
    /// A wish that leaves nothing.
    #[error("`{key}` = {wish} would remove all {n} {what}; ask for fewer")]
    All {
        /// The option.
        key: &'static str,
        /// What it is.
        wish: String,
        /// How many there are.
        n: usize,
        /// Of what.
        what: &'static str,
    },
}
