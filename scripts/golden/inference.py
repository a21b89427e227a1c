#!/usr/bin/env python3
"""Reference values for tests, corrections, bootstrap and clustered errors of `trimtab-metrics`.

scipy and statsmodels where they have the method: exact intervals, McNemar's test, Holm's
correction, BCa and percentile bootstrap, errors clustered by window. Where they have none (score
intervals of paired shares), a numerical maximum of the constrained likelihood inside a numerical
inversion of the test, which shares nothing with the closed forms of the Rust code.

    python3 -m venv .venv && .venv/bin/pip install numpy scipy statsmodels
    .venv/bin/python scripts/golden/inference.py > crates/trimtab-metrics/tests/golden/inference.json
"""

import json
import math
import warnings

import numpy
import scipy
import statsmodels
import statsmodels.api
from paired_statistics import Z, score as ratio_score, xlogy
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, rel_entr, softmax
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

SEED = 20240301
PAIRS = [(1, 7, 1, 12), (40, 4, 2, 14), (29, 1, 0, 30), (55, 12, 9, 88), (120, 3, 5, 36),
         (0, 4, 3, 13), (500, 40, 12, 422), (59, 16, 6, 80), (30, 0, 0, 10)]


def clopper_pearson(n_passed, n):
    low, high = proportion_confint(n_passed, n, alpha=0.05, method="beta")
    return {"n_passed": n_passed, "n": n, "low": float(low), "high": float(high)}


def mcnemar_case(n_lost, n_won):
    smaller, n = min(n_lost, n_won), n_lost + n_won
    exact = mcnemar([[0, n_lost], [n_won, 0]], exact=True).pvalue
    mid = 2 * stats.binom.cdf(smaller, n, 0.5) - stats.binom.pmf(smaller, n, 0.5)
    return {"n_lost": n_lost, "n_won": n_won, "p_exact": float(exact), "p_mid": float(mid)}


def holm_case(p_values):
    return {"p_values": p_values,
            "adjusted": [float(p) for p in multipletests(p_values, method="holm")[1]]}


def difference_score(both, lost, won, neither, difference):
    """Score statistic of won - lost = difference * n, with a numerical constrained maximum."""
    n = both + lost + won + neither

    def negative_log_likelihood(q):
        return -(xlogy(won, q + difference) + xlogy(lost, q)
                 + xlogy(both + neither, 1 - 2 * q - difference))

    smallest, largest = max(0.0, -difference), (1 - difference) / 2
    best = minimize_scalar(negative_log_likelihood, bounds=(smallest, largest), method="bounded",
                           options={"xatol": 1e-14, "maxiter": 2000}).x
    return (won - lost - n * difference) / math.sqrt(n * (2 * best + difference * (1 - difference)))


def paired_difference(both, lost, won, neither):
    value = (won - lost) / (both + lost + won + neither)
    f = lambda difference, target: difference_score(both, lost, won, neither, difference) - target
    low = brentq(f, -1 + 1e-9, value - 1e-9, args=(Z,), xtol=1e-12)
    high = brentq(f, value + 1e-9, 1 - 1e-9, args=(-Z,), xtol=1e-12)
    return {"counts": [both, lost, won, neither], "value": value, "low": low, "high": high}


def retention_test(counts, asked):
    z = ratio_score(*counts, asked)
    return {"counts": list(counts), "asked": asked,
            "p_meets": float(stats.norm.sf(z)), "p_fails": float(stats.norm.cdf(z))}


STATISTICS = {
    "mean_difference": lambda base, variant: numpy.mean(variant - base),
    "ratio_of_means": lambda base, variant: numpy.mean(variant) / numpy.mean(base),
    "ratio_of_medians": lambda base, variant: numpy.median(variant) / numpy.median(base),
}


def bootstrap(name, base, variant, n_resamples):
    statistic = STATISTICS[name]
    case = {"statistic": name, "base": base.tolist(), "variant": variant.tolist(),
            "value": float(statistic(base, variant))}
    for method in ("percentile", "BCa"):
        result = stats.bootstrap((base, variant), statistic, paired=True, vectorized=False,
                                 n_resamples=n_resamples, method=method,
                                 rng=numpy.random.default_rng(SEED))
        interval = result.confidence_interval
        case[method.lower()] = [float(interval.low), float(interval.high)]
    case["resampled"] = [float(x) for x in result.bootstrap_distribution]
    without = [numpy.delete(numpy.arange(len(base)), i) for i in range(len(base))]
    case["without_each"] = [float(statistic(base[i], variant[i])) for i in without]
    return case


