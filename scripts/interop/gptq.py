"""Loads GPTQ folders with transformers and gptqmodel, whose plain torch kernel runs on a CPU."""

import torch
from compare import check_folders
from transformers import AutoModelForCausalLM

# The kernel computes in 16 bits, our engine in 32; measured 1.2e-3.
TOLERANCE = 4e-3


def load(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", dtype=torch.float16)
    return model.eval()


check_folders(load, TOLERANCE)
