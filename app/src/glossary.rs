//! Every term of the dashboard, explained for people who are not machine-learning experts.
//!
//! One table feeds the explanations beside the numbers and the glossary page.

/// A term that can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    BaseModel,
    Variant,
    Recipe,
    Scheme,
    Rtn,
    GroupSize,
    BitsPerWeight,
    CompressionRatio,
    Artifact,
    Digest,
    Licence,
    Run,
    Job,
    Suite,
    Problem,
    Completion,
    Outcome,
    PassAt1,
    Perplexity,
    Token,
    Prefill,
    Decode,
    Ttft,
    Tpot,
    Quantile,
    Gap,
    Throughput,
    CpuTime,
    OtherLoad,
    KvCache,
    PeakMemory,
    GpuHours,
    Interval,
    Retention,
    Speedup,
    Criterion,
    Verdict,
    Power,
    Flip,
    ParetoFrontier,
    Greedy,
    Manifest,
    PassAtK,
    ExactMatch,
    EditSimilarity,
    Bleu,
    CodeBleu,
    CompileRate,
    Repair,
    LeftOut,
    Cost,
}

/// What is said about a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Anchor on the glossary page.
    pub(crate) key: &'static str,
    /// The term as it is written.
    pub(crate) title: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
}

const fn entry(key: &'static str, title: &'static str, meaning: &'static str) -> Entry {
    Entry {
        key,
        title,
        meaning,
    }
}

impl Word {
    /// All terms, in the order of the glossary page.
    pub(crate) const ALL: [Self; 51] = [
        Self::BaseModel,
        Self::Variant,
        Self::Recipe,
        Self::Scheme,
        Self::Rtn,
        Self::GroupSize,
        Self::BitsPerWeight,
        Self::CompressionRatio,
        Self::Artifact,
        Self::Digest,
        Self::Licence,
        Self::Run,
        Self::Job,
        Self::Suite,
        Self::Problem,
        Self::Completion,
        Self::Outcome,
        Self::PassAt1,
        Self::Perplexity,
        Self::Token,
        Self::Prefill,
        Self::Decode,
        Self::Ttft,
        Self::Tpot,
        Self::Quantile,
        Self::Gap,
        Self::Throughput,
        Self::CpuTime,
        Self::OtherLoad,
        Self::KvCache,
        Self::PeakMemory,
        Self::GpuHours,
        Self::Interval,
        Self::Retention,
        Self::Speedup,
        Self::Criterion,
        Self::Verdict,
        Self::Power,
        Self::Flip,
        Self::ParetoFrontier,
        Self::Greedy,
        Self::Manifest,
        Self::PassAtK,
        Self::ExactMatch,
        Self::EditSimilarity,
        Self::Bleu,
        Self::CodeBleu,
        Self::CompileRate,
        Self::Repair,
        Self::LeftOut,
        Self::Cost,
    ];

    /// What is said about the term.
    pub(crate) const fn entry(self) -> Entry {
        match self {
            Self::BaseModel
            | Self::Variant
            | Self::Recipe
            | Self::Scheme
            | Self::Rtn
            | Self::GroupSize
            | Self::BitsPerWeight
            | Self::CompressionRatio
            | Self::Artifact
            | Self::Digest
            | Self::Licence => self.about_models(),
            Self::Run
            | Self::Job
            | Self::Suite
            | Self::Problem
            | Self::Completion
            | Self::Outcome
            | Self::PassAt1
            | Self::Perplexity
            | Self::Greedy
            | Self::Manifest => self.about_runs(),
            Self::Token
            | Self::Prefill
            | Self::Decode
            | Self::Ttft
            | Self::Tpot
            | Self::Quantile
            | Self::Gap
            | Self::Throughput => self.about_speed(),
            Self::CpuTime | Self::OtherLoad | Self::KvCache | Self::PeakMemory | Self::GpuHours => {
                self.about_machines()
            }
            Self::Interval
            | Self::Retention
            | Self::Speedup
            | Self::Criterion
            | Self::Verdict
            | Self::Power
            | Self::Flip
            | Self::ParetoFrontier
            | Self::Cost => self.about_tradeoffs(),
            Self::PassAtK
            | Self::ExactMatch
            | Self::EditSimilarity
            | Self::Bleu
            | Self::CodeBleu
            | Self::CompileRate
            | Self::Repair
            | Self::LeftOut => self.about_scores(),
        }
    }

