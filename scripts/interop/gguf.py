"""Loads GGUF files with llama.cpp and lets it answer greedily, as our engine did.

Both sides get the same token ids. Answers have to be equal token by token up to the first near-tie:
a step where llama.cpp chose another token but scores ours at most TIE below it. It quantises
activations to 8 bits for quantised weights and keeps its cache in 16 bits, so scores differ a
little; the largest difference among the best scores after the prompt is printed.

llama.cpp comes from the package that `make bench-peers` builds (TRIMTAB_PEER_DIR names another folder).
"""

import json
import sys
from pathlib import Path

import numpy as np
from peer import import_llama

llama_cpp = import_llama()

# Score differences between the engines reach this much where activations are quantised.
TIE = 0.5
N_CONTEXT = 256


def compare(model, answer):
    """Steps that agree, the largest difference of the first scores, and what ended the comparison."""
    model.reset()
    model.eval(answer["prompt_ids"])
    first = np.asarray(model.scores[model.n_tokens - 1])
    difference = max(abs(first[token] - score) for token, score in answer["first_scores"])
    for step, ours in enumerate(answer["answer_ids"]):
        logits = np.asarray(model.scores[model.n_tokens - 1])
        theirs = int(logits.argmax())
        if theirs != ours:
            gap = float(logits[theirs] - logits[ours])
            verdict = "near-tie" if gap <= TIE else "DIFFERS"
            return step, difference, f"{verdict} at step {step}, gap {gap:.3f}"
        model.eval([ours])
    return len(answer["answer_ids"]), difference, "to the end"


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    model = llama_cpp.Llama(
        str(folder / "model.gguf"), n_ctx=N_CONTEXT, logits_all=True, n_threads=2, verbose=False
    )
    passed = True
    for number, answer in enumerate(expected["answers"]):
        tokens = model.tokenize(answer["prompt"].encode(), add_bos=False, special=False)
        same_tokens = tokens == answer["prompt_ids"]
        n_equal, difference, end = compare(model, answer)
        agrees = same_tokens and "DIFFERS" not in end
        passed &= agrees
        detail = f"{n_equal} of {len(answer['answer_ids'])} tokens equal, {end}; first scores within {difference:.3f}"
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
