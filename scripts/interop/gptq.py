"""Loads GPTQ folders with transformers and gptqmodel, whose plain torch kernel runs on a CPU."""

import torch
from compare import check_folders
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-2


def load(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", dtype=torch.float16)
    return model.eval()


check_folders(load, TOLERANCE)
