"""Tiny random models of every architecture, with the logits that transformers computes.

Writes crates/trimtab-models/tests/fixtures/architectures/NAME/{config.json, model.safetensors,
expected.safetensors}. Run with transformers 4.57 and torch 2.9 on a CPU:

    python scripts/golden/architectures.py
"""

import json
import math
import pathlib
import shutil

import torch
import transformers
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[2] / "crates/trimtab-models/tests/fixtures/architectures"
VOCAB = 41
PROMPTS = [[3], [5, 1, 0, 40, 17], [(7 * i + 3) % VOCAB for i in range(29)]]

LLAMA = dict(
    vocab_size=VOCAB, hidden_size=24, intermediate_size=20, num_hidden_layers=2,
    num_attention_heads=3, num_key_value_heads=1, max_position_embeddings=64, rms_norm_eps=1e-5,
    tie_word_embeddings=True,
)
GPT = dict(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=32)
DEEPSEEK = dict(
    vocab_size=VOCAB, hidden_size=16, intermediate_size=20, moe_intermediate_size=6,
    num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, n_shared_experts=2,
    n_routed_experts=4, num_experts_per_tok=2, first_k_dense_replace=1, kv_lora_rank=8,
    q_lora_rank=None, qk_rope_head_dim=4, qk_nope_head_dim=6, v_head_dim=5, head_dim=4,
    max_position_embeddings=64, topk_method="greedy", n_group=1, topk_group=1,
    norm_topk_prob=False, routed_scaling_factor=1.0,
)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)


def with_(base, **changes):
    return {**base, **changes}


def linear(model):
    return dict(rope_type="linear", factor=model)


LLAMA3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=16,
)

CASES = {
    "llama_tied": ("Llama", LLAMA),
    "llama_untied_biased": ("Llama", with_(
        LLAMA, tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
        num_key_value_heads=3)),
    "llama_head_dim": ("Llama", with_(LLAMA, head_dim=6)),
    "llama_linear": ("Llama", with_(LLAMA, rope_scaling=linear(4.0), rope_theta=100000.0)),
    "llama_llama3": ("Llama", with_(LLAMA, rope_scaling=LLAMA3)),
    "llama_yarn": ("Llama", with_(LLAMA, rope_scaling=YARN)),
    "llama_yarn_unrounded": ("Llama", with_(
        LLAMA, rope_scaling=with_(YARN, truncate=False, beta_fast=16.0, attention_factor=1.3))),
    "mistral_window": ("Mistral", with_(LLAMA, sliding_window=7)),
    "mistral_full": ("Mistral", with_(LLAMA, sliding_window=None, tie_word_embeddings=False)),
    "qwen2": ("Qwen2", LLAMA),
    "qwen2_window": ("Qwen2", with_(
        LLAMA, use_sliding_window=True, sliding_window=6, max_window_layers=1,
        tie_word_embeddings=False)),
    "qwen3": ("Qwen3", with_(LLAMA, head_dim=10)),
    "qwen3_biased": ("Qwen3", with_(
        LLAMA, head_dim=8, attention_bias=True, tie_word_embeddings=False)),
    "deepseek_v2_lite": ("DeepseekV2", DEEPSEEK),
    "deepseek_v2_yarn": ("DeepseekV2", with_(
        DEEPSEEK, rope_scaling=with_(YARN, mscale=0.707, mscale_all_dim=0.707))),
    "deepseek_v2_groups": ("DeepseekV2", with_(
        DEEPSEEK, q_lora_rank=7, topk_method="group_limited_greedy", n_group=2, topk_group=1,
        routed_scaling_factor=2.5, first_k_dense_replace=0, tie_word_embeddings=True,
        n_shared_experts=1)),
    "starcoder2": ("Starcoder2", dict(
        vocab_size=VOCAB, hidden_size=24, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, max_position_embeddings=64,
        sliding_window=8)),
    "starcoder2_plain": ("Starcoder2", dict(
        vocab_size=VOCAB, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64, use_bias=False,
        sliding_window=None, tie_word_embeddings=False, hidden_act="gelu")),
    "gpt2": ("GPT2", GPT),
    "gpt2_codeparrot": ("GPT2", with_(
        GPT, scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True, n_inner=24,
        activation_function="relu", tie_word_embeddings=False)),
    "gpt2_unscaled": ("GPT2", with_(GPT, scale_attn_weights=False, activation_function="gelu")),
    "gpt_bigcode": ("GPTBigCode", with_(GPT, multi_query=True)),
    "gpt_bigcode_heads": ("GPTBigCode", with_(GPT, multi_query=False, n_inner=24)),
}


def randomize(model):
    """Weights large enough that every branch shows in the logits, the same on every machine."""
    generator = torch.Generator().manual_seed(20240607)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            is_gain = parameter.dim() == 1 and name.endswith("weight")
            width = 0.4 if parameter.dim() == 1 else 1.2 / math.sqrt(min(parameter.shape))
            parameter.copy_(noise * width + (1.0 if is_gain else 0.0))


def warm_attention(model, config):
    """The checkpoints' own code multiplies scores by mscale squared; transformers leaves it out."""
    scaling = getattr(config, "rope_scaling", None) or {}
    weight = scaling.get("mscale_all_dim")
    if config.model_type == "deepseek_v2" and weight:
        mscale = 0.1 * weight * math.log(scaling["factor"]) + 1.0
        for layer in model.model.layers:
            layer.self_attn.scaling *= mscale * mscale


def make(name, family, settings):
    config = getattr(transformers, f"{family}Config")(**settings)
    config._attn_implementation = "eager"
    model_class = f"{family}ForCausalLM" if family != "GPT2" else "GPT2LMHeadModel"
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config).eval().float()
    randomize(model)
    model.tie_weights()
    warm_attention(model, config)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    expected = {}
    with torch.no_grad():
        for idx, prompt in enumerate(PROMPTS):
            ids = torch.tensor(prompt, dtype=torch.int32)
            expected[f"ids.{idx}"] = ids
            expected[f"logits.{idx}"] = model(ids[None].long(), use_cache=False).logits[0].contiguous()
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    save_file(expected, folder / "expected.safetensors", metadata=versions)
    spread = expected["logits.2"].std().item()
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, logits ±{spread:.2f}")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for case, (family, settings) in CASES.items():
        make(case, family, settings)
    total = sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file())
    print(json.dumps({"cases": len(CASES), "bytes": total}))
