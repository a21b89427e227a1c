"""CodeBLEU of the Python package and of `score_codebleu`, by turns; called by bench-codebleu.sh.

Seconds run from texts in memory to the score: starting a program, importing, and reading files is not counted.
Seconds of processor are those of that call for the package, and of the whole process, its start and self-test
included, for the other side; they say more than the clock where something else runs on the machine.
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


def call_package(language, references, hypotheses):
    start, start_cpu = time.perf_counter(), time.process_time()
    score = calc_codebleu(references, hypotheses, language)["codebleu"]
    return score, time.perf_counter() - start, time.process_time() - start_cpu


def call_program(command):
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        answer = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {command[0]} ended with {process.returncode}")
    return answer["codebleu"], answer["seconds"], usage.ru_utime + usage.ru_stime


def tell(what, times):
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        low, high = min(times[name]), max(times[name])
        ratio = medians["package"] / median
        print(f"{what}, {name}: median {median:.3f} s ({low:.3f} to {high:.3f}), {ratio:.1f} times as fast")


def main():
    program, language, hypotheses, references, rounds = sys.argv[1:]
    texts = [pathlib.Path(path).read_text().removesuffix("\n").split("\n") for path in (references, hypotheses)]
    names = ("package", "1 thread", "2 threads")
    seconds, cpu_seconds, scores = {name: [] for name in names}, {name: [] for name in names}, {}
    for number in range(int(rounds)):
        for n_threads, name in enumerate(names):
            if n_threads == 0:
                answer = call_package(language, *texts)
            else:
                answer = call_program([program, language, hypotheses, references, str(n_threads)])
            scores[name], elapsed, on_cpu = answer
            seconds[name].append(elapsed)
            cpu_seconds[name].append(on_cpu)
        told = ", ".join(f"{name} {seconds[name][-1]:.3f} s ({cpu_seconds[name][-1]:.3f})" for name in names)
        print(f"round {number + 1}, clock (processor): {told}", flush=True)
    tell("clock", seconds)
    tell("processor", cpu_seconds)
    print("CodeBLEU:", ", ".join(f"{name} {score:.9f}" for name, score in scores.items()))
    if max(scores.values()) - min(scores.values()) > 1e-9:
        sys.exit("error: the scores differ")


main()
