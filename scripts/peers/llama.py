"""The peer's side: model files in its formats, `llama-bench`, and `llama-server` with busy slots."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from programs import ProgramFailed

SERVER_START_SECONDS = 120


class Llama:
    """The peer's programs, and the folder of its model files."""

    def __init__(self, programs, models, runner):
        self.programs = Path(programs)
        self.models = Path(models)
        self.runner = runner

    def model_file(self, source, file_type):
        """The model in one of the peer's formats, made from `source` by way of 32-bit floats."""
        target = self.models / f"{source.stem}.{file_type}.gguf"
        if target.exists():
            return target
        origin = source if file_type == "F32" else self.model_file(source, "F32")
        self.models.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".unfinished")
        self.runner.run(
            [self.programs / "llama-quantize", "--allow-requantize", origin, unfinished, file_type, self.runner.n_threads]
        )
        unfinished.rename(target)
        return target

    def weights(self, model):
        """What decoding reads of a model file."""
        program = Path(__file__).with_name("weights.py")
        return self.runner.run([sys.executable, program, model]).json()

    def bench(self, model, n_prompt, n_gen, repeats):
        """Rows of `llama-bench`, and the peak memory of its process."""
        ended = self.runner.run(
            [self.programs / "llama-bench", "-m", model, "-t", self.runner.n_threads, "-p", n_prompt]
            + ["-n", n_gen, "-r", repeats, "-o", "json"]
        )
        return ended.json(), ended.peak_memory_bytes

    def batch_rate(self, model, n_sequences, n_gen, port):
        """Tokens generated per second by `llama-server` while all of its slots are busy."""
        command = self.runner.command(
            [self.programs / "llama-server", "-m", model, "-t", self.runner.n_threads, "-np", n_sequences]
            + ["-c", n_sequences * 512, "--port", port, "--host", "127.0.0.1", "--no-webui"]
        )
        server = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.runner.environment()
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_healthy(address, server)
            generate_together(address, n_sequences, 8)
            n_tokens, seconds = generate_together(address, n_sequences, n_gen)
            return n_tokens / seconds
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)


def wait_until_healthy(address, server):
    """Waits until the model is loaded."""
    end = time.monotonic() + SERVER_START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise ProgramFailed(f"`llama-server` ended with {server.returncode} while it started")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise ProgramFailed(f"`llama-server` was not ready within {SERVER_START_SECONDS} s")


def generate_together(address, n_sequences, n_gen):
    """Lets every slot write one answer at the same time: tokens in all, and seconds."""
    counts = [0] * n_sequences
    gate = threading.Barrier(n_sequences + 1)

    def write_one(idx):
        body = {
            "prompt": [100 + idx],
            "n_predict": n_gen,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
            "stream": False,
        }
        request = urllib.request.Request(
            f"{address}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        gate.wait()
        with urllib.request.urlopen(request, timeout=600) as answer:
            counts[idx] = json.load(answer)["tokens_predicted"]

    threads = [threading.Thread(target=write_one, args=(idx,)) for idx in range(n_sequences)]
    for thread in threads:
        thread.start()
    gate.wait()
    start = time.monotonic()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    if min(counts) != n_gen:
        raise ProgramFailed(f"a slot of `llama-server` wrote {min(counts)} tokens, not {n_gen}")
    return sum(counts), seconds


def free_port():
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def version(source):
    """Version of the source package that the programs were built from."""
    lines = Path(source, "PKG-INFO").read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("Version: ") for line in lines if line.startswith("Version: "))