    const fn about_models(self) -> Entry {
        match self {
            Self::Variant => entry(
                "variant",
                "Variant",
                "A base model with one compression recipe applied. MODEL:PRESET names it, for example qwen2.5-coder-0.5b-instruct:int4.",
            ),
            Self::Recipe => entry(
                "recipe",
                "Recipe",
                "The list of compression steps with all their settings. The same base model and recipe always give the same variant.",
            ),
            Self::Scheme => entry(
                "scheme",
                "Scheme (W4A8 and the like)",
                "How many bits hold a weight (W) and an activation (A), the numbers that flow through the model. W4A8 stores weights in 4 bits and multiplies in 8. F16 and F32 are plain 16- and 32-bit numbers.",
            ),
            Self::Rtn => entry(
                "rtn",
                "Round to nearest",
                "The simplest quantisation: each weight becomes the nearest of a few levels. It needs no example data.",
            ),
            Self::GroupSize => entry(
                "group-size",
                "Group size",
                "How many neighbouring weights share one scale. Smaller groups are more exact and take a little more space.",
            ),
            Self::BitsPerWeight => entry(
                "bits-per-weight",
                "Bits per weight",
                "Storage of the whole artifact divided by its number of weights, scales and zero points included.",
            ),
            Self::CompressionRatio => entry(
                "compression-ratio",
                "Compression ratio",
                "Bytes of the base divided by bytes of the variant. Above 1 means smaller than the base.",
            ),
            Self::Artifact => entry(
                "artifact",
                "Artifact",
                "The file that holds a variant's packed weights. It is named by its digest and never changes.",
            ),
            Self::Digest => entry(
                "digest",
                "Digest (SHA-256)",
                "A fingerprint of a file. Two files with the same digest have the same content; a download with another digest is refused.",
            ),
            Self::Licence => entry(
                "licence",
                "Licence",
                "The terms under which the weights may be used, by their SPDX name.",
            ),
            _ => entry(
                "base-model",
                "Base model, baseline",
                "The model that all differences are measured from. Its 16-bit variant is usually the baseline of a run.",
            ),
        }
    }

    const fn about_runs(self) -> Entry {
        match self {
            Self::Job => entry(
                "job",
                "Job",
                "One piece of background work: fetch a model, make a variant or evaluate it. Each job has a process of its own, so that one that fails takes nothing else with it.",
            ),
            Self::Suite => entry(
                "suite",
                "Suite",
                "A set of problems that are graded in the same way.",
            ),
            Self::Problem => entry(
                "problem",
                "Problem",
                "One programming question with hidden tests: write a function, repair one, or translate a snippet.",
            ),
            Self::Completion => entry(
                "completion",
                "Answer (completion)",
                "What the model wrote for one problem.",
            ),
            Self::Outcome => entry(
                "outcome",
                "Outcome of an answer",
                "How the generated program ended in the sandbox: passed all tests, failed one, ran too long, crashed, ran out of memory, printed too much, or held no program at all.",
            ),
            Self::PassAt1 => entry(
                "pass-at-1",
                "pass@1",
                "Share of problems solved at the first try. An answer counts only if it passes all tests when it is run. Higher is better.",
            ),
            Self::Perplexity => entry(
                "perplexity",
                "Perplexity",
                "How surprised the model is by a fixed text: exp of the mean negative log-likelihood per token. Lower is better. Compare it only between variants of one model.",
            ),
            Self::Greedy => entry(
                "greedy",
                "Temperature, greedy",
                "At temperature 0 the model always takes its likeliest next token (greedy), so the same question gets the same answer. All variants of a run are decoded alike.",
            ),
            Self::Manifest => entry(
                "manifest",
                "Manifest",
                "All that is needed to do a run again: code version, seeds, machine, digests of models and problems, recipes and decoding settings. Written once, never changed.",
            ),
            _ => entry(
                "run",
                "Run",
                "One evaluation of one or more variants on the same problems with the same settings.",
            ),
        }
    }

