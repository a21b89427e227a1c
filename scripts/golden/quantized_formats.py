"""Writes weights packed by the packages that define the quantised formats, and what they stand for.

    python3 -m venv venv && venv/bin/pip install gptqmodel==7.7.0 compressed-tensors==0.20.0
    venv/bin/python -P scripts/golden/quantized_formats.py crates/trimtab-models/tests/golden/quantized_formats.json

(`-P`, because `statistics.py` beside this file would hide the module of that name.)

Codes, scales and zero points are random; the packages pack them and dequantise what they packed,
with scales in 32-bit floats, so that comparing is exact. AWQ is packed and dequantised by the AWQ code of
gptqmodel, which descends from AutoAWQ's; AutoAWQ itself cannot be installed beside current packages.
`weight_g_idx` was removed from compressed-tensors in 2026; no case has it.
Tensors are written as the hexadecimal digits of their little-endian bytes.
"""

import json
import platform
import sys

import compressed_tensors
import gptqmodel
import numpy as np
import torch
from compressed_tensors.compressors.naive_quantized import IntQuantizationCompressor
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization import QuantizeConfig
from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm, pack_awq
from gptqmodel.utils.model import (
    convert_gptq_v1_to_v2_format_module,
    convert_gptq_v2_to_v1_format_module,
)

SEED = 20_261
generator = torch.Generator().manual_seed(SEED)


def integers(low, high, *shape):
    return torch.randint(low, high, shape, generator=generator, dtype=torch.int32)


def random_scales(*shape):
    """Positive and exact in 16 bits."""
    scales = torch.rand(shape, generator=generator) * 0.02 + 0.001
    return scales.to(torch.float16).to(torch.float32)


def stored(tensor):
    names = {torch.int32: "i32", torch.int64: "i64", torch.int8: "i8", torch.float16: "f16", torch.float32: "f32"}
    values = np.ascontiguousarray(tensor.detach().numpy())
    return {"type": names[tensor.dtype], "shape": list(tensor.shape), "bytes": values.tobytes().hex()}


def case(name, config, tensors, weight):
    return {
        "name": name,
        "config": config,
        "tensors": {part: stored(tensor) for part, tensor in tensors.items()},
        "weight": stored(weight.to(torch.float32).contiguous()),
    }


def torch_linear(bits, group_size, d_in, d_out, desc_act):
    return TorchLinear(
        bits=bits,
        group_size=group_size,
        sym=False,
        desc_act=desc_act,
        in_features=d_in,
        out_features=d_out,
        bias=False,
        pack_dtype=torch.int32,
        register_buffers=True,
    )


def gptq(name, bits, group_size, version, desc_act=False, sym=False, zero_low=1):
    """Packed by `pack_original`, stored in `version`, and dequantised from what was stored."""
    d_in, d_out = 64 if group_size == 32 else 32, 32
    group = d_in if group_size == -1 else group_size
    n_groups = d_in // group
    g_idx = torch.arange(d_in, dtype=torch.int32) // group
    if desc_act:
        g_idx = g_idx[torch.randperm(d_in, generator=generator)]
    codes = integers(0, 2**bits, d_out, d_in)
    zeros = integers(zero_low, 2**bits, d_out, n_groups)
    if sym:
        zeros = torch.full_like(zeros, 2 ** (bits - 1))
    scales = random_scales(d_out, n_groups)
    linear = torch.nn.Linear(d_in, d_out, bias=False)
    columns = g_idx.long()
    linear.weight.data = scales[:, columns] * (codes - zeros[:, columns])
    packed = torch_linear(bits, group_size, d_in, d_out, desc_act)
    packed.pack_original(linear, scales, zeros.float(), g_idx)
    if version == "gptq":
        quantize_config = QuantizeConfig(bits=bits, group_size=group_size)
        convert_gptq_v2_to_v1_format_module(module=packed, quantize_config=quantize_config)
    tensors = {part: getattr(packed, part).clone() for part in ("qweight", "qzeros", "scales", "g_idx")}

    read = torch_linear(bits, group_size, d_in, d_out, desc_act)
    for part, tensor in tensors.items():
        setattr(read, part, tensor.clone())
    if version == "gptq":
        convert_gptq_v1_to_v2_format_module(read, bits=bits, pack_dtype=torch.int32)
    read.scales = read.scales.float()
    read.post_init()
    weight = read.dequantize_weight().T
    assert torch.equal(weight, linear.weight.data), f"{name}: the package does not read what it wrote"
    config = {
        "quant_method": "gptq",
        "bits": bits,
        "group_size": group_size,
        "desc_act": desc_act,
        "sym": sym,
        "checkpoint_format": version,
        "pack_dtype": "int32",
    }
    return case(name, config, tensors, weight)


