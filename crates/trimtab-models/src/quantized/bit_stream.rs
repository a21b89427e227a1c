//! Codes of 2 to 8 bits in 32-bit words: one stream of bits, low bits first, so that a code of
//! 3 bits may begin in one word and end in the next. Every 32 codes fill as many words as a code has bits.

/// Codes that fill whole words whatever their width.
pub(super) const PERIOD: usize = 32;

/// Words that `n_codes` codes take.
pub(super) fn n_words(n_codes: usize, bits: u32) -> usize {
    // In this order no product can overflow for counts of real tensors: 32 codes at a time.
    let whole = n_codes / PERIOD * bits as usize;
    whole + (n_codes % PERIOD * bits as usize).div_ceil(32)
}

/// Reads at most [`PERIOD`] codes from the words of one period; missing words count as zeros.
#[inline]
pub(super) fn unpack_period(words: &[u32], bits: u32, codes: &mut [u8]) {
    let mask = (1_u32 << bits) - 1;
    let word = |idx: usize| words.get(idx).copied().unwrap_or(0);
    for (bit, code) in (0..).step_by(bits as usize).zip(codes) {
        let (idx, offset) = (bit / 32, bit % 32);
        let mut value = word(idx as usize) >> offset;
        if offset + bits > 32 {
            value |= word(idx as usize + 1) << (32 - offset);
        }
        *code = (value & mask) as u8;
    }
}

/// Writes at most [`PERIOD`] codes into the words of one period, which were zeros.
///
/// # Panics
///
/// If the words are too few.
#[inline]
pub(super) fn pack_period(codes: &[u8], bits: u32, words: &mut [u32]) {
    for (bit, code) in (0..).step_by(bits as usize).zip(codes) {
        let (idx, offset): (usize, u32) = (bit / 32, bit as u32 % 32);
        words[idx] |= u32::from(*code) << offset;
        if offset + bits > 32 {
            words[idx + 1] |= u32::from(*code) >> (32 - offset);
        }
    }
}

/// Reads the codes of one row.
pub(super) fn unpack_row(words: &[i32], bits: u32, codes: &mut [u8]) {
    let mut period = [0_u32; 8];
    for (words, codes) in words.chunks(bits as usize).zip(codes.chunks_mut(PERIOD)) {
        for (word, stored) in period.iter_mut().zip(words) {
            *word = stored.cast_unsigned();
        }
        unpack_period(&period[..words.len()], bits, codes);
    }
}

/// The words of one row of codes.
pub(super) fn pack_row(codes: &[u8], bits: u32) -> Vec<u32> {
    let mut words = vec![0; n_words(codes.len(), bits)];
    for (words, codes) in words.chunks_mut(bits as usize).zip(codes.chunks(PERIOD)) {
        pack_period(codes, bits, words);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_3_bit_code_crosses_words() {
        let mut codes = [0; 32];
        codes[10] = 0b101;
        codes[21] = 0b110;
        // Code 10 begins at bit 30, code 21 at bit 63.
        assert_eq!(pack_row(&codes, 3), [0b01 << 30, 0b1, 0b11]);
    }

    #[test]
    fn a_row_that_ends_within_a_word_takes_that_word() {
        assert_eq!((n_words(0, 4), n_words(1, 4), n_words(9, 4)), (0, 1, 2));
        assert_eq!((n_words(32, 3), n_words(33, 3), n_words(64, 3)), (3, 4, 6));
    }

    proptest! {
        #[test]
        fn unpacking_undoes_packing(bits in 2_u32..=8, codes in prop::collection::vec(any::<u8>(), 0..200)) {
            let codes: Vec<u8> = codes.iter().map(|code| code & ((1_u16 << bits) - 1) as u8).collect();
            let words: Vec<i32> = pack_row(&codes, bits).iter().map(|w| w.cast_signed()).collect();
            prop_assert_eq!(words.len(), (codes.len() * bits as usize).div_ceil(32));
            let mut read = vec![0; codes.len()];
            unpack_row(&words, bits, &mut read);
            prop_assert_eq!(read, codes);
        }
    }
}
