"""Writes small PyTorch weight files and what their tensors hold, made by `torch`.

    python3 -m venv venv && venv/bin/pip install torch==2.9.1 numpy==2.4.6
    venv/bin/python scripts/golden/hf_weights.py crates/trimtab-models/tests/golden/hf_weights

Elements are written as the hexadecimal digits of their bits as `f32`, little-endian, or as integers.
"""

import json
import pathlib
import sys
from collections import OrderedDict

import torch

SEED = 20_261


def described(tensor):
    tensor = tensor.detach()
    shape = list(tensor.shape)
    if tensor.is_floating_point():
        elements = tensor.to(torch.float32).contiguous().numpy().astype("<f4").tobytes().hex()
        return {"shape": shape, "floats": elements}
    return {"shape": shape, "integers": tensor.to(torch.int64).flatten().tolist()}


def every_kind():
    base = torch.randn(6, 4)
    return OrderedDict(
        f64=torch.randn(3, dtype=torch.float64),
        f32=base,
        f16=torch.randn(2, 3).half(),
        bf16=torch.randn(5).bfloat16(),
        i64=torch.tensor([-(2**31), 2**31 - 1]),
        i32=torch.tensor([[1, -2], [3, -4]], dtype=torch.int32),
        i16=torch.tensor([-300, 300], dtype=torch.int16),
        i8=torch.tensor([-128, 127], dtype=torch.int8),
        u8=torch.tensor([0, 255], dtype=torch.uint8),
        bool=torch.tensor([True, False, True]),
        scalar=torch.tensor(1.5),
        empty=torch.zeros(0, 4),
        transposed=base.t(),
        every_second_row=base[1::2],
        one_column=base[:, 2],
        one_row=base[3:4],
        permuted=torch.randn(2, 3, 4).permute(2, 0, 1),
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
    )


def main():
    torch.manual_seed(SEED)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    expected = {"torch": torch.__version__}

    tensors = every_kind()
    torch.save(tensors, folder / "every_kind.bin")
    expected["every_kind"] = {name: described(tensor) for name, tensor in tensors.items()}

    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = {"epoch": 3, "loss": 0.5, "state_dict": model.state_dict()}
    saved["optimizer"] = optimizer.state_dict()
    torch.save(saved, folder / "wrapped.pt", pickle_protocol=4)
    expected["wrapped"] = {name: described(tensor) for name, tensor in model.state_dict().items()}

    shards = [{"a.weight": torch.randn(2, 3)}, {"b.weight": torch.randn(3).half()}]
    index = {"metadata": {"total_size": 30}, "weight_map": {}}
    expected["sharded"] = {}
    for number, shard in enumerate(shards, 1):
        name = f"pytorch_model-{number:05}-of-{len(shards):05}.bin"
        torch.save(shard, folder / name)
        for tensor in shard:
            index["weight_map"][tensor] = name
            expected["sharded"][tensor] = described(shard[tensor])
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")

    legacy = {"weight": torch.ones(1)}
    torch.save(legacy, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"f8": torch.ones(2).to(torch.float8_e4m3fn)}, folder / "f8.bin")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
