"""Times compression beside PyTorch, by turns, and prints medians and ratios.

    compress.py --trimtab PROGRAM --lora-step PROGRAM --python PYTHON --work FOLDER --qwen GGUF --smol GGUF
                [--rounds N] [--only rtn gptq lora] [--blocks N] [--realtime]

rtn    the whole of Qwen2.5-Coder 0.5B to 4 bits in groups of 128, rounded to nearest; no peer
gptq   the same by GPTQ in activation order, calibrated on 64 × 512 tokens of the bundled text, beside
       `gptq.py`. Ours counts from the start of the program until the variant is stored, the peer's
       from loaded weights until the last block is done: what it does besides is left out.
lora   steps of training an adapter on SmolLM2-135M with 1 × 128 tokens, beside `lora_step.py`
"""

import argparse
import json
import pathlib
import shutil
import statistics
import time

from programs import Runner, has_realtime

HERE = pathlib.Path(__file__).resolve().parent
TEXT = HERE.parents[1] / "crates/trimtab-compress/texts/code.txt"
N_SEQUENCES, LENGTH, N_LORA_STEPS = 64, 512, 6

CODES = {"bits": 4, "group_size": 128, "symmetric": False, "embedding_bits": 8, "activations": "float"}
CALIBRATION = {"sequences": N_SEQUENCES, "sequence_length": LENGTH, "sources": [{"bundled": "code"}]}
RECIPES = {
    "rtn": {"method": "rtn", **CODES},
    "gptq": {"method": "gptq", **CODES, "act_order": True, "true_sequential": False, "calibration": CALIBRATION},
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("trimtab", "lora-step", "python", "work", "qwen", "smol"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=("rtn", "gptq", "lora"), default=["rtn", "gptq", "lora"])
    parser.add_argument("--blocks", type=int, help="the peer does the first N of 24 blocks; the rest is reckoned")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--realtime", action="store_true")
    return parser.parse_args()


class Bench:
    """Both sides, run under the same conditions."""

    def __init__(self, options):
        self.options = options
        self.runner = Runner(options.threads, options.realtime and has_realtime())
        self.base = options.work / "base"
        if not self.base.exists():
            self.call(self.base, "models", "import", options.qwen, "--name", "qwen")

    def call(self, data_dir, *arguments):
        return self.runner.run([self.options.trimtab, *arguments, "--json", "--data-dir", data_dir]).json()

    def ours(self, method):
        """Seconds of a compression from the start of the program; a fresh data folder each time."""
        data_dir = self.options.work / "fresh"
        shutil.rmtree(data_dir, ignore_errors=True)
        shutil.copytree(self.base, data_dir)
        recipe = json.dumps({"name": method, "steps": [RECIPES[method]]})
        clock = time.perf_counter()
        self.call(data_dir, "compress", "--model", "qwen", "--recipe", recipe)
        return time.perf_counter() - clock

    def peer_gptq(self):
        """Seconds of GPTQ in PyTorch, all 24 blocks."""
        qwen = self.options.qwen
        blocks = ["--blocks", self.options.blocks] if self.options.blocks else []
        ended = self.runner.run(
            [self.options.python, HERE / "gptq.py", qwen.parent, qwen.name, TEXT]
            + [N_SEQUENCES, LENGTH, self.options.threads, *blocks]
        )
        report = ended.json()
        return report["seconds"]["total"] * 24 / report["n_blocks"]

    def lora_ours(self):
        """Milliseconds of one step, the median of some."""
        ended = self.runner.run([self.options.lora_step, self.options.smol, "f32", 128, N_LORA_STEPS])
        return median_step(ended.stdout)

    def lora_peer(self):
        smol = self.options.smol
        ended = self.runner.run(
            [self.options.python, HERE / "lora_step.py", smol.parent, smol.name, 128, N_LORA_STEPS]
            + [self.options.threads]
        )
        return median_step(ended.stdout)


def median_step(text):
    return statistics.median(float(line.split(" ms")[0]) for line in text.splitlines() if " ms" in line)


def measure(bench, what):
    """`[(ours, peer)]` of all rounds; `peer` is `None` where there is none."""
    sides = {
        "rtn": (lambda: bench.ours("rtn"), None),
        "gptq": (lambda: bench.ours("gptq"), bench.peer_gptq),
        "lora": (bench.lora_ours, bench.lora_peer),
    }[what]
    pairs = []
    for round_idx in range(bench.options.rounds):
        order = (0, 1) if round_idx % 2 == 0 else (1, 0)
        values = [None, None]
        for side in order:
            values[side] = sides[side]() if sides[side] else None
        print(f"{what}, round {round_idx + 1}: {values}", flush=True)
        pairs.append(tuple(values))
    return pairs


def row(what, pairs):
    """A line of the table: medians, and the median of the ratios of the rounds."""
    unit = "ms a step" if what == "lora" else "s"
    ours = statistics.median(pair[0] for pair in pairs)
    if pairs[0][1] is None:
        return f"| {what} | {ours:.1f} {unit} | | |"
    peer = statistics.median(pair[1] for pair in pairs)
    ratios = [pair[1] / pair[0] for pair in pairs]
    spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
    return f"| {what} | {ours:.1f} {unit} | {peer:.1f} {unit} | {statistics.median(ratios):.2f} ({spread}) |"


def main():
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    rows = [row(what, measure(bench, what)) for what in options.only]
    print("\n| | ours | PyTorch | times as fast |\n|---|---:|---:|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
