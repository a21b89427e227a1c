#!/usr/bin/env python3
"""Decode and prefill of a Llama-3.1-8B shape with random weights in Hugging Face transformers.

`bench_gpu_transformers.py SHAPE FILE`: the same tests as `crates/trimtab-kernels/examples/bench_gpu.rs`,
in bf16, decoding through torch.compile and a static cache. Writes a JSON document of the same form.
"""
import json
import statistics
import sys
import time

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, StaticCache

CONTEXT = 128
SHAPES = {
    "llama-3.1-8b": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    },
    "tiny": {
        "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512,
    },
}


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def median_seconds(n_repeats, device, work, n_warm=5):
    """Rounds before the measured ones compile and record graphs."""
    seconds = []
    for idx in range(n_repeats + n_warm):
        synchronize(device)
        start = time.perf_counter()
        work(idx)
        synchronize(device)
        if idx >= n_warm:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def make_cache(model, batch, capacity):
    return StaticCache(config=model.config, max_batch_size=batch, max_cache_len=capacity,
                       device=model.device, dtype=model.dtype)


@torch.no_grad()
def measure(shape, device, mode):
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=2048, rope_theta=500000.0)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config).eval()
    rows = []
    step = torch.compile(model, mode=mode, fullgraph=True) if mode else model
    for batch in [1, 8, 64]:
        n_repeats = 20
        cache = make_cache(model, batch, CONTEXT + n_repeats + 5)
        ids = torch.full((batch, CONTEXT), 7, device=device)
        model(ids, past_key_values=cache, cache_position=torch.arange(CONTEXT, device=device),
              logits_to_keep=1)
        token = torch.full((batch, 1), 7, device=device)

        def decode(idx):
            position = torch.tensor([CONTEXT + idx], device=device)
            out = step(token, past_key_values=cache, cache_position=position)
            out.logits[:, -1].argmax(-1).cpu()

        seconds = median_seconds(n_repeats, device, decode)
        rows.append({"format": "bf16", "test": "decode", "batch": batch, "tokens_per_s": batch / seconds})
    n_prompt = 64 if shape == "tiny" else 1024
    ids = torch.full((1, n_prompt), 7, device=device)
    seconds = median_seconds(5, device, lambda _: model(ids, logits_to_keep=1).logits[:, -1].argmax(-1).cpu(), 2)
    rows.append({"format": "bf16", "test": "prefill", "batch": 1, "tokens_per_s": n_prompt / seconds})
    return rows


def main():
    shape, file = sys.argv[1:]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Graphs need a card; the processor only shows that the script works.
    rows = measure(shape, device, "reduce-overhead" if device == "cuda" else None)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    with open(file, "w", encoding="utf-8") as out:
        json.dump({"shape": shape, "versions": versions, "rows": rows}, out)


if __name__ == "__main__":
    main()
