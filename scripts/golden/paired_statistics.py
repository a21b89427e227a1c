#!/usr/bin/env python3
"""Reference values for the statistics of `trimtab-metrics`.

Computed by routes that share nothing with the Rust code: numpy's quantiles, statsmodels' Wilson
interval, and, for the ratio of paired shares, a numerical maximum of the constrained likelihood
(scipy's bounded minimiser) inside a numerical inversion of the score test (scipy's brentq).

    python3 -m venv .venv && .venv/bin/pip install numpy scipy statsmodels
    python scripts/golden/paired_statistics.py > crates/trimtab-metrics/tests/golden/statistics.json
"""

import json
import math
import random

import numpy
import scipy
import statsmodels
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

Z = norm.ppf(0.975)


def xlogy(x, y):
    return 0.0 if x == 0 else x * math.log(max(y, 1e-300))


def score(both, lost, won, neither, ratio):
    """Score statistic of variant = ratio * base, with a numerical constrained maximum."""
    n = both + lost + won + neither
    anyone = (both + lost + won) / n

    def cells(q):
        return ratio * anyone - (1 + ratio) * q, (1 - ratio) * anyone + ratio * q

    def negative_log_likelihood(q):
        p_both, p_lost = cells(q)
        return -(xlogy(both, p_both) + xlogy(lost, p_lost) + xlogy(won, q))

    smallest = max(0.0, anyone * (ratio - 1) / ratio)
    largest = ratio * anyone / (1 + ratio)
    best = minimize_scalar(
        negative_log_likelihood, bounds=(smallest, largest), method="bounded",
        options={"xatol": 1e-14, "maxiter": 2000},
    ).x
    p_lost = cells(best)[1]
    return ((both + won) - ratio * (both + lost)) / math.sqrt(n * ratio * (p_lost + best))


def paired_ratio(both, lost, won, neither):
    value = (both + won) / (both + lost)
    f = lambda ratio, target: score(both, lost, won, neither, ratio) - target
    low = brentq(f, 1e-6, value, args=(Z,), xtol=1e-12) if value > 0 else 0.0
    high = brentq(f, max(value, 1e-6), 50.0, args=(-Z,), xtol=1e-12)
    return {"counts": [both, lost, won, neither], "value": value, "low": low, "high": high}


def wilson(n_passed, n):
    low, high = proportion_confint(n_passed, n, alpha=0.05, method="wilson")
    return {"n_passed": n_passed, "n": n, "low": float(low), "high": float(high)}


def quantiles(values):
    p50, p90, p99 = (float(numpy.quantile(values, q)) for q in (0.5, 0.9, 0.99))
    return {"values": values, "p50": p50, "p90": p90, "p99": p99}


def perplexity(log_probs):
    nll = -numpy.array(log_probs)
    half = Z * nll.std(ddof=1) / math.sqrt(len(nll))
    ends = (nll.mean(), nll.mean() - half, nll.mean() + half)
    value, low, high = (float(math.exp(x)) for x in ends)
    return {"log_probs": log_probs, "value": value, "low": low, "high": high}


def main():
    draw = random.Random(20240229)
    pairs = [(1, 7, 1, 12), (40, 4, 2, 14), (29, 1, 0, 30), (55, 12, 9, 88), (3, 2, 9, 10),
             (120, 3, 5, 36), (0, 4, 3, 13), (500, 40, 12, 422), (59, 16, 6, 80)]
    document = {
        "note": "made by scripts/golden/paired_statistics.py",
        "versions": {"numpy": numpy.__version__, "scipy": scipy.__version__,
                     "statsmodels": statsmodels.__version__},
        "wilson": [wilson(*c) for c in [(0, 10), (1, 10), (5, 10), (31, 60), (60, 60), (85, 164)]],
        "quantiles": [quantiles([round(draw.expovariate(0.05), 6) for _ in range(n)])
                      for n in (1, 2, 7, 48)],
        "perplexity": [perplexity([round(-draw.expovariate(0.7), 6) for _ in range(n)])
                       for n in (2, 9, 60)],
        "paired_ratio": [paired_ratio(*c) for c in pairs],
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
