//! How fast this machine's threads can read memory together: the bound of decoding, which reads
//! every weight once a token. Prints one JSON document.
//!
//! Every thread of the pool sums its own share of a block that no cache holds, on huge pages;
//! the best of several passes counts, as a bound does.

#![expect(clippy::print_stdout, reason = "the answer of the program")]

use rayon::prelude::*;
use std::time::Instant;

/// 512 MiB: many times the last-level cache of any processor that this runs on.
const N_WORDS: usize = 64 << 20;

/// Passes, the first of them uncounted.
const N_PASSES: usize = 12;

fn main() {
    let mut words: Vec<u64> = Vec::with_capacity(N_WORDS);
    advise_huge_pages(words.as_ptr(), N_WORDS);
    words.resize(N_WORDS, 1);
    let share = N_WORDS.div_ceil(rayon::current_num_threads());
    let mut seconds = Vec::with_capacity(N_PASSES);
    for _ in 0..N_PASSES {
        let clock = Instant::now();
        let sum = words
            .par_chunks(share)
            .map(sum)
            .reduce(|| 0, u64::wrapping_add);
        assert_eq!(sum, N_WORDS as u64, "every word is read");
        seconds.push(clock.elapsed().as_secs_f64());
    }
    let best = seconds[1..].iter().copied().fold(f64::MAX, f64::min);
    println!(
        "{{\"n_threads\":{},\"n_bytes\":{},\"bytes_per_second\":{:.0}}}",
        rayon::current_num_threads(),
        8 * N_WORDS,
        8.0 * N_WORDS as f64 / best
    );
}

/// Eight sums side by side, so that reading and not adding is what takes time.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0_u64; 8];
    let (blocks, rest) = words.as_chunks::<8>();
    for block in blocks {
        for (sum, word) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(*word);
        }
    }
    let all = sums.iter().chain(rest);
    all.fold(0, |sum, word| sum.wrapping_add(*word))
}

/// Asks for huge pages; a refusal makes the measurement slower and nothing else.
fn advise_huge_pages(start: *const u64, n_words: usize) {
    const PAGE: usize = 4096;
    let first = start.addr().next_multiple_of(PAGE) - start.addr();
    let len = 8 * n_words - first;
    // SAFETY: the range lies inside the allocation, which no reference points into yet, and the
    // advice changes no contents.
    unsafe {
        libc::madvise(
            start.cast_mut().byte_add(first).cast(),
            len,
            libc::MADV_HUGEPAGE,
        )
    };
}
