//! What comparing two texts costs: BLEU and CodeBLEU of a function, edit similarity of a page.
//!
//! `cargo bench -p trimtab-metrics` prints times; `scripts/bench-codebleu.sh` compares with the
//! reference package.

use divan::Bencher;
use trimtab_metrics::{
    Bleu, BleuOptions, CodeBleu, CodeBleuOptions, EditSimilarity, Language, Tokenization,
};

fn main() {
    divan::main();
}

const HYPOTHESIS: &str = "public double sum(List<Order> items, int most) { double result = 0; \
    for (Order item : items) { if (item.price <= most) { result = result + item.price * 2; } } \
    while (result > 1000) { result = result / 2; } return result; }";
const REFERENCE: &str = "public double sum(List<Order> orders, int limit) { double total = 0; \
    for (Order order : orders) { if (order.price > limit) { continue; } else { \
    total = total + order.price * 2; } } for (int i = 0; i < 3; i++) { total++; } return total; }";

#[divan::bench(args = [Tokenization::V13a, Tokenization::International, Tokenization::None])]
fn bleu(bencher: Bencher<'_, '_>, tokenization: Tokenization) {
    let options = BleuOptions {
        tokenization,
        ..BleuOptions::default()
    };
    let bleu = Bleu::new(options).expect("the self-test passes");
    bencher.bench(|| bleu.counts(HYPOTHESIS, &[REFERENCE]));
}

#[divan::bench(args = [Language::Java, Language::CSharp, Language::Cpp])]
fn codebleu(bencher: Bencher<'_, '_>, language: Language) {
    let codebleu = CodeBleu::new(language, CodeBleuOptions::default());
    let mut codebleu = codebleu.expect("the self-test passes");
    bencher.bench_local(|| codebleu.counts(HYPOTHESIS, &[REFERENCE]));
}

#[divan::bench(args = [1, 16])]
fn edit_similarity(bencher: Bencher<'_, '_>, n_copies: usize) {
    let edit = EditSimilarity::new().expect("the self-test passes");
    let (a, b) = (HYPOTHESIS.repeat(n_copies), REFERENCE.repeat(n_copies));
    bencher.bench(|| edit.of(&a, &[&b]));
}
