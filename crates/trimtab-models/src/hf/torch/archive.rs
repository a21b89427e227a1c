//! The members of a zip archive that are stored uncompressed, found where they lie.
//!
//! Source: APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14
//! and 4.3.15 (zip64), 4.3.16 (end of central directory).

use super::ArchiveError;
use std::{collections::BTreeMap, ops::Range};

/// The members of an archive, by name.
#[derive(Debug)]
pub(super) struct Archive {
    members: BTreeMap<String, Member>,
    /// The folder in which PyTorch puts everything, with its slash.
    prefix: String,
}

#[derive(Debug)]
struct Member {
    bytes: Range<usize>,
    is_stored: bool,
}

/// How a pickle begins: what PyTorch wrote before it wrote archives.
const PICKLE_START: u8 = 0x80;
const PICKLE: &str = "data.pkl";
/// Fixed parts of the structures.
const END_BYTES: u64 = 22;
const LOCATOR_BYTES: u64 = 20;
const CENTRAL_BYTES: u64 = 46;
const LOCAL_BYTES: u64 = 30;
/// The longest comment after the end of the directory.
const MAX_COMMENT_BYTES: usize = 0xffff;
const ZIP64_EXTRA: u16 = 1;
const ENCRYPTED_FLAG: u16 = 1;

impl Archive {
    /// Reads the directory and finds every member within the file.
    pub(super) fn parse(file: &[u8]) -> Result<Self, ArchiveError> {
        if file.first() == Some(&PICKLE_START) {
            return Err(ArchiveError::Legacy);
        }
        let file = Fields(file);
        let mut members = BTreeMap::new();
        let (n_members, mut at) = directory(file)?;
        for _ in 0..n_members {
            let (name, member, next) = central_entry(file, at)?;
            if members.contains_key(&name) {
                return Err(ArchiveError::DuplicateMember(name));
            }
            members.insert(name, member);
            at = next;
        }
        let prefix = prefix(&members)?;
        let archive = Self { members, prefix };
        let is_little = match archive.member("byteorder") {
            Ok(range) => &file.0[range] == b"little",
            Err(ArchiveError::MissingMember(_)) => true,
            Err(error) => return Err(error),
        };
        match is_little {
            true => Ok(archive),
            false => Err(ArchiveError::BigEndian),
        }
    }

    /// The pickle that describes the tensors.
    pub(super) fn pickle(&self) -> Result<Range<usize>, ArchiveError> {
        self.member(PICKLE)
    }

    /// The elements of a storage.
    pub(super) fn storage(&self, key: &str) -> Result<Range<usize>, ArchiveError> {
        self.member(&format!("data/{key}"))
    }

    fn member(&self, name: &str) -> Result<Range<usize>, ArchiveError> {
        let name = format!("{}{name}", self.prefix);
        match self.members.get(&name) {
            None => Err(ArchiveError::MissingMember(name)),
            Some(member) if !member.is_stored => Err(ArchiveError::Compressed(name)),
            Some(member) => Ok(member.bytes.clone()),
        }
    }
}

fn prefix(members: &BTreeMap<String, Member>) -> Result<String, ArchiveError> {
    let mut prefixes = members.keys().filter_map(|name| {
        let prefix = name.strip_suffix(PICKLE)?;
        let is_folder = prefix.is_empty() || prefix.ends_with('/');
        is_folder.then_some(prefix)
    });
    let Some(prefix) = prefixes.next() else {
        return Err(ArchiveError::MissingMember(PICKLE.to_owned()));
    };
    match prefixes.next() {
        None => Ok(prefix.to_owned()),
        Some(_) => Err(ArchiveError::SeveralPickles),
    }
}

/// Number of members, and where the directory begins.
fn directory(file: Fields<'_>) -> Result<(u64, u64), ArchiveError> {
    let what = "the end of the directory";
    let end = end_of_directory(file.0).ok_or(ArchiveError::NotAnArchive)?;
    let locator = end.checked_sub(LOCATOR_BYTES);
    if let Some(locator) = locator.filter(|at| file.has(*at, *b"PK\x06\x07")) {
        let end64 = file.u64(locator + 8, what)?;
        file.expect(end64, *b"PK\x06\x06", what)?;
        let n_members = file.u64(end64.saturating_add(32), what)?;
        let start = file.u64(end64.saturating_add(48), what)?;
        return Ok((n_members, start));
    }
    let n_members = file.u16(end + 10, what)?;
    let start = file.u32(end + 16, what)?;
    Ok((n_members.into(), start.into()))
}

/// The last place where the structure, with its comment, ends where the file does.
fn end_of_directory(file: &[u8]) -> Option<u64> {
    let latest = file.len().checked_sub(END_BYTES as usize)?;
    let earliest = latest.saturating_sub(MAX_COMMENT_BYTES);
    let found = (earliest..=latest).rev().find(|&at| {
        let comment = u16::from_le_bytes([file[at + 20], file[at + 21]]);
        file[at..].starts_with(b"PK\x05\x06") && usize::from(comment) == latest - at
    });
    found.map(|at| at as u64)
}

