//! CodeBLEU of two files of lines, with the seconds it took: for `scripts/bench-codebleu.sh`.
//!
//! `score_codebleu LANGUAGE HYPOTHESES REFERENCES THREADS` prints one JSON object.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{env, fs, thread, time::Instant};
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
    thread::scope(|scope| {
        let parts = pairs.chunks(pairs.len().div_ceil(n_threads).max(1));
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(move || count_part(part, language)))
            .collect();
        for thread in threads {
            sum += thread.join().expect("no thread panics");
        }
    });
    sum
}

fn count_part(pairs: &[(&str, &str)], language: Language) -> CodeBleuCounts {
    let mut codebleu =
        CodeBleu::new(language, CodeBleuOptions::default()).expect("it passed before");
    let mut sum = CodeBleuCounts::default();
    for (hypothesis, reference) in pairs {
        sum += codebleu
            .counts(hypothesis, &[reference])
            .expect("within the limits");
    }
    sum
}