def awq():
    d_in, d_out, group_size = 64, 24, 32
    codes, zeros = integers(0, 16, d_in, d_out), integers(0, 16, d_in // group_size, d_out)
    scales = random_scales(d_in // group_size, d_out)
    qweight, qzeros = pack_awq(codes, zeros, 4)
    weight = dequantize_gemm(qweight=qweight, qzeros=qzeros, scales=scales, bits=4, group_size=group_size)
    config = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": group_size,
        "version": "gemm",
        "zero_point": True,
        "modules_to_not_convert": None,
    }
    return case("awq", config, {"qweight": qweight, "qzeros": qzeros, "scales": scales.half()}, weight.T)


def compressed(name, compressor, packing, bits, strategy, symmetric, group_size=None):
    d_out, d_in = 10, 64
    args = QuantizationArgs(
        num_bits=bits, type="int", symmetric=symmetric, strategy=strategy, group_size=group_size
    )
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    n_groups = d_in // group_size if group_size else 1
    middle = 2 ** (bits - 1)
    shape = (1,) if strategy == "tensor" else (d_out, n_groups)
    scales = random_scales(*shape)
    zeros = integers(-middle, middle, *shape).to(torch.int8)
    if symmetric:
        zeros = torch.zeros_like(zeros)
    codes = integers(-middle, middle, d_out, d_in)
    repeats = d_in if strategy == "tensor" else d_in // n_groups
    spread = (lambda t: t) if strategy == "tensor" else (lambda t: t.repeat_interleave(repeats, dim=1))
    float_weight = (codes - spread(zeros.int())) * spread(scales)
    state = {"weight": float_weight, "weight_scale": scales, "weight_zero_point": zeros}
    tensors = compressor.compress(state, scheme)
    weight = compressor.decompress(tensors, scheme)["weight"]
    assert torch.equal(weight, float_weight), f"{name}: the package does not read what it wrote"
    weights = json.loads(args.model_dump_json())
    config = {
        "quant_method": "compressed-tensors",
        "format": packing,
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head"],
    }
    tensors["weight_scale"] = tensors["weight_scale"].half()
    return case(name, config, tensors, weight)


def main(path):
    pack, naive = PackedQuantizationCompressor, IntQuantizationCompressor
    words, one_byte = "pack-quantized", "int-quantized"
    cases = [
        gptq("gptq, 4 bits, symmetric, activation order", 4, 16, "gptq", desc_act=True, sym=True),
        gptq("gptq, 4 bits, zero points 0", 4, 16, "gptq", zero_low=0),
        gptq("gptq, 3 bits", 3, 16, "gptq"),
        gptq("gptq, 3 bits, zero points 0", 3, 32, "gptq", zero_low=0),
        gptq("gptq_v2, 2 bits, activation order", 2, 16, "gptq_v2", desc_act=True, zero_low=0),
        gptq("gptq, 8 bits, one group a row", 8, -1, "gptq", zero_low=0),
        awq(),
        compressed("4 bits, groups", pack, words, 4, "group", True, 32),
        compressed("4 bits, groups with zero points", pack, words, 4, "group", False, 32),
        compressed("8 bits, channels with zero points", pack, words, 8, "channel", False),
        compressed("3 bits, one scale", pack, words, 3, "tensor", True),
        compressed("4 bits, one scale and zero point", pack, words, 4, "tensor", False),
        compressed("bytes, channels", naive, one_byte, 8, "channel", True),
        compressed("bytes, channels with zero points", naive, one_byte, 8, "channel", False),
    ]
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gptqmodel": gptqmodel.__version__,
        "compressed-tensors": compressed_tensors.__version__,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"versions": versions, "seed": SEED, "cases": cases}, file, indent=1)
        file.write("\n")


main(sys.argv[1])
