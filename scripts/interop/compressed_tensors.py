"""Loads compressed-tensors folders with transformers and the package, and computes in 32 bits."""

import torch
from compare import check_folders
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-3


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", dtype=torch.float32).eval()


check_folders(load, TOLERANCE)
