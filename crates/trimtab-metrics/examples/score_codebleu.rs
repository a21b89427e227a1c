//! CodeBLEU of two files of lines, with the seconds it took: for `scripts/bench-codebleu.sh`.
//!
//! `score_codebleu LANGUAGE HYPOTHESES REFERENCES THREADS` prints one JSON object.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    env, fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};
use trimtab_metrics::{CodeBleu, CodeBleuCounts, CodeBleuOptions, Language};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [language, hypotheses, references, n_threads] = &arguments[..] else {
        panic!("usage: score_codebleu LANGUAGE HYPOTHESES REFERENCES THREADS");
    };
    let language: Language = language.parse().expect("a known language");
    let n_threads: usize = n_threads.parse().expect("a number of threads");
    let read = |path| fs::read_to_string(path).expect("the file can be read");
    let (hypotheses, references) = (read(hypotheses), read(references));
    let pairs: Vec<(&str, &str)> = hypotheses.lines().zip(references.lines()).collect();
    let codebleu =
        CodeBleu::new(language, CodeBleuOptions::default()).expect("the self-test passes");

    let start = Instant::now();
    let counts = count(&pairs, language, n_threads);
    let score = codebleu.score(&counts).expect("there are pairs");
    let seconds = start.elapsed().as_secs_f64();
    let codebleu = score.codebleu;
    let n = pairs.len();
    println!("{{\"n\": {n}, \"codebleu\": {codebleu}, \"seconds\": {seconds}}}");
}

fn count(pairs: &[(&str, &str)], language: Language, n_threads: usize) -> CodeBleuCounts {
    let mut sum = CodeBleuCounts::default();
    let next = &AtomicUsize::new(0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads)
            .map(|_| scope.spawn(move || count_part(pairs, next, language)))
            .collect();
        for thread in threads {
            sum += thread.join().expect("no thread panics");
        }
    });
    sum
}

/// Pairs that a thread takes at a time, as in the command of the product.
const N_PAIRS_AT_ONCE: usize = 8;

fn count_part(pairs: &[(&str, &str)], next: &AtomicUsize, language: Language) -> CodeBleuCounts {
    let mut codebleu =
        CodeBleu::new(language, CodeBleuOptions::default()).expect("it passed before");
    let mut sum = CodeBleuCounts::default();
    loop {
        let start = next.fetch_add(N_PAIRS_AT_ONCE, Ordering::Relaxed);
        let Some(rest) = pairs.get(start..).filter(|rest| !rest.is_empty()) else {
            return sum;
        };
        for (hypothesis, reference) in rest.iter().take(N_PAIRS_AT_ONCE) {
            sum += codebleu
                .counts(hypothesis, &[reference])
                .expect("within the limits");
        }
    }
}
