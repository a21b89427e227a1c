"""Measures Trimtab beside llama.cpp on this machine, interleaved, and prints a table of ratios.

Every round runs each side once for every pair, one right after the other, with the same threads and
priority; odd rounds let ours go first. `--table FILE` prints the table of an earlier result.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path

import llama
import ours
from formats import BATCH_OF, PAIRS
from programs import ProgramFailed, Runner, has_realtime
from ratios import table


def arguments():
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the table of an earlier result and end")
    parser.add_argument("--trimtab", type=Path, help="our program")
    parser.add_argument("--bandwidth", type=Path, help="the program that measures read bandwidth")
    parser.add_argument("--peer", type=Path, help="folder of llama.cpp's programs")
    parser.add_argument("--peer-source", type=Path, help="unpacked source package of the peer")
    parser.add_argument("--peer-models", type=Path, help="folder of the peer's model files; made once")
    parser.add_argument("--work", type=Path, help="folder of our variants and of the result")
    parser.add_argument("--models", type=Path, nargs="+", metavar="GGUF", help="models to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2, help="counted repeats in each process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gen-tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16, help="sequences at once; 0 leaves that out")
    parser.add_argument("--pairs", nargs="+", default=[pair.name for pair in PAIRS], metavar="NAME")
    parser.add_argument("--realtime", action="store_true", help="give both sides real-time priority; other work then has to wait")
    return parser.parse_args()


class Bench:
    """One measurement of everything that was asked for."""

    def __init__(self, typed):
        self.typed = typed
        if typed.realtime and not has_realtime():
            raise ProgramFailed("real-time priority is not to be had here; leave out `--realtime`")
        self.runner = Runner(typed.threads, typed.realtime)
        self.peer = llama.Llama(typed.peer, typed.peer_models, self.runner)
        self.ours = ours.Trimtab(typed.trimtab, typed.work / "data", self.runner)
        self.pairs = [pair for pair in PAIRS if pair.name in typed.pairs]
        self.batches = typed.batch > 0
        self.samples = []
        self.notes = []
        self.loads = []
        self.round = 0

    def sample(self, model, side, file_format, metric, value):
        """Keeps one value."""
        keys = ("model", "side", "format", "metric", "round", "value")
        self.samples.append(dict(zip(keys, (model, side, file_format, metric, self.round, value))))

    def prepare(self):
        """Makes the files of both sides that are not there yet."""
        for source in self.typed.models:
            say(f"making variants of {source.stem}")
            name = source.stem.lower()
            self.ours.import_model(source, name)
            for pair in self.pairs:
                self.ours.make_variant(name, pair)
                for peer_type in pair.peer_types:
                    self.peer.model_file(source, peer_type)
        if self.batches and not self.ours.has_batches():
            self.notes.append("Many sequences at once: ours was not measured, this build has no `bench --batch`.")

    def run(self, after_model):
        """All rounds; `after_model` is called whenever a model has been measured."""
        self.prepare()
        for self.round in range(self.typed.rounds):
            bandwidth = self.runner.run([self.typed.bandwidth]).json()["bytes_per_second"]
            self.sample("", "machine", "", "bandwidth", bandwidth)
            self.loads.append(round(os.getloadavg()[0], 1))
            for source in self.typed.models:
                say(f"round {self.round + 1} of {self.typed.rounds}: {source.stem}")
                self.one_round(source)
                after_model()

    def one_round(self, source):
        """Every pair of one model once; a file of the peer that two pairs share is measured once."""
        done = set()
        for pair in self.pairs:
            sides = [lambda pair=pair: self.measure_peer(source, pair, done), lambda pair=pair: self.measure_ours(source, pair)]
            for measure in reversed(sides) if self.round % 2 else sides:
                measure()

    def measure_peer(self, source, pair, done):
        """All metrics of the peer's files of one pair."""
        for peer_type in pair.peer_types:
            if peer_type in done:
                continue
            done.add(peer_type)
            model = self.peer.model_file(source, peer_type)
            name = source.stem.lower()
            rows, peak = self.peer.bench(model, 256, self.typed.gen_tokens, self.typed.repeats)
            self.keep(name, "peer", peer_type, rows)
            self.sample(name, "peer", peer_type, "peak_memory", peak)
            self.sample(name, "peer", peer_type, "bytes_per_token", self.peer.weights(model)["n_bytes_per_token"])
            if pair.has_long_prefill:
                self.keep(name, "peer", peer_type, self.peer.bench(model, 1024, 0, self.typed.repeats)[0])
            if self.batches and pair.name in BATCH_OF:
                rate = self.peer.batch_rate(model, self.typed.batch, self.typed.gen_tokens, llama.free_port())
                self.sample(name, "peer", peer_type, f"batch_{self.typed.batch}", rate)

    def measure_ours(self, source, pair):
        """All metrics of our variant of one pair."""
        name = source.stem.lower()
        variant = f"{name}:{pair.name}"
        rows, peak = self.ours.bench(variant, 256, self.typed.gen_tokens, self.typed.repeats)
        self.keep(name, "ours", pair.name, rows)
        self.sample(name, "ours", pair.name, "peak_memory", peak)
        n_unread = self.peer.weights(source)["n_unread_values"]
        n_bytes = ours.weight_bytes_per_token(rows[0], pair, n_unread)
        self.sample(name, "ours", pair.name, "bytes_per_token", n_bytes)
        if pair.has_long_prefill:
            self.keep(name, "ours", pair.name, self.ours.bench(variant, 1024, 0, self.typed.repeats)[0])
        if self.batches and pair.name in BATCH_OF and self.ours.has_batches():
            rate = self.ours.batch_rate(variant, self.typed.batch, self.typed.gen_tokens)
            self.sample(name, "ours", pair.name, f"batch_{self.typed.batch}", rate)

    def keep(self, model, side, file_format, rows):
        """Keeps the speeds of rows in the form of `llama-bench`: the best repeat of each, as least disturbed."""
        for row in rows:
            metric = "decode" if row["n_gen"] > 0 else f"prefill_{row['n_prompt']}"
            self.sample(model, side, file_format, metric, max(row["samples_ts"]))

    def told(self):
        """What a reader has to know beside the numbers."""
        busiest = max(self.loads, default=0.0)
        if busiest <= os.cpu_count() + 1 or self.typed.realtime:
            return self.notes
        return self.notes + [
            f"Other work ran beside (load {busiest} on {os.cpu_count()} processors), so these ratios are not to be "
            "relied on: the two sides need not have had the same share of the processors."
        ]

    def document(self):
        """The result, with all that is needed to repeat it."""
        typed = self.typed
        return {
            "format_version": 1,
            "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": {"cpu": processor(), "kernel": platform.release(), "has_realtime": typed.realtime, "load_by_round": self.loads},
            "versions": {"trimtab": self.ours.version(), "llama-cpp-python": llama.version(typed.peer_source)},
            "settings": {
                name: getattr(typed, name) for name in ("rounds", "repeats", "threads", "gen_tokens", "batch")
            },
            "notes": self.told(),
            "samples": self.samples,
        }


def processor():
    """The processor's own name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "unknown")


def end_politely(_signal, _frame):
    """Lets what is running clean up after itself: a server that was started is stopped."""
    sys.exit("trimtab: error: interrupted")


def say(text):
    """Progress, beside the result."""
    print(f"trimtab: {text}", file=sys.stderr, flush=True)


def main():
    """Measures, keeps the result, prints the table."""
    typed = arguments()
    signal.signal(signal.SIGTERM, end_politely)
    if typed.table:
        print(table(json.loads(typed.table.read_text(encoding="utf-8"))))
        return
    bench = Bench(typed)
    result = typed.work / "result.json"

    def keep():
        """What was measured so far outlives an interruption; `--table` prints it."""
        result.write_text(json.dumps(bench.document(), indent=1) + "\n", encoding="utf-8")

    bench.run(keep)
    print(table(bench.document()))
    say(f"all samples are in {result}")


if __name__ == "__main__":
    try:
        main()
    except ProgramFailed as error:
        sys.exit(f"trimtab: error: {error}")
