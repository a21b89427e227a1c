//! Why a recipe cannot be carried out.

/// Why a recipe cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecipe {
    /// Nothing to do.
    #[error("recipe `{0}` has no steps")]
    NoSteps(String),
    /// More than one step stores the weights.
    #[error(
        "recipe `{0}` has {1} steps; only the last may store the weights (`cast`, `keep`, `rtn`, `gptq`)"
    )]
    TooManySteps(String, usize),
    /// Steps that do not follow each other.
    #[error(
        "`{first}` comes before `{then}`; the order is `merge_adapter`, `shrink` and `distil`, \
         `prune`, `choose_bits`, `awq`, and of these only `shrink` and `distil` more than once"
    )]
    Order {
        /// The first of the two.
        first: &'static str,
        /// The other.
        then: &'static str,
    },
    /// No step says how weights are stored.
    #[error(
        "recipe `{0}` does not say how the weights are stored; end it with a cast or a quantisation"
    )]
    NoFormat(String),
    /// Codes cannot be kept once an adapter changed the weights.
    #[error("codes cannot be kept after an adapter was merged; quantise again")]
    KeepAfterMerge,
    /// Codes cannot be kept once another model was made.
    #[error(
        "codes cannot be kept after `{0}` has made another model; end the recipe with `cast`, `rtn` or `gptq`"
    )]
    KeepAfterStage(&'static str),
    /// Codes cannot be kept once weights were set to zero.
    #[error("codes cannot be kept after pruning; end the recipe with `cast` or `rtn`")]
    KeepAfterPrune,
    /// Error compensation fills zeros again.
    #[error(
        "`gptq` after `prune` would fill the zeros again; prune and end the recipe with `cast` or `rtn`"
    )]
    GptqAfterPrune,
    /// What prepares for rounding looks at whole weights.
    #[error("`{0}` looks at whole weights and cannot follow `prune`; leave one of them out")]
    AfterPrune(&'static str),
    /// What prepares for rounding, and nothing is rounded.
    #[error("`{0}` prepares weights for rounding; end the recipe with `rtn` or `gptq`")]
    NothingRounded(&'static str),
    /// More than one text to read.
    #[error("`{first}` and `{then}` name two calibrations; a recipe has one, name it once")]
    TwoCalibrations {
        /// The first step with one.
        first: &'static str,
        /// A step with another.
        then: &'static str,
    },
    /// No budget for a choice of bits, or two.
    #[error("`choose_bits` needs either `budget_bits` or `budget_bytes`")]
    Budget,
    /// Bit widths that leave no choice, or have no grid.
    #[error("`candidates` is {0}; name at least two of 2, 3, 4 and 8, each once")]
    Candidates(String),
    /// A choice that leaves the width of the step without use.
    #[error("`bits` is {0}, which is none of the `candidates` of `choose_bits`; name one of them")]
    NoCandidate(u8),
    /// A choice between widths that are stored alike.
    #[error("`choose_bits` saves nothing with `stored_as = \"f16\"`; leave one of them out")]
    ChoiceOfNothing,
    /// A bit width without a grid.
    #[error("`bits` is {0}; use 2, 3, 4 or 8")]
    Bits(u8),
    /// A group of nothing.
    #[error("`group_size` is 0; use a multiple of 64, `channel` or `tensor`")]
    NoGroup,
    /// A group size that the kernels cannot read.
    #[error(
        "`group_size` {0} is not a multiple of 64 between 64 and 4096, which is what the kernels read; \
         with `stored_as = \"f16\"` any size can be tried, without saving memory"
    )]
    GroupSize(u32),
    /// An option that the step would not use.
    #[error("8-bit codes are always symmetric; set `symmetric = true`")]
    AsymmetricInt8,
    /// A bit width of the embedding without a kernel.
    #[error("`embedding_bits` is {0}; use 8 or 16")]
    EmbeddingBits(u8),
    /// Weights in floats are multiplied with floats.
    #[error(
        "`activations = \"int8\"` is not used with `stored_as = \"f16\"`; set `activations = \"float\"`"
    )]
    UnusedActivations,
    /// A group size of weights that stay floats.
    #[error("`group_size` of the override `{0}` is not used with 16 bits; leave it out")]
    UnusedGroupSize(String),
    /// A pattern that says nothing.
    #[error("an override has an empty `pattern`")]
    EmptyPattern,
    /// A share of zeros that leaves all or nothing.
    #[error("`sparsity` is {0}; use a share between 0 and 1, both excluded")]
    Sparsity(String),
    /// A pattern of zeros that leaves all or nothing.
    #[error("`sparsity` is the pattern {n}:{m}; use n zeros of m channels with 0 < n < m ≤ 64")]
    Pattern {
        /// Zeros.
        n: u32,
        /// Channels.
        m: u32,
    },
    /// Hidden states are compared with those of a teacher that is not there.
    #[error(
        "`hidden_weight` is not used with `stored_tokens`, which keeps no hidden states; leave one out"
    )]
    StoredStates,
    /// A model that is its own teacher.
    #[error(
        "`distil` would teach the model what it knows: shrink it before, or name another `teacher`"
    )]
    OwnTeacher,
    /// A teacher that nothing is learned from.
    #[error(
        "with `label_share` 1 nothing is learned from a teacher; leave `teacher` and `stored_tokens` out, or lower it"
    )]
    UnusedTeacher,
    /// A shrinking without a wish.
    #[error("`shrink` has nothing to remove; give `layers`, `heads` or `neurons`")]
    NothingToShrink,
    /// A number of layers that is none.
    #[error("`layers` of `shrink` is 0; use a number from 1, or a share between 0 and 1")]
    NoLayers,
    /// A share that leaves all or nothing.
    #[error("`{key}` of `shrink` is {value}; use a share between 0 and 1, both excluded")]
    ShrinkShare {
        /// The option.
        key: &'static str,
        /// What it is.
        value: String,
    },
    /// An option that the chosen method would not use.
    #[error("`{key}` is not used by `{by}`; leave it out")]
    Unused {
        /// The option.
        key: &'static str,
        /// The method.
        by: &'static str,
    },
    /// A number outside its range.
    #[error("`{key}` is {value}, not between {low} and {high}")]
    Range {
        /// The option.
        key: &'static str,
        /// What it is.
        value: String,
        /// Least value.
        low: String,
        /// Greatest value.
        high: String,
    },
    /// A share of calibration sequences that is none.
    #[error("`share` of a calibration source is {0}; use a number above 0")]
    Share(String),
}
