//! What can be wrong with a PyTorch file.

/// Why a PyTorch file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The zip archive is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The pickle is damaged, or does more than describe tensors.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The pickle holds something else than named tensors.
    #[error("the file holds {found}, not a dictionary of tensors")]
    NotADictionary {
        /// What it holds.
        found: &'static str,
    },
    /// Two dictionaries that could be the weights.
    #[error(
        "the entries {} all hold tensors: save the one that is the model on its own",
        .0.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
    )]
    AmbiguousStateDict(Vec<String>),
    /// A tensor under a key that is no name.
    #[error("`{prefix}` holds tensors under keys that are {found}, not names")]
    KeyIsNoName {
        /// Where.
        prefix: String,
        /// What the key is.
        found: &'static str,
    },
    /// Tensors in a list.
    #[error("`{0}` holds tensors without names")]
    Unnamed(String),
    /// Two tensors with one name.
    #[error("tensor `{0}` occurs twice")]
    Duplicate(String),
    /// Names nested, long or many beyond reason.
    #[error("the dictionary of tensors goes beyond {limit} {what}")]
    TooMuch {
        /// What is counted.
        what: &'static str,
        /// The most that is read.
        limit: usize,
    },
    /// A tensor that does not fit its storage.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why the zip archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The format before PyTorch 1.6.
    #[error(
        "the file is in PyTorch's format from before version 1.6, which is not read: load it in \
         PyTorch and save it again with `torch.save`, or as safetensors"
    )]
    Legacy,
    /// No zip archive.
    #[error("not a PyTorch file: it does not begin and end like a zip archive")]
    NotAnArchive,
    /// The archive ends before something it must hold.
    #[error("the archive is damaged: {what} at byte {offset} is not within the file")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it should begin.
        offset: u64,
    },
    /// Bytes that are not what the table says.
    #[error("the archive is damaged: {what} at byte {offset} does not begin as it should")]
    BadSignature {
        /// What was being read.
        what: &'static str,
        /// Where it should begin.
        offset: u64,
    },
    /// A name that is not UTF-8.
    #[error("the archive is damaged: the name of a member at byte {0} is not UTF-8")]
    BadName(usize),
    /// Two members of one name.
    #[error("the archive has two members `{0}`")]
    DuplicateMember(String),
    /// A member that is not stored as it is.
    #[error("member `{0}` is compressed or encrypted, which PyTorch does not do")]
    Compressed(String),
    /// A member that must be there.
    #[error("the archive has no member `{0}`")]
    MissingMember(String),
    /// Several pickles.
    #[error("the archive has more than one `data.pkl`")]
    SeveralPickles,
    /// A file from a big-endian machine.
    #[error("the file is big-endian; only little-endian files are read")]
    BigEndian,
}

/// Why the pickle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// A pickle larger than any that describes tensors.
    #[error("the pickle has {n_bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size.
        n_bytes: usize,
        /// The most that is read.
        limit: usize,
    },
    /// More values, or a higher stack, than tensors need.
    #[error("the pickle makes more than {limit} {what}")]
    TooMuch {
        /// What is counted.
        what: &'static str,
        /// The most allowed.
        limit: usize,
    },
    /// The pickle ends too early.
    #[error("the pickle ends at byte {0} inside a step")]
    Truncated(usize),
    /// A version of the format that is not read.
    #[error("pickle protocol {0} is not read; 2 to 5 are")]
    Protocol(u8),
    /// A step that tensors do not need.
    #[error(
        "the pickle has the step `{name}` (0x{code:02x}) at byte {offset}, which tensors do not need and which is not executed"
    )]
    Opcode {
        /// The step by its common name.
        name: &'static str,
        /// Its code.
        code: u8,
        /// Where.
        offset: usize,
    },
    /// A class or function that tensors do not need.
    #[error(
        "the pickle asks for `{module}.{name}`, which is not executed: convert the file to safetensors on a machine that trusts it"
    )]
    Global {
        /// The module.
        module: String,
        /// The name in it.
        name: String,
    },
    /// Text that is not UTF-8.
    #[error("the pickle has a text at byte {0} that is not UTF-8")]
    BadText(usize),
    /// A step that finds other values than it needs.
    #[error("the pickle is damaged: `{step}` at byte {offset} needs {needs}")]
    Operand {
        /// The step.
        step: &'static str,
        /// What it needs.
        needs: &'static str,
        /// Where.
        offset: usize,
    },
}
