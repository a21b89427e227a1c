"""Compares the logits of a model that another tool loaded with those that our engine computed."""

import json
import sys
from pathlib import Path

import torch


def check_folders(load, tolerance):
    """Loads each folder of the command line with `load(folder)` and compares; exits with 1 if one differs.

    `tolerance` bounds the largest difference of two logits over the largest logit.
    """
    folders = [Path(folder) for folder in sys.argv[1:]]
    n_failed = 0
    for folder in folders:
        recorded = json.loads((folder / "logits.json").read_text())
        want = torch.tensor(recorded["logits"])
        model = load(folder)
        with torch.no_grad():
            got = model(torch.tensor([recorded["ids"]])).logits[0].float()
        worst = ((got - want).abs().max() / want.abs().max()).item()
        passed = got.shape == want.shape and worst <= tolerance
        n_failed += not passed
        verdict = "agrees" if passed else "DIFFERS"
        print(f"{folder.parent.name}/{folder.name}: {verdict}, difference {worst:.1e} of the largest logit (at most {tolerance:.0e})")
    if not folders:
        sys.exit("no folder was given")
    sys.exit(1 if n_failed else 0)