    const fn about_scores(self) -> Entry {
        match self {
            Self::PassAtK => entry(
                "pass-at-k",
                "pass@k",
                "The chance that at least one of k answers to a problem passes all tests, from several answers drawn at a temperature. Problems are counted, not answers.",
            ),
            Self::ExactMatch => entry(
                "exact-match",
                "Exact match",
                "Share of answers that equal the reference but for white space around them. The second share allows another layout and other comments.",
            ),
            Self::EditSimilarity => entry(
                "edit-similarity",
                "Edit similarity",
                "How little has to be changed, letter by letter, to make the reference of the answer: 1 for nothing, 0 for everything.",
            ),
            Self::Bleu => entry(
                "bleu",
                "BLEU",
                "Likeness of words and short sequences of words between answers and references, 0 to 100, over all answers together. It says nothing on whether a program works.",
            ),
            Self::CodeBleu => entry(
                "codebleu",
                "CodeBLEU",
                "Likeness of code between answers and references, 0 to 1, over all answers together: the mean of words, weighted keywords, syntax and data flow. It says nothing on whether a program works.",
            ),
            Self::CompileRate => entry(
                "compile-rate",
                "Compile rate",
                "Share of answers that the compiler takes, each alone or inside a class, but for names that are defined elsewhere. Only problems whose reference compiles in the same way are counted, since the others cannot tell.",
            ),
            Self::Repair => entry(
                "repair",
                "Plausible, correct, regression",
                "A repair is plausible when its tests pass. It is correct when it also equals the known fix but for layout, or passes tests that were kept back; without such tests that is a lower bound. A regression breaks a test case that the broken program passed.",
            ),
            _ => entry(
                "left-out",
                "Left out",
                "A problem that nobody is asked, since its own solution does not pass its tests here or its language has no toolchain. It counts neither for nor against a variant.",
            ),
        }
    }

    const fn about_speed(self) -> Entry {
        match self {
            Self::Prefill => entry(
                "prefill",
                "Prefill",
                "The phase in which the model reads the prompt, many tokens at once. Higher speed is better.",
            ),
            Self::Decode => entry(
                "decode",
                "Decode",
                "The phase in which the model writes its answer, one token after the other. Higher speed is better.",
            ),
            Self::Ttft => entry(
                "ttft",
                "TTFT, time to first token",
                "From accepting a request to the first token of the answer, reading the prompt included. Lower is better.",
            ),
            Self::Tpot => entry(
                "tpot",
                "TPOT, time per output token",
                "Time after the first token divided by the remaining tokens: (end-to-end − TTFT) / (output tokens − 1). Absent for answers of one token. Lower is better.",
            ),
            Self::Quantile => entry(
                "quantile",
                "p50, p90, p95, p99",
                "Half of all measurements lie at or below p50 (the median), 90 % at or below p90, 95 % at or below p95, 99 % at or below p99. The last ones show the slow cases.",
            ),
            Self::Gap => entry(
                "gap",
                "Gap between tokens",
                "Time of each single step of decoding, from one token to the next. A reader who watches an answer grow notices the long ones. Lower is better.",
            ),
            Self::Throughput => entry(
                "throughput",
                "Throughput by batch and context",
                "Output tokens per second of all sequences together when 1, 4 or 16 are answered side by side (the batch), each with so many tokens in its cache (the context). A variant that is faster alone can be slower in a batch.",
            ),
            _ => entry(
                "token",
                "Token",
                "The unit a model reads and writes: a word, a piece of one, or a sign. A line of code has about ten.",
            ),
        }
    }

