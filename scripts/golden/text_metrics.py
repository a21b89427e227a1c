#!/usr/bin/env python3
"""Reference values for BLEU, CodeBLEU and edit similarity of `trimtab-metrics`.

BLEU is sacreBLEU's, CodeBLEU the package `codebleu` with its grammars, edit similarity rapidfuzz's.
CodeBLEU's data-flow match depends on the order in which Python lists sets of strings, so this
script runs itself with the `PYTHONHASHSEED` that `src/codebleu/python_set.rs` names.

    python3.11 -m venv .venv && .venv/bin/pip install codebleu==0.7.0 tree-sitter==0.22.3 \\
        tree-sitter-{python,java,ruby}==0.21.0 tree-sitter-c-sharp==0.21.3 tree-sitter-c==0.21.4 \\
        tree-sitter-cpp==0.22.3 tree-sitter-javascript==0.21.4 tree-sitter-{go,rust}==0.21.2 \\
        tree-sitter-php==0.22.8 sacrebleu==2.6.0 rapidfuzz==3.14.3
    .venv/bin/python scripts/golden/text_metrics.py

It writes `tests/golden/text_metrics.json` of the crate, and `src/registry/known.rs`, the scores that
the self-tests know.
"""
import itertools
import json
import logging
import os
import pathlib
import re
import sys
from importlib.metadata import version

CRATE = pathlib.Path(__file__).resolve().parents[2] / "crates/trimtab-metrics"
SEED = re.search(r"HASH_SEED: u32 = (\d+)", (CRATE / "src/codebleu/python_set.rs").read_text())[1]
if os.environ.get("PYTHONHASHSEED") != SEED:
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": SEED})

from codebleu import calc_codebleu  # noqa: E402
from rapidfuzz.distance import Levenshtein  # noqa: E402
from sacrebleu.metrics import BLEU  # noqa: E402

import code_samples  # noqa: E402

logging.disable(logging.WARNING)

SENTENCES = [
    ("x = compute(a, b) + 1.5;", ["x = compute(a, c) - 1.5;", "y = compute(a, b);"]),
    ("if (n<=10) return n*n; // fast, 3.14 e-5", ["if (n < 10) { return n * n; } // quick, 3.14 e-6"]),
    ("Die Größe – “neun”, 1,000.50 € & 5% …", ["Die Grösse: „neun“, 1,000.50 € &amp; 5 %."]),
    ("a -\nb <skipped> c &lt; d", ["a-b c < d", "a b c"]),
    ("one", ["two", "one two three four five"]),
    ("no overlap at all", ["something else entirely here"]),
    ("", ["a reference"]),
    ("a b c d e f g", [""]),
    ("the the the the the the", ["the cat the mat", "the the cat"]),
    ("日本語、テスト。2024年 ×3", ["日本語 、 テスト 2024年 × 3"]),
]
TEXTS = ["", "a", "kitten", "sitting", "größe", "grosse", "return a + b;\n", "return b+a ;",
         "def f(x):\n    return x * 2\n" * 9, "def g(y):\n    return y ** 2\n" * 8]


def bleu_values():
    values = []
    smoothings = [("exp", None), ("floor", None), ("floor", 0.01), ("add-k", None), ("none", None)]
    for tokenize, (smooth, value), effective in itertools.product(
            ["13a", "intl", "none"], smoothings, [False, True]):
        metric = BLEU(tokenize=tokenize, smooth_method=smooth, smooth_value=value, effective_order=effective)
        scores = [metric.sentence_score(hyp, refs) for hyp, refs in SENTENCES]
        n_refs = max(len(refs) for _, refs in SENTENCES)
        streams = [[(refs + [None] * n_refs)[i] for _, refs in SENTENCES] for i in range(n_refs)]
        corpus = metric.corpus_score([hyp for hyp, _ in SENTENCES], streams)
        values.append({"tokenize": tokenize, "smooth": smooth, "value": value, "effective": effective,
                       "scores": [s.score for s in scores], "precisions": [s.precisions for s in scores],
                       "corpus": corpus.score, "sys_len": corpus.sys_len, "ref_len": corpus.ref_len})
    return values


