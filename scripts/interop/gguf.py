"""Loads GGUF files with llama.cpp and asks it for every token of the answers that our engine chose greedily.

Both sides get the same token ids, so that every step is compared, whatever was chosen before. At each,
llama.cpp has to choose the same token, or score ours only a little below its own choice. With floats
there is no such step; with quantised weights it rounds activations to 8 bits, those of the head too, and
scores differ by up to half a unit or so, while the same codes written as floats give the same tokens.
The largest difference among the best scores after the prompt is printed.

llama.cpp comes from the package that `make bench-peers` builds.
"""

import json
import sys
from pathlib import Path

import numpy as np
from peer import import_llama

llama_cpp = import_llama()

# Largest gap between the score of their token and that of ours, in logits. Measured over the 96 steps of
# each file: 0 with floats, 0.492 with quantised weights (int8-q8_0).
FLOAT_GAP = 0.02
QUANTISED_GAP = 0.75
N_CONTEXT = 256


def compare(model, answer):
    """How many steps agree, the largest gap of the others, and the largest difference of the first scores."""
    prompt, ours = answer["prompt_ids"], np.asarray(answer["answer_ids"])
    model.reset()
    model.eval(prompt + answer["answer_ids"])
    logits = np.asarray(model.scores[len(prompt) - 1 : len(prompt) + len(ours) - 1])
    gaps = logits.max(axis=1) - logits[np.arange(len(ours)), ours]
    difference = max(abs(float(logits[0, token]) - score) for token, score in answer["first_scores"])
    return int((gaps == 0).sum()), float(gaps.max()), difference


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    model = llama_cpp.Llama(
        str(folder / "model.gguf"), n_ctx=N_CONTEXT, logits_all=True, n_threads=2, verbose=False
    )
    largest_gap = QUANTISED_GAP if expected["is_quantised"] else FLOAT_GAP
    passed = True
    for number, answer in enumerate(expected["answers"]):
        tokens = model.tokenize(answer["prompt"].encode(), add_bos=False, special=False)
        same_tokens = tokens == answer["prompt_ids"]
        n_equal, gap, difference = compare(model, answer)
        agrees = same_tokens and gap <= largest_gap
        passed &= agrees
        detail = f"{n_equal} of {len(answer['answer_ids'])} tokens equal, gap {gap:.3f}; first scores within {difference:.3f}"
        if not same_tokens:
            detail += f"; the prompt is tokenized as {tokens}"
        verdict = "agrees" if agrees else "DIFFERS"
        print(f"gguf/{folder.name}/prompt {number}: {verdict}, {detail}")
    print(f"note: gguf/{folder.name}: weights {expected['fidelity']}")
    return passed


def main():
    folders = [Path(folder) for folder in sys.argv[1:]]
    if not folders:
        sys.exit("no folder was given")
    sys.exit(0 if all([check(folder) for folder in folders]) else 1)


if __name__ == "__main__":
    main()
