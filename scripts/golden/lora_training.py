"""Trains small PEFT adapters for some steps and writes what every step came to.

    python3 -m venv venv
    venv/bin/pip install torch==2.9.1 transformers==4.57.6 peft==0.21.2 safetensors==0.8.0
    venv/bin/python -P scripts/golden/lora_training.py \
        crates/trimtab-models/tests/fixtures/architectures crates/trimtab-compress/tests/golden/lora

`-P` keeps the neighbouring `statistics.py` from being taken for the standard library's.

The base models are the fixtures of the architectures. Each folder has the adapter that training began
with, as PEFT writes it, and `expected.safetensors`: the factors afterwards under `last.`, and under
`loss`, `gradient_norm` and `learning_rate` one number a step. All examples of EXAMPLES are learned in
every step, those of a prompt with the prompt masked; the loss is the mean over learned tokens.
"""

import json
import pathlib
import shutil
import sys

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

SEED = 20_264
PREFIX = "base_model.model."
N_STEPS = 6
N_WARMUP = 2
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.1
MAX_GRADIENT_NORM = 1.0

# Tokens, and the first that is learned; tokens are below the vocabulary of every fixture.
EXAMPLES = [
    ([(7 * i + 3) % 41 for i in range(21)], 5),
    ([(5 * i * i + 1) % 41 for i in range(9)], 0),
    ([11, 2, 40, 8], 3),
]

ADAPTERS = {
    "llama_tied": {"target_modules": ["q_proj", "v_proj"], "use_rslora": True},
    "llama_untied_biased": {"target_modules": ["o_proj", "gate_proj", "lm_head"]},
    "qwen2": {"target_modules": ["k_proj", "down_proj"]},
    "qwen3_biased": {"target_modules": ["q_proj", "k_proj"]},
    "mistral_window": {"target_modules": ["v_proj", "up_proj"]},
    "starcoder2": {"target_modules": ["q_proj", "c_fc"]},
    "gpt2": {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True},
}


def loss_of(model):
    """Mean over learned tokens; each example stands alone."""
    total, n_learned = 0.0, 0
    for ids, first_learned in EXAMPLES:
        first = max(first_learned, 1)
        ids = torch.tensor(ids)
        scores = model(input_ids=ids[None]).logits[0, first - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(scores, ids[first:], reduction="sum")
        n_learned += len(ids) - first
    return total / n_learned


def factors(model):
    return {
        name.removeprefix(PREFIX).replace(".default.weight", ""): parameter
        for name, parameter in model.named_parameters()
        if "lora_" in name
    }


def write(fixture, folder, settings):
    base = AutoModelForCausalLM.from_pretrained(
        fixture, dtype=torch.float32, attn_implementation="eager"
    )
    config = LoraConfig(r=3, lora_alpha=6, task_type="CAUSAL_LM", **settings)
    model = get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, parameter in factors(model).items():
            # The second factor begins as zeros, which would leave the first without a gradient.
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    config_file = folder / "adapter_config.json"
    saved = json.loads(config_file.read_text())
    saved["base_model_name_or_path"] = fixture.name
    saved["target_modules"] = sorted(saved["target_modules"])
    config_file.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")

    trained = list(factors(model).values())
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = get_cosine_schedule_with_warmup(optimizer, N_WARMUP, N_STEPS)
    steps = {"loss": [], "gradient_norm": [], "learning_rate": []}
    for _ in range(N_STEPS):
        loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, MAX_GRADIENT_NORM)
        steps["loss"].append(loss.item())
        steps["gradient_norm"].append(norm.item())
        steps["learning_rate"].append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    expected = {name: torch.tensor(values) for name, values in steps.items()}
    for name, parameter in factors(model).items():
        expected[f"last.{name}"] = parameter.detach().clone()
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }
    save_file(expected, folder / "expected.safetensors", metadata=versions)
    print(fixture.name, [round(loss, 4) for loss in steps["loss"]])


def main():
    fixtures, out = map(pathlib.Path, sys.argv[1:])
    torch.manual_seed(SEED)
    for name, settings in ADAPTERS.items():
        write(fixtures / name, out / name, settings)


if __name__ == "__main__":
    main()