/// Name and place of a member, and where the next entry begins.
fn central_entry(file: Fields<'_>, at: u64) -> Result<(String, Member, u64), ArchiveError> {
    let what = "an entry of the directory";
    file.expect(at, *b"PK\x01\x02", what)?;
    let fixed = file.bytes(at, CENTRAL_BYTES, what)?;
    let fixed = Fields(fixed);
    let (flags, method) = (fixed.u16(8, what)?, fixed.u16(10, what)?);
    let (name_bytes, extra_bytes) = (fixed.u16(28, what)?, fixed.u16(30, what)?);
    let comment_bytes = fixed.u16(32, what)?;
    let name_at = at + CENTRAL_BYTES;
    let name = file.bytes(name_at, name_bytes.into(), what)?;
    let name = str::from_utf8(name).map_err(|_| ArchiveError::BadName(at as usize))?;
    let extra_at = name_at + u64::from(name_bytes);
    let extra = file.bytes(extra_at, extra_bytes.into(), what)?;
    let sizes = Sizes::read(fixed, Fields(extra))?;
    let is_stored = method == 0 && flags & ENCRYPTED_FLAG == 0;
    let member = Member {
        bytes: sizes.place(file)?,
        is_stored,
    };
    let next = extra_at + u64::from(extra_bytes) + u64::from(comment_bytes);
    Ok((name.to_owned(), member, next))
}

/// What the directory says about the place of a member.
struct Sizes {
    stored: u64,
    local_header: u64,
}

impl Sizes {
    /// Sizes that do not fit 32 bits stand in the extra field, in this order.
    fn read(fixed: Fields<'_>, extra: Fields<'_>) -> Result<Self, ArchiveError> {
        let what = "an entry of the directory";
        let mut wide = wide_sizes(extra)?;
        let mut read = |at| match fixed.u32(at, what)? {
            u32::MAX => {
                let (value, rest) = wide
                    .split_first_chunk::<8>()
                    .ok_or(ArchiveError::Truncated { what, offset: at })?;
                wide = rest;
                Ok(u64::from_le_bytes(*value))
            }
            narrow => Ok(u64::from(narrow)),
        };
        let _uncompressed = read(24)?;
        Ok(Self {
            stored: read(20)?,
            local_header: read(42)?,
        })
    }

    /// The bytes after the local header, whose name and extra field have lengths of their own.
    fn place(&self, file: Fields<'_>) -> Result<Range<usize>, ArchiveError> {
        let (at, what) = (self.local_header, "a member");
        file.expect(at, *b"PK\x03\x04", what)?;
        let fixed = Fields(file.bytes(at, LOCAL_BYTES, what)?);
        let names = u64::from(fixed.u16(26, what)?) + u64::from(fixed.u16(28, what)?);
        let start = at + LOCAL_BYTES + names;
        file.bytes(start, self.stored, what)?;
        Ok(start as usize..(start + self.stored) as usize)
    }
}

/// The content of the zip64 field; empty where there is none.
fn wide_sizes(extra: Fields<'_>) -> Result<&[u8], ArchiveError> {
    let what = "an extra field";
    let mut at = 0;
    while at + 4 <= extra.0.len() as u64 {
        let (id, n_bytes) = (extra.u16(at, what)?, extra.u16(at + 2, what)?);
        let content = extra.bytes(at + 4, n_bytes.into(), what)?;
        if id == ZIP64_EXTRA {
            return Ok(content);
        }
        at += 4 + u64::from(n_bytes);
    }
    Ok(&[])
}

/// Bytes with little-endian numbers in them.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(self, at: u64, n_bytes: u64, what: &'static str) -> Result<&'a [u8], ArchiveError> {
        let end = at.checked_add(n_bytes);
        let range = end.filter(|end| *end <= self.0.len() as u64);
        match range {
            Some(end) => Ok(&self.0[at as usize..end as usize]),
            None => Err(ArchiveError::Truncated { what, offset: at }),
        }
    }

    fn array<const N: usize>(self, at: u64, what: &'static str) -> Result<[u8; N], ArchiveError> {
        let bytes = self.bytes(at, N as u64, what)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    fn u16(self, at: u64, what: &'static str) -> Result<u16, ArchiveError> {
        self.array(at, what).map(u16::from_le_bytes)
    }

    fn u32(self, at: u64, what: &'static str) -> Result<u32, ArchiveError> {
        self.array(at, what).map(u32::from_le_bytes)
    }

    fn u64(self, at: u64, what: &'static str) -> Result<u64, ArchiveError> {
        self.array(at, what).map(u64::from_le_bytes)
    }

    fn has(self, at: u64, signature: [u8; 4]) -> bool {
        self.array(at, "")
            .is_ok_and(|found: [u8; 4]| found == signature)
    }

    fn expect(self, at: u64, signature: [u8; 4], what: &'static str) -> Result<(), ArchiveError> {
        let found: [u8; 4] = self.array(at, what)?;
        match found == signature {
            true => Ok(()),
            false => Err(ArchiveError::BadSignature { what, offset: at }),
        }
    }
}
