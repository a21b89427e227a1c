//! The characters that stand for bytes in byte-level vocabularies.
//!
//! A byte that is a printable character of Latin-1 stands for itself; the other 68 bytes take the
//! characters from U+0100 on, in order.
//!
//! Source: `bytes_to_unicode` in <https://github.com/openai/gpt-2/blob/master/src/encoder.py>.

use std::sync::LazyLock;

/// The character of each byte.
pub(crate) static SYMBOL_FROM_BYTE: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut n_unprintable = 0;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        if matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff) {
            return char::from(byte);
        }
        n_unprintable += 1;
        char::from_u32(0xff + n_unprintable).expect("U+0100 to U+0143 are characters")
    })
});

/// The byte of each character up to the last that stands for one.
static BYTE_FROM_SYMBOL: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
    let mut bytes = [None; 0x144];
    for (byte, &symbol) in SYMBOL_FROM_BYTE.iter().enumerate() {
        bytes[symbol as usize] = Some(byte as u8);
    }
    bytes
});

/// The bytes that a token stands for, or `None` where a character of it stands for none.
pub(super) fn bytes_from_symbols(token: &str) -> Option<Vec<u8>> {
    token
        .chars()
        .map(|symbol| BYTE_FROM_SYMBOL.get(symbol as usize).copied().flatten())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_symbol_and_comes_back() {
        for byte in 0..=255_u8 {
            let symbol = SYMBOL_FROM_BYTE[usize::from(byte)].to_string();
            assert_eq!(bytes_from_symbols(&symbol), Some(vec![byte]));
        }
    }

    #[test]
    fn the_space_and_the_newline_have_their_well_known_symbols() {
        assert_eq!(SYMBOL_FROM_BYTE[usize::from(b' ')], 'Ġ');
        assert_eq!(SYMBOL_FROM_BYTE[usize::from(b'\n')], 'Ċ');
        assert_eq!(bytes_from_symbols("日"), None);
    }
}
