"""Loads tiny models of every exported architecture with llama.cpp and compares their logits with those
that transformers computed of the same weights.

Weights and cache are f32 on all sides; what is left is the order of sums, and that llama.cpp looks
GELU up in a table of 16-bit floats.
"""

import json
import sys
from pathlib import Path

import numpy as np
from peer import import_llama
from safetensors.numpy import load_file

llama_cpp = import_llama()

# Largest difference of two logits over the largest logit; measured at most 3.0e-6, and 4.0e-4 with GELU.
TOLERANCE = 1e-5
GELU_TOLERANCE = 1e-3
GELU = ("gpt2", "starcoder2")
F32 = 0


def largest_difference(model, ids, want):
    """Of the logits after each token."""
    model.reset()
    model.eval(ids.tolist())
    got = np.asarray(model.scores[: len(ids)])
    return float(np.abs(got - want).max() / np.abs(want).max())


def check(folder):
    n_tokens = json.loads((folder / "settings.json").read_text())["n_tokens"]
    tensors = load_file(folder / "expected.safetensors")
    model = llama_cpp.Llama(
        str(folder / "model.gguf"), n_ctx=256, logits_all=True, n_threads=2, type_k=F32, type_v=F32, verbose=False
    )
    differences = []
    for number in range(sum(name.startswith("ids.") for name in tensors)):
        ids = tensors[f"ids.{number}"].reshape(-1)[:n_tokens]
        want = tensors[f"logits.{number}"].reshape(-1, model.n_vocab())[: len(ids)]
        differences.append(largest_difference(model, ids, want))
    worst = max(differences)
    tolerance = GELU_TOLERANCE if folder.name in GELU else TOLERANCE
    verdict = "agrees" if worst <= tolerance else "DIFFERS"
    print(f"gguf_architectures/{folder.name}: {verdict}, difference {worst:.1e} of the largest logit (at most {tolerance:.0e})")
    return worst <= tolerance


def main():
    folders = [Path(folder) for folder in sys.argv[1:]]
    if not folders:
        sys.exit("no folder was given")
    sys.exit(0 if all([check(folder) for folder in folders]) else 1)


if __name__ == "__main__":
    main()
