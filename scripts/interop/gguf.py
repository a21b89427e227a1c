"""Loads GGUF files with llama.cpp and lets it answer greedily, as our engine did.

Both sides get the same token ids. Answers have to be equal token by token up to the first near-tie:
a step where each side chose another token, and neither scores its own more than TIE above the
other's. llama.cpp quantises activations to 8 bits for quantised weights and keeps its cache in 16 bits,
so scores differ a little; the largest difference among the steps compared is printed.

llama.cpp comes from the package that `make bench-peers` builds (TRIMTAB_PEERS names another folder).
"""

import json
import os
import sys
from pathlib import Path

CACHE = Path(os.environ.get("TRIMTAB_CACHE", Path.home() / ".cache/trimtab"))
PEERS = Path(os.environ.get("TRIMTAB_PEERS", CACHE / "peers"))
# At the end: the packages of this Python come first.
sys.path += [str(PEERS / "llama-cpp-python")]
sys.path += [str(path) for path in PEERS.glob("venv/lib/python*/site-packages")]

try:
    import llama_cpp
    import numpy as np
except ImportError as error:
    sys.exit(f"llama.cpp is not built in {PEERS} ({error}): run `make bench-peers` once")

# Score differences between the engines reach this much where activations are quantised.
TIE = 0.5
N_CONTEXT = 256


def compare(model, answer):
    """Steps that agree, the largest difference of scores, and what ended the comparison."""
    ids = list(answer["prompt_ids"])
    model.reset()
    model.eval(ids)
    worst = 0.0
    for step, (ours, best) in enumerate(zip(answer["answer_ids"], answer["best_scores"])):
        logits = np.asarray(model.scores[model.n_tokens - 1])
        our_scores = dict(best)
        worst = max(worst, max(abs(logits[token] - score) for token, score in best))
        theirs = int(logits.argmax())
        if theirs != ours:
            their_gap = float(logits[theirs] - logits[ours])
            our_gap = our_scores[ours] - our_scores.get(theirs, -np.inf)
            end = f"step {step}: gaps {our_gap:.3f} and {their_gap:.3f}"
            is_tie = max(our_gap, their_gap) <= TIE
            return step, worst, f"near-tie at {end}" if is_tie else f"DIFFERS at {end}"
        model.eval([ours])
    return len(answer["answer_ids"]), worst, "to the end"


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    model = llama_cpp.Llama(
        str(folder / "model.gguf"), n_ctx=N_CONTEXT, logits_all=True, n_threads=2, verbose=False
    )
    passed = True
    for number, answer in enumerate(expected["answers"]):
        tokens = model.tokenize(answer["prompt"].encode(), add_bos=False, special=False)
        same_tokens = tokens == answer["prompt_ids"]
        n_equal, worst, end = compare(model, answer)
        agrees = same_tokens and "DIFFERS" not in end
        passed &= agrees
        detail = f"{n_equal} of {len(answer['answer_ids'])} tokens equal, {end}; scores within {worst:.3f}"
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