    const fn about_machines(self) -> Entry {
        match self {
            Self::CpuTime => entry(
                "cpu-time",
                "CPU time",
                "Processor time that the work used, user and system, added over all threads: two threads that are busy for a second use two. It says what a query costs where several share a machine.",
            ),
            Self::OtherLoad => entry(
                "other-load",
                "Other load",
                "Share of the machine's cores that other processes used while speed was measured. Above 5 % the speeds say less about the variant. Two measurements never run at once on a device: the second waits for the first.",
            ),
            Self::KvCache => entry(
                "kv-cache",
                "Key and value cache",
                "Memory in which the model keeps what it has read so far. It grows with the length of the text.",
            ),
            Self::GpuHours => entry(
                "gpu-hours",
                "GPU-hours",
                "Hours for which a graphics card was held, busy or not, times the number of cards. It is what a rented card costs.",
            ),
            _ => entry(
                "peak-memory",
                "Peak memory",
                "The most memory that was held at any moment where the model is computed, in the worker process or on the graphics card: weights, key and value cache, and the rest, which is activations, what loading needed on its way and, in the process, the tokenizer and the program itself; on a card, CUDA and what is kept for later.",
            ),
        }
    }

    const fn about_tradeoffs(self) -> Entry {
        match self {
            Self::Retention => entry(
                "retention",
                "Retention",
                "Quality of the variant divided by that of the base, on the same problems: pass@1, or CodeBLEU where problems have no tests. 100 % means that nothing is lost.",
            ),
            Self::Speedup => entry(
                "speedup",
                "Speed-up",
                "Decode speed of the variant divided by that of the base, measured in one run on one machine. The range is that of the repeats.",
            ),
            Self::Criterion => entry(
                "criterion",
                "Criterion",
                "What a variant has to reach: by default at least 95 % of the base's quality at no less than twice its speed.",
            ),
            Self::Verdict => entry(
                "verdict",
                "Verdict",
                "Meets: the results prove that the variant keeps enough, and the speed suffices. Fails: they prove that it does not, or the speed falls short. Not enough data: neither is proven, so more problems are needed. Where several variants are compared, each claim has to be surer (Holm's correction), so that a lucky one is not taken for a good one.",
            ),
            Self::Power => entry(
                "power",
                "Power",
                "The chance that these problems would prove a variant that truly is as good as the base. With a low power, \"not enough data\" says little about the variant and much about the number of problems.",
            ),
            Self::Flip => entry(
                "flip",
                "Flip",
                "A problem that one of two models solves and the other does not. Two models with the same score can differ in many problems; what decides is how many were lost and how many were won, not how many changed.",
            ),
            Self::ParetoFrontier => entry(
                "pareto-frontier",
                "Pareto frontier",
                "The variants that no other beats on every chosen axis. A point off the frontier is never the best choice; on it, one gain costs another.",
            ),
            Self::Cost => entry(
                "cost",
                "Cost, break-even",
                "What 1,000 queries cost by your price of a machine hour, one query at a time. Break-even is the number of queries after which the savings exceed what making the variant took on this machine.",
            ),
            _ => entry(
                "interval",
                "Interval [low, high] and n",
                "The 95 % interval: were the experiment repeated with other problems of the same kind, such intervals would hold the true value 95 times in 100. n counts the observations. Beside speeds stands the range of the repeats instead.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_has_its_own_entry() {
        let mut keys: Vec<&str> = Word::ALL.iter().map(|word| word.entry().key).collect();
        keys.sort_unstable();
        let n_keys = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), n_keys, "two terms share an entry");
    }

    #[test]
    fn meanings_are_sentences_and_keys_are_anchors() {
        for entry in Word::ALL.map(Word::entry) {
            assert!(entry.meaning.ends_with('.'), "{}", entry.key);
            assert!(
                entry
                    .key
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                entry.key
            );
        }
    }
}
