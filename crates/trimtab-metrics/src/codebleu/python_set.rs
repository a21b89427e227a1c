//! The order in which CPython lists a set of strings.
//!
//! The reference package removes repeated variable names with `list(set(names))`, and its data-flow
//! match depends on the order that comes out. Python draws that order anew for each process, so the
//! package gives different scores for the same code; it is fixed by `PYTHONHASHSEED` alone. Scores
//! here are those of the package under one such seed, [`HASH_SEED`].
//!
//! Source: `Python/pyhash.c` and `Objects/setobject.c` of CPython 3.11: SipHash-1-3 of the string's
//! internal form, open addressing with ten neighbours tried at each place.

/// The `PYTHONHASHSEED` whose order is taken: the smallest under which the package gives again the
/// scores that were recorded with it elsewhere, under orders that nobody wrote down.
pub(super) const HASH_SEED: u32 = 4430;

/// Neighbours that are tried after a place before the next place.
const N_NEIGHBOURS: usize = 9;

/// The hash of a string in a CPython process with this seed.
pub(super) fn hash(text: &str, seed: u32) -> u64 {
    if text.is_empty() {
        return 0;
    }
    let (k0, k1) = keys(seed);
    let hash = siphash13(k0, k1, &internal_form(text));
    // -1 stands for an error.
    if hash == u64::MAX { u64::MAX - 1 } else { hash }
}

/// One, two or four bytes a character, by the widest of them.
fn internal_form(text: &str) -> Vec<u8> {
    let widest = text.chars().map(u32::from).max().unwrap_or(0);
    let n_bytes = match widest {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    let bytes = text.chars().map(|c| u32::from(c).to_le_bytes());
    bytes
        .flat_map(|four| four.into_iter().take(n_bytes))
        .collect()
}

/// The two halves of the secret that CPython derives from a seed.
fn keys(seed: u32) -> (u64, u64) {
    if seed == 0 {
        return (0, 0);
    }
    let mut state = seed;
    let mut half = || {
        let mut bytes = [0; 8];
        for byte in &mut bytes {
            state = state.wrapping_mul(214_013).wrapping_add(2_531_011);
            *byte = (state >> 16) as u8;
        }
        u64::from_le_bytes(bytes)
    };
    let first = half();
    (first, half())
}

/// SipHash with one round a word and three at the end: Aumasson & Bernstein 2012,
/// <https://eprint.iacr.org/2012/351>, section 2.
fn siphash13(k0: u64, k1: u64, bytes: &[u8]) -> u64 {
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let words = bytes.chunks_exact(8);
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = bytes.len() as u8;
    for word in words.chain(std::iter::once(&last[..])) {
        let word = u64::from_le_bytes(word.try_into().expect("chunks have eight bytes"));
        state[3] ^= word;
        round(&mut state);
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}

/// `list(set(names))`: each name once, as the hash table lists them.
///
/// Names are numbers here; `hash_of` gives the hash of the string that each stands for.
pub(super) fn list_of_set(names: &[u32], hash_of: impl Fn(u32) -> u64) -> Vec<u32> {
    let mut table = Table::new(8);
    for &name in names {
        table.add(name, hash_of(name));
    }
    table
        .places
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .collect()
}

struct Table {
    places: Vec<Option<(u32, u64)>>,
    n_used: usize,
}

impl Table {
    fn new(size: usize) -> Self {
        Self {
            places: vec![None; size],
            n_used: 0,
        }
    }

    fn add(&mut self, name: u32, hash: u64) {
        let Some(place) = self.find_place(name, hash) else {
            return;
        };
        self.places[place] = Some((name, hash));
        self.n_used += 1;
        let mask = self.places.len() - 1;
        if self.n_used * 5 >= mask * 3 {
            self.grow();
        }
    }

    /// The first free place on the way of this hash, or `None` if the name is met there.
    fn find_place(&self, name: u32, hash: u64) -> Option<usize> {
        let mask = self.places.len() - 1;
        let mut rest = hash;
        let mut start = hash as usize & mask;
        loop {
            let n_tried = if start + N_NEIGHBOURS <= mask {
                N_NEIGHBOURS
            } else {
                0
            };
            for place in start..=start + n_tried {
                match self.places[place] {
                    None => return Some(place),
                    Some((known, _)) if known == name => return None,
                    Some(_) => {}
                }
            }
            rest >>= 5;
            start = start
                .wrapping_mul(5)
                .wrapping_add(1)
                .wrapping_add(rest as usize)
                & mask;
        }
    }

    fn grow(&mut self) {
        let factor = if self.n_used > 50_000 { 2 } else { 4 };
        let size = (self.n_used * factor + 1).next_power_of_two();
        let old = std::mem::replace(self, Self::new(size.max(8)));
        for (name, hash) in old.places.into_iter().flatten() {
            if let Some(place) = self.find_place(name, hash) {
                self.places[place] = Some((name, hash));
                self.n_used += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_python() {
        // What `hash(text) % 2**64` is in CPython 3.11.7, with PYTHONHASHSEED=0 and 1234.
        let known = [
            ("abc", 13_851_880_170_939_887_858, 5_538_344_200_627_557_701),
            (
                "naïve",
                7_682_306_841_811_832_039,
                7_974_984_124_761_941_490,
            ),
            ("→x", 3_324_291_137_141_365_738, 12_518_106_521_734_721_593),
            ("😀", 14_910_203_377_632_937_772, 17_447_756_786_499_756_533),
            (
                "a_longer_name",
                4_049_221_503_627_547_556,
                8_875_823_097_540_923_741,
            ),
        ];
        for (text, with_0, with_1234) in known {
            assert_eq!(hash(text, 0), with_0, "{text}");
            assert_eq!(hash(text, 1234), with_1234, "{text}");
        }
        assert_eq!(hash("", 0), 0);
    }

    fn order(n: u32, seed: u32) -> Vec<u32> {
        let names: Vec<u32> = (0..n).collect();
        list_of_set(&names, |name| hash(&format!("name{name}"), seed))
    }

    #[test]
    fn orders_are_those_of_python() {
        // `list(set(f'name{i}' for i in range(n)))`, from lists, in CPython 3.11.7.
        assert_eq!(order(4, 0), [1, 0, 3, 2]);
        assert_eq!(order(7, 0), [3, 1, 2, 4, 6, 0, 5]);
        assert_eq!(order(7, 1234), [2, 4, 3, 0, 1, 6, 5]);
        let grown = [
            34, 26, 17, 33, 7, 12, 6, 8, 0, 10, 5, 25, 11, 3, 39, 23, 21, 18, 13, 16, 35, 2, 14,
            38, 28, 32, 31, 19, 29, 36, 22, 1, 37, 30, 4, 24, 9, 15, 20, 27,
        ];
        assert_eq!(order(40, 0), grown);
    }

    #[test]
    fn a_repeated_name_is_listed_once() {
        let listed = list_of_set(&[4, 4, 4], |_| 1);
        assert_eq!(listed, [4]);
    }
}
