"""Writes two small PEFT adapters with what they make of their base models' weights.

    python3 -m venv venv
    venv/bin/pip install torch==2.9.1 transformers==4.57.6 peft==0.21.2 safetensors==0.8.0
    venv/bin/python -P scripts/golden/peft_adapter.py crates/trimtab-models/tests/golden/peft

`-P` keeps the neighbouring `statistics.py` from being taken for the standard library's.

The base models are random: a Llama (ranks and alphas by pattern, rank-stabilised scaling) and a
GPT-2, whose linear layers are stored as [d_in, d_out]. Beside each adapter, `expected.safetensors`
has, of every adapted weight: `base.` and `merged.` as the checkpoint stores them, and `x.` and `y.`,
inputs of the layer and what it makes of them without its bias.
"""

import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

SEED = 20_261
PREFIX = "base_model.model."


def tiny_llama():
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            vocab_size=32,
        )
    )


def tiny_gpt2():
    return GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=32, n_positions=16))


ADAPTERS = {
    "llama": (
        tiny_llama,
        LoraConfig(
            r=2,
            lora_alpha=3,
            use_rslora=True,
            target_modules=["q_proj", "v_proj", "down_proj"],
            rank_pattern={"layers.1.self_attn.q_proj": 3, r"layers\.\d+\.mlp\.down_proj": 1},
            alpha_pattern={"v_proj": 7, "^model.layers.0.mlp.down_proj": 5},
            task_type="CAUSAL_LM",
        ),
    ),
    "gpt2": (
        tiny_gpt2,
        LoraConfig(
            r=4, lora_alpha=8, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM"
        ),
    ),
}


def write(folder, make_model, config):
    base = make_model().eval()
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # The second factor begins as zeros, which would show nothing.
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()

    expected = {}
    layers = {
        name.removeprefix(PREFIX): module
        for name, module in model.named_modules()
        if hasattr(module, "lora_A")
    }
    with torch.no_grad():
        for name, layer in layers.items():
            x = torch.randn(3, layer.in_features)
            y = layer(x)
            bias = before.get(f"{name}.bias")
            expected[f"x.{name}"] = x
            expected[f"y.{name}"] = y if bias is None else y - bias
    merged = model.merge_and_unload().state_dict()
    for name in layers:
        expected[f"base.{name}"] = before[f"{name}.weight"].contiguous()
        expected[f"merged.{name}"] = merged[f"{name}.weight"].contiguous()
    save_file(expected, folder / "expected.safetensors")


def main():
    torch.manual_seed(SEED)
    for name, (make_model, config) in ADAPTERS.items():
        write(pathlib.Path(sys.argv[1]) / name, make_model, config)


if __name__ == "__main__":
    main()