def parts(result):
    return {"codebleu": result["codebleu"], "parts": [
        result["ngram_match_score"], result["weighted_ngram_match_score"],
        result["syntax_match_score"], result["dataflow_match_score"]]}


def codebleu_values():
    values = []
    for language in code_samples.SAMPLES:
        pairs = code_samples.pairs(language)
        hyps, refs = [h for h, _ in pairs], [r for _, r in pairs]
        cases = [{"hypothesis": h, "references": [r], **parts(calc_codebleu([r], [h], language))}
                 for h, r in pairs]
        two = [refs[0], refs[3]]
        cases.append({"hypothesis": hyps[2], "references": two,
                      **parts(calc_codebleu([two], [hyps[2]], language))})
        weights = (0.1, 0.2, 0.3, 0.4)
        values.append({"language": language, "cases": cases,
                       "corpus": parts(calc_codebleu(refs, hyps, language)),
                       "weighted": parts(calc_codebleu(refs, hyps, language, weights=weights))})
    return values


def rust_text(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def known_file(bleus, codebleus):
    lines = [
        "//! Scores that the reference packages give. Written by `scripts/golden/text_metrics.py`.", "",
        "use crate::{Language, Tokenization};", "",
        "/// A text, its reference and its BLEU with the default options.",
        "#[derive(Clone, Copy, Debug)]", "pub(super) struct KnownBleu {",
        "    pub(super) tokenization: Tokenization,", "    pub(super) hypothesis: &'static str,",
        "    pub(super) reference: &'static str,", "    pub(super) score: f64,", "}", "",
        "/// Code, its reference and the four parts of its CodeBLEU.",
        "#[derive(Clone, Copy, Debug)]", "pub(super) struct KnownCodeBleu {",
        "    pub(super) language: Language,", "    pub(super) hypothesis: &'static str,",
        "    pub(super) reference: &'static str,", "    pub(super) parts: [f64; 4],", "}", "",
        "pub(super) const BLEU: [KnownBleu; 3] = [",
    ]
    names = {"13a": "V13a", "intl": "International", "none": "None"}
    at = 1
    for entry in bleus:
        if (entry["smooth"], entry["effective"]) == ("exp", False):
            hyp, refs = SENTENCES[at]
            lines += ["    KnownBleu {", f"        tokenization: Tokenization::{names[entry['tokenize']]},",
                      f"        hypothesis: {rust_text(hyp)},", f"        reference: {rust_text(refs[0])},",
                      f"        score: {entry['scores'][at]!r},", "    },"]
    lines += ["];", "", "pub(super) const CODEBLEU: [KnownCodeBleu; 10] = ["]
    variants = {"c_sharp": "CSharp", "javascript": "JavaScript"}
    for entry in codebleus:
        language, case = entry["language"], entry["cases"][0]
        name = variants.get(language, language.capitalize())
        lines += ["    KnownCodeBleu {", f"        language: Language::{name},",
                  f"        hypothesis: {rust_text(case['hypothesis'])},",
                  f"        reference: {rust_text(case['references'][0])},",
                  f"        parts: [{', '.join(map(repr, map(float, case['parts'])))}],", "    },"]
    return "\n".join([*lines, "];", ""])


def main():
    packages = ["codebleu", "tree-sitter", "sacrebleu", "rapidfuzz"]
    packages += [f"tree-sitter-{name.replace('_', '-')}" for name in code_samples.SAMPLES]
    bleus, codebleus = bleu_values(), codebleu_values()
    edits = [[Levenshtein.normalized_similarity(a, b) for b in TEXTS] for a in TEXTS]
    document = {
        "python": sys.version.split()[0], "hash_seed": int(SEED),
        "versions": {name: version(name) for name in packages},
        "sentences": [{"hypothesis": h, "references": r} for h, r in SENTENCES], "bleu": bleus,
        "codebleu": codebleus, "edit_similarity": {"texts": TEXTS, "values": edits},
    }
    golden = CRATE / "tests/golden/text_metrics.json"
    golden.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    (CRATE / "src/registry/known.rs").write_text(known_file(bleus, codebleus))


main()
