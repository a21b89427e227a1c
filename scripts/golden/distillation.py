"""Writes distillation losses of small distributions with their gradients, as PyTorch computes them.

    python3 -m venv venv
    venv/bin/pip install torch==2.9.1
    venv/bin/python -P scripts/golden/distillation.py crates/trimtab-compress/tests/golden/distillation.json

`-P` keeps the neighbouring `statistics.py` from being taken for the standard library's.

Scores of student and teacher are the sines of `scores`; everything is computed in 64 bits.
"""

import json
import math
import pathlib
import sys

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

N_TOKENS, VOCAB = 3, 23
LABELS = [4, 0, 22]


def scores(speed, height):
    n = N_TOKENS * VOCAB
    values = [height * math.sin(speed * i) for i in range(n)]
    return torch.tensor(values, dtype=torch.float64).reshape(N_TOKENS, VOCAB)


def divergence(kind, p, q):
    """Of logarithms; kl_div(a, b) is KL(b ‖ a)."""

    def kl(a, b):
        return kl_div(b, a, reduction="sum", log_target=True)

    if kind == "forward_kl":
        return kl(p, q)
    if kind == "reverse_kl":
        return kl(q, p)
    share = kind["jensen_shannon"]
    middle = torch.log(share * p.exp() + (1 - share) * q.exp())
    return share * kl(p, middle) + (1 - share) * kl(q, middle)


def main():
    cases = []
    for kind in ["forward_kl", "reverse_kl", {"jensen_shannon": 0.5}, {"jensen_shannon": 0.1}]:
        for temperature, label_share in [(1.0, 0.0), (2.5, 0.0), (2.0, 0.3), (1.0, 1.0)]:
            student = scores(0.37, 3.0).requires_grad_()
            q = log_softmax(student / temperature, dim=1)
            p = log_softmax(scores(0.61, 4.0) / temperature, dim=1)
            soft = temperature**2 * divergence(kind, p, q)
            hard = cross_entropy(student, torch.tensor(LABELS), reduction="sum")
            loss = (1 - label_share) * soft + label_share * hard
            loss.backward()
            cases.append(
                {
                    "divergence": kind,
                    "temperature": temperature,
                    "label_share": label_share,
                    "loss": loss.item(),
                    "gradient": student.grad.flatten().tolist(),
                }
            )
    out = {"versions": {"torch": torch.__version__}, "labels": LABELS, "cases": cases}
    pathlib.Path(sys.argv[1]).write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
