//! Scores and statistics: pass@k, perplexity, intervals, paired tests, verdicts.