def clustered(lengths, values):
    groups = numpy.repeat(numpy.arange(len(lengths)), lengths)
    fit = statsmodels.api.OLS(values, numpy.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    low, high = fit.conf_int()[0]
    return float(fit.params[0]), float(fit.bse[0]), float(low), float(high)


def likelihoods(draw, lengths):
    n = sum(lengths)
    level = numpy.repeat(draw.gamma(2.0, 0.02, len(lengths)), lengths)
    kl = numpy.round(level * draw.gamma(0.5, 2.0, n), 9)
    agrees = draw.random(n) > 2 * level
    base = numpy.round(-draw.gamma(0.7, 2.0, n), 9)
    variant = numpy.minimum(numpy.round(base - draw.normal(0.03, 0.3, n), 9), 0.0)
    fields = ("value", "standard_error", "low", "high")
    mean = dict(zip(fields, clustered(lengths, kl)))
    lost, lost_error, lost_low, lost_high = clustered(lengths, base - variant)
    ratio = dict(zip(fields, (math.exp(lost), math.exp(lost) * lost_error, math.exp(lost_low),
                              math.exp(lost_high))))
    t = float(stats.t.ppf(0.975, len(lengths) - 1))

    def quantile(share):
        value = float(numpy.quantile(kl, share))
        error = clustered(lengths, (kl <= value).astype(float))[1]
        low, high = (float(numpy.quantile(kl, min(max(share + sign * t * error, 0), 1)))
                     for sign in (-1, 1))
        return dict(zip(fields, (value, (high - low) / (2 * t), low, high)))

    share, error, _, _ = clustered(lengths, agrees.astype(float))
    return {"window_lengths": lengths, "kl": kl.tolist(), "agrees": agrees.tolist(),
            "base_log_probs": base.tolist(), "variant_log_probs": variant.tolist(),
            "kl_mean": mean, "perplexity_ratio": ratio, "kl_median": quantile(0.5),
            "kl_p99": quantile(0.99), "agreement": share, "agreement_error": error}


def token(draw, n_vocab, scale):
    base = draw.normal(0, 4, n_vocab).astype(numpy.float32)
    variant = (base + draw.normal(0, scale, n_vocab)).astype(numpy.float32)
    p, q = base.astype(float), variant.astype(float)
    target = int(draw.integers(n_vocab))
    return {"base": [float(x) for x in base], "variant": [float(x) for x in variant],
            "target": target, "kl": float(rel_entr(softmax(p), softmax(q)).sum()),
            "has_same_top": bool(p.argmax() == q.argmax()),
            "base_log_prob": float(log_softmax(p)[target]),
            "variant_log_prob": float(log_softmax(q)[target])}


def main():
    warnings.simplefilter("error")
    draw = numpy.random.default_rng(SEED)
    base = numpy.round(draw.gamma(3.0, 8.0, 41), 3)
    variant = numpy.round(base * draw.normal(0.6, 0.15, 41), 3)
    z_values = [-8.0, -3.5, -2.9, -1.0, -0.2, 0.0, 0.7, 1.96, 3.1, 6.0]
    tails = [1e-9, 0.001, 0.0125, 0.025, 0.2, 0.5, 0.8, 0.99]
    document = {
        "note": "made by scripts/golden/inference.py",
        "versions": {"numpy": numpy.__version__, "scipy": scipy.__version__,
                     "statsmodels": statsmodels.__version__},
        "normal": {"z": z_values, "cdf": [float(stats.norm.cdf(z)) for z in z_values],
                   "tails": tails, "quantiles": [float(stats.norm.isf(p)) for p in tails]},
        "clopper_pearson": [clopper_pearson(*c) for c in [
            (0, 10), (1, 10), (5, 10), (13, 16), (31, 60), (60, 60), (85, 164), (700, 974),
            (3, 20_000)]],
        "mcnemar": [mcnemar_case(*c) for c in [
            (0, 1), (1, 1), (5, 0), (16, 6), (12, 9), (40, 12), (7, 30), (300, 260)]],
        "holm": [holm_case(p) for p in [
            [0.01], [0.04, 0.01], [0.01, 0.04, 0.03, 0.005], [0.5, 0.9, 0.6],
            [0.02, 0.02, 0.02], [0.0, 1.0, 0.0125, 0.2, 0.011]]],
        "paired_difference": [paired_difference(*c) for c in PAIRS],
        "retention_test": [retention_test(c, asked) for c in PAIRS[:8] for asked in (0.8, 0.95, 1.0)
                           if c[1] + c[2] > 0],
        "bootstrap": [bootstrap(name, base, variant, 600) for name in STATISTICS],
        "likelihoods": likelihoods(draw, [12, 12, 12, 7, 12, 12, 9, 12]),
        "tokens": [token(draw, n, scale) for n, scale in [(2, 0.1), (9, 0.5), (40, 3.0)]],
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
