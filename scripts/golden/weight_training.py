"""Trains all weights of the blocks of small models for some steps and writes what every step came to.

    python3 -m venv venv
    venv/bin/pip install torch==2.9.1 transformers==4.57.6 peft==0.21.2 safetensors==0.8.0
    venv/bin/python scripts/golden/weight_training.py \
        crates/trimtab-models/tests/fixtures/architectures crates/trimtab-compress/tests/golden/weights

The models are the fixtures of the architectures; embeddings, positions and head stay frozen, also
where the head is the embedding. Examples, schedule and optimiser are those of `lora_training.py`.
`NAME.safetensors` holds the trained weights afterwards under `last.`, and under `loss`,
`gradient_norm` and `learning_rate` one number a step.
"""

import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

from lora_training import (
    EXAMPLES,
    MAX_GRADIENT_NORM,
    N_STEPS,
    N_WARMUP,
    WEIGHT_DECAY,
    loss_of,
)

LEARNING_RATE = 2e-3
FIXTURES = ["gpt2", "llama_tied", "llama_untied_biased", "qwen3_biased", "starcoder2"]
FROZEN = ("embed_tokens", "wte", "wpe", "lm_head")


def write(fixture, path):
    model = AutoModelForCausalLM.from_pretrained(
        fixture, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    trained = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(part in name for part in FROZEN))
        if parameter.requires_grad:
            trained[name] = parameter
    optimizer = torch.optim.AdamW(
        trained.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, N_WARMUP, N_STEPS)
    steps = {"loss": [], "gradient_norm": [], "learning_rate": []}
    for _ in range(N_STEPS):
        loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), MAX_GRADIENT_NORM)
        steps["loss"].append(loss.item())
        steps["gradient_norm"].append(norm.item())
        steps["learning_rate"].append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    expected = {name: torch.tensor(values) for name, values in steps.items()}
    for name, parameter in trained.items():
        expected[f"last.{name}"] = parameter.detach().clone()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    save_file(expected, path, metadata=versions)
    print(fixture.name, len(EXAMPLES), [round(loss, 4) for loss in steps["loss"]])


def main():
    fixtures, folder = map(pathlib.Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIXTURES:
        write(fixtures / name, folder / f"{name}.safetensors")


if __name__ == "__main__":
    main()
