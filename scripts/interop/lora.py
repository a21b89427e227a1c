"""Loads adapters that we trained with PEFT and computes in 32 bits."""

import torch
from compare import check_folders
from peft import PeftModel
from transformers import AutoModelForCausalLM

# Both sides compute in 32 bits from the same weights and factors.
TOLERANCE = 1e-5


def load(folder):
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    return PeftModel.from_pretrained(base, folder).eval()


check_folders(load, TOLERANCE)
