"""Writes the expected values of GGUF block dequantisation, computed by the `gguf` package.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 numpy==2.4.6
    venv/bin/python scripts/golden/gguf_blocks.py crates/trimtab-models/tests/golden/gguf_blocks.json

Codes and packed scales are random bytes; the f16 scales are random small numbers, because random
bytes there would often be infinite. Floats are written as the hexadecimal digits of their bits,
little-endian, so that comparing is exact.
"""

import json
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

SEED = 20_260
N_BLOCKS = 3
# Byte offsets of the f16 values of a block.
HALF_OFFSETS = {
    T.Q8_0: [0],
    T.Q4_0: [0],
    T.Q4_1: [0, 2],
    T.Q5_0: [0],
    T.Q5_1: [0, 2],
    T.IQ4_NL: [0],
    T.Q2_K: [80, 82],
    T.Q3_K: [108],
    T.Q4_K: [0, 2],
    T.Q5_K: [0, 2],
    T.Q6_K: [208],
}
QUANTIZED = [T.F32, T.F16, T.Q8_0, T.Q4_0, T.Q4_1]


def random_blocks(rng, ggml_type):
    _, n_bytes = gguf.GGML_QUANT_SIZES[ggml_type]
    if ggml_type == T.F32:
        return rng.normal(size=32).astype(np.float32).view(np.uint8)
    if ggml_type == T.F16:
        return rng.normal(size=32).astype(np.float16).view(np.uint8)
    if ggml_type == T.BF16:
        # The upper halves of f32 numbers.
        return rng.normal(size=32).astype(np.float32).view(np.uint8).reshape(-1, 4)[:, 2:].ravel()
    blocks = rng.integers(0, 256, size=(N_BLOCKS, n_bytes), dtype=np.uint8)
    for offset in HALF_OFFSETS[ggml_type]:
        halves = rng.normal(scale=0.02, size=(N_BLOCKS, 1)).astype(np.float16)
        blocks[:, offset : offset + 2] = halves.view(np.uint8)
    return blocks.ravel()


def main():
    rng = np.random.default_rng(SEED)
    dequantized = []
    for ggml_type in [T.F32, T.F16, T.BF16, *HALF_OFFSETS]:
        stored = random_blocks(rng, ggml_type)
        elements = quants.dequantize(np.ascontiguousarray(stored), ggml_type)
        dequantized.append(
            {
                "ggml_type": ggml_type.name,
                "code": int(ggml_type),
                "stored": stored.tobytes().hex(),
                "elements": elements.astype("<f4").tobytes().hex(),
            }
        )
    quantized = []
    elements = rng.normal(size=160).astype(np.float32)
    elements[32:64] = 0
    # Blocks off centre and blocks of one sign, where a minimum matters.
    elements[64:96] = 0.25
    elements[96:128] += 5
    for ggml_type in QUANTIZED:
        quantized.append(
            {
                "ggml_type": ggml_type.name,
                "code": int(ggml_type),
                "elements": elements.astype("<f4").tobytes().hex(),
                "stored": quants.quantize(elements, ggml_type).tobytes().hex(),
            }
        )
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump({"dequantized": dequantized, "quantized": quantized}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
