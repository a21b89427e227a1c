"""Runs a program under the same conditions as every other: threads, priority, and its peak memory."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass


class ProgramFailed(Exception):
    """A program that did not end well."""


@dataclass
class Ended:
    """What a program printed, and the largest resident set it had in bytes."""

    stdout: str
    peak_memory_bytes: int

    def json(self):
        """The JSON document on standard output."""
        return json.loads(self.stdout)


def has_realtime():
    """Whether a program started with `chrt` has real-time priority. The program itself is asked: the machine's
    owner may have switched it off, and `chrt` then succeeds without it."""
    ask = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0) == os.SCHED_RR)"]
    try:
        probe = subprocess.run(["chrt", "-r", "10", *ask], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return probe.stdout.strip() == "True"


class Runner:
    """Starts programs, all of them alike."""

    def __init__(self, n_threads, realtime):
        self.n_threads = n_threads
        self.prefix = ["chrt", "-r", "10"] if realtime else []

    def environment(self):
        """Both thread pools get the same number of threads; nothing is downloaded."""
        n_threads = str(self.n_threads)
        return os.environ | {
            "RAYON_NUM_THREADS": n_threads,
            "OMP_NUM_THREADS": n_threads,
            "TRIMTAB_OFFLINE": "1",
        }

    def command(self, arguments):
        """The whole command line."""
        return [*self.prefix, *map(str, arguments)]

    def run(self, arguments):
        """Runs a program to its end."""
        command = self.command(arguments)
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            process = subprocess.Popen(
                command, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, env=self.environment()
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            stdout.seek(0)
            stderr.seek(0)
            if process.returncode != 0:
                said = "".join(stderr.readlines()[-10:])
                raise ProgramFailed(f"`{' '.join(command)}` ended with {process.returncode}:\n{said}")
            return Ended(stdout.read(), usage.ru_maxrss * maxrss_unit())


def maxrss_unit():
    """Bytes of one unit of `ru_maxrss`: kibibytes on Linux, bytes on macOS."""
    return 1 if sys.platform == "darwin" else 1024
