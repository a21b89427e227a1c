"""From samples to ratios: what was better, how much, and how sure.

A sample is `{"model", "side", "format", "metric", "round", "value"}`. Ratios are taken round by round,
between measurements that lie next to each other in time, and told as their median and range.
A ratio above 1 is always better for us.
"""

from dataclasses import dataclass
from statistics import median

from formats import AIM_BANDWIDTH, AIM_BATCH, AIM_MEMORY, AIM_PREFILL, BANDWIDTH_OF, PAIRS

LOWER_IS_BETTER = ("peak_memory",)


@dataclass
class Line:
    """One line of the table."""

    model: str
    metric: str
    ours: str
    peer: str
    our_value: float
    peer_value: float
    ratios: list
    aim: float

    def median(self):
        """The middle ratio."""
        return median(self.ratios)

    def meets(self):
        """Whether the middle ratio reaches the aim."""
        return self.median() >= self.aim


def values(samples, **wanted):
    """Values by round of the samples that match."""
    return {
        sample["round"]: sample["value"]
        for sample in samples
        if all(sample[key] == value for key, value in wanted.items())
    }


def compare(samples, model, metric, pair, aim):
    """The line of one pair and metric; `None` where either side was not measured."""
    ours = values(samples, model=model, metric=metric, side="ours", format=pair.name)
    lines = []
    for peer_type in pair.peer_types:
        peer = values(samples, model=model, metric=metric, side="peer", format=peer_type)
        rounds = sorted(set(ours) & set(peer))
        if not rounds:
            continue
        is_inverse = metric in LOWER_IS_BETTER
        ratios = [peer[n] / ours[n] if is_inverse else ours[n] / peer[n] for n in rounds]
        middle = median(ours[n] for n in rounds), median(peer[n] for n in rounds)
        lines.append(Line(model, metric, pair.name, peer_type, *middle, ratios, aim))
    # The peer's better file is the one that counts: the one with the lowest ratio for us.
    return min(lines, key=Line.median, default=None)


def bandwidth_line(document, model, name):
    """Decoding as a share of the measured read bandwidth."""
    samples = document["samples"]
    rates = values(samples, model=model, metric="decode", side="ours", format=name)
    n_bytes = values(samples, model=model, metric="bytes_per_token", side="ours", format=name)
    bandwidth = values(samples, model="", metric="bandwidth", side="machine", format="")
    rounds = sorted(set(rates) & set(n_bytes) & set(bandwidth))
    if not rounds:
        return None
    shares = [rates[n] * n_bytes[n] / bandwidth[n] for n in rounds]
    read = median(rates[n] * n_bytes[n] / 1e9 for n in rounds)
    limit = median(bandwidth[n] / 1e9 for n in rounds)
    return Line(model, "share of read bandwidth", name, "the memory itself", read, limit, shares, AIM_BANDWIDTH)


def lines(document):
    """All lines, model by model."""
    samples = document["samples"]
    found = []
    for model in dict.fromkeys(sample["model"] for sample in samples if sample["model"]):
        for pair in PAIRS:
            aims = [("decode", pair.aim_decode)]
            for metric in dict.fromkeys(sample["metric"] for sample in samples):
                if metric.startswith("prefill"):
                    aims.append((metric, AIM_PREFILL))
                if metric.startswith("batch"):
                    aims.append((metric, AIM_BATCH))
            aims.append(("peak_memory", AIM_MEMORY))
            found += [compare(samples, model, metric, pair, aim) for metric, aim in aims]
        found += [bandwidth_line(document, model, name) for name in BANDWIDTH_OF]
    return [line for line in found if line is not None]


UNITS = {"peak_memory": ("MB", 1e6), "share of read bandwidth": ("GB/s", 1.0)}


def table(document):
    """The lines as a table in Markdown."""
    rows = ["| model | measured | ours | llama.cpp | ratio (median) | range | aim | met |"]
    rows.append("|---|---|---:|---:|---:|---|---:|---|")
    for line in lines(document):
        unit, size = UNITS.get(line.metric, ("tok/s", 1.0))
        low, high = min(line.ratios), max(line.ratios)
        rows.append(
            f"| {line.model} | {line.metric.replace('_', ' ')} | {line.ours}: {line.our_value / size:,.1f} {unit} "
            f"| {line.peer}: {line.peer_value / size:,.1f} {unit} | {line.median():.2f} "
            f"| {low:.2f}–{high:.2f} | {line.aim:.1f} | {'yes' if line.meets() else 'no'} |"
        )
    rows += ["", *document["notes"]]
    return "\n".join(rows)
