"""Times steps of training an adapter with PyTorch and PEFT on the processor.

    lora_step.py FOLDER GGUF_FILE N_TOKENS N_STEPS N_THREADS

The counterpart of `crates/trimtab-compress/examples/lora_step.rs`: the same tokens, rank and layers,
f32 weights read from the same file. Prints milliseconds of each step after the first, one a line.
"""

import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def main():
    folder, gguf_file = sys.argv[1:3]
    n_tokens, n_steps, n_threads = map(int, sys.argv[3:6])
    torch.set_num_threads(n_threads)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file, dtype=torch.float32)
    config = LoraConfig(
        r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, config).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0)
    ids = torch.tensor([[(i * 7919 + 13) % 40_000 for i in range(n_tokens + 1)]])
    for step in range(n_steps + 1):
        start = time.perf_counter()
        scores = model(input_ids=ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(scores[0], ids[0, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ms = 1e3 * (time.perf_counter() - start)
        if step > 0:
            print(f"{ms:.1f} ms, loss {loss.item():.5f}", flush=True)


if __name__ == "__main__":
    main()
