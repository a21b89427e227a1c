"""Loads folders of 16-bit floats with transformers and computes in 32 bits."""

import torch
from compare import check_folders
from transformers import AutoModelForCausalLM

# Both sides compute in 32 bits from the same weights; measured 1e-6.
TOLERANCE = 1e-5


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


check_folders(load, TOLERANCE)
