"""Finds llama.cpp where `make bench-peers` builds it (TRIMTAB_PEER_DIR names another folder)."""

import os
import sys
from pathlib import Path

CACHE = Path(os.environ.get("TRIMTAB_CACHE", Path.home() / ".cache/trimtab"))
PEERS = Path(os.environ.get("TRIMTAB_PEER_DIR", CACHE / "peers"))


def import_llama():
    """The package `llama_cpp`; ends the program where it is not built."""
    # At the end: the packages of this Python come first.
    sys.path += [str(PEERS / "llama-cpp-python")]
    sys.path += [str(path) for path in PEERS.glob("venv/lib/python*/site-packages")]
    try:
        import llama_cpp
    except ImportError as error:
        sys.exit(f"llama.cpp is not built in {PEERS} ({error}): run `make bench-peers` once")
    return llama_cpp
