"""Writes files that fuzzing starts from: small, well-formed, one folder a target.

    python3 fuzz/seeds.py FOLDER
"""

import json
import pathlib
import struct
import sys
import zipfile

GOLDEN = pathlib.Path(__file__).parent.parent / "crates/trimtab-models/tests/golden/hf_weights"


def gguf_text(text):
    return struct.pack("<Q", len(text)) + text.encode()


def gguf_file():
    """Values of every type, an array, an F32 and a Q8_0 tensor."""
    packed = [(0, "B", 1), (1, "b", -1), (2, "H", 2), (3, "h", -2), (4, "I", 3), (5, "i", -3)]
    packed += [(6, "f", 0.5), (7, "?", True), (10, "Q", 4), (11, "q", -4), (12, "d", 0.25)]
    values = [struct.pack("<I" + form, code, value) for code, form, value in packed]
    values.append(struct.pack("<I", 8) + gguf_text("llama"))
    values.append(struct.pack("<IIQ", 9, 5, 2) + struct.pack("<ii", 1, 2))
    values.append(struct.pack("<IIQ", 9, 8, 2) + gguf_text("a") + gguf_text("b"))
    metadata = b"".join(gguf_text(f"key.{idx}") + value for idx, value in enumerate(values))
    tensors = gguf_text("a") + struct.pack("<IQQIQ", 2, 4, 2, 0, 0)
    tensors += gguf_text("b") + struct.pack("<IQIQ", 1, 32, 8, 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, len(values)) + metadata + tensors
    head += bytes(-len(head) % 32)
    return head + struct.pack("<8f", *range(8)) + b"\x00\x3c" + bytes(range(32))


def safetensors_file():
    entries, data = {"__metadata__": {"format": "pt"}}, b""
    for dtype, width in {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1}.items():
        n_bytes = 2 * width
        offsets = [len(data), len(data) + n_bytes]
        entries[dtype] = {"dtype": dtype, "shape": [2, 1], "data_offsets": offsets}
        data += bytes([1] * n_bytes)
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + data


def sparse_weight():
    """2:4 in 16-bit floats, three groups: six values, then their places, two bits each."""
    values = struct.pack("<6e", 0.5, -1.0, 2.0, 0.25, 0.0, 3.0)
    places = 0b11_00_11_10_01_00
    return bytes([1, 2, 3, 3]) + values + places.to_bytes(2, "little")


def seeds():
    yield "gguf", "small", gguf_file()
    yield "safetensors", "small", safetensors_file()
    yield "sparse", "small", sparse_weight()
    shards = {"metadata": {"total_size": 2}, "weight_map": {"a": "a", "b": "b"}}
    yield "shard_index", "small", json.dumps(shards).encode()
    for path in [*GOLDEN.glob("*.bin"), *GOLDEN.glob("*.pt")]:
        yield "torch", path.name, path.read_bytes()
        if not zipfile.is_zipfile(path):
            continue
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith("/data.pkl"):
                    yield "pickle", path.name, archive.read(member)


def main():
    for target, name, content in seeds():
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
