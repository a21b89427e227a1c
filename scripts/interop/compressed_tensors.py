"""Loads compressed-tensors folders with transformers and the package, and computes in 32 bits.

transformers 5.23 expects zero points of another shape than compressed-tensors 0.20 writes, so that it cannot
load what that package itself saves. Such folders are decompressed by the package, module by module.
"""

import json

import torch
from compare import check_folders
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

# The package computes in 32 bits, our engine rounds what it multiplies codes with to 16; measured 6e-5.
TOLERANCE = 2e-4


def load(folder):
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    if config["config_groups"]["group_0"]["weights"]["symmetric"]:
        return AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", dtype=torch.float32).eval()
    print(f"note: {folder.name} has zero points: decompressed by the package, since transformers cannot load them")
    return decompressed(folder, config)


def decompressed(folder, config):
    scheme = QuantizationConfig.model_validate(config).config_groups["group_0"]
    stored = load_file(folder / "model.safetensors")
    weights = {name: tensor.float() for name, tensor in stored.items() if tensor.is_floating_point()}
    for name in stored:
        module, _, part = name.rpartition(".")
        if part != "weight_packed":
            continue
        parts = {key: stored[f"{module}.{key}"] for key in PackedQuantizationCompressor.compression_param_names(scheme)}
        parts["weight_scale"] = parts["weight_scale"].float()
        weights[f"{module}.weight"] = PackedQuantizationCompressor.decompress(parts, scheme)["weight"]
        del weights[f"{module}.weight_scale"]
    model_config = AutoConfig.from_pretrained(folder)
    del model_config.quantization_config
    model = AutoModelForCausalLM.from_config(model_config, dtype=torch.float32)
    model.load_state_dict(weights, strict=not model_config.tie_word_embeddings)
    return model.eval()


check_folders(load, TOLERANCE)
