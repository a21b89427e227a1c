"""CodeBLEU of the Python package and of `score_codebleu`, by turns; called by bench-codebleu.sh.

Both are timed from texts in memory to the score: starting a program and reading files is not counted.
The package runs with the hash seed that the other side assumes, so that both scores are the same.
"""
import json
import logging
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).parents[2] / "crates/trimtab-metrics/src/codebleu/python_set.rs"
SEED = re.search(r"HASH_SEED: u32 = (\d+)", SOURCE.read_text())[1]
if os.environ.get("PYTHONHASHSEED") != SEED:
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": SEED})

from codebleu import calc_codebleu  # noqa: E402

logging.disable(logging.WARNING)


def main():
    program, language, hypotheses, references, rounds = sys.argv[1:]
    texts = [pathlib.Path(path).read_text().removesuffix("\n").split("\n") for path in (references, hypotheses)]
    seconds = {"package": [], "1 thread": [], "2 threads": []}
    scores = {}
    for number in range(int(rounds)):
        start = time.perf_counter()
        scores["package"] = calc_codebleu(texts[0], texts[1], language)["codebleu"]
        seconds["package"].append(time.perf_counter() - start)
        for n_threads, name in ((1, "1 thread"), (2, "2 threads")):
            command = [program, language, hypotheses, references, str(n_threads)]
            answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            seconds[name].append(answer["seconds"])
            scores[name] = answer["codebleu"]
        told = ", ".join(f"{name} {values[-1]:.3f} s" for name, values in seconds.items())
        print(f"round {number + 1}: {told}", flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        ratio = medians["package"] / median
        print(f"{name:>10}: median {median:.3f} s ({low:.3f} to {high:.3f}), {ratio:.1f} times as fast, "
              f"CodeBLEU {scores[name]:.9f}")
    if max(scores.values()) - min(scores.values()) > 1e-9:
        sys.exit("error: the scores differ")


main()
