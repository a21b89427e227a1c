"""Prints what decoding reads of a GGUF file, as JSON. A program of its own: it maps the whole file, and the
memory of the program that starts others must stay below theirs, or the system counts it as theirs."""

import json
import sys

import gguf


def main():
    """All weights are read for a token, but an embedding table that is not also the output head."""
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(sys.argv[1]).tensors}
    unread = tensors["token_embd.weight"] if "output.weight" in tensors else None
    read = sum(int(tensor.n_bytes) for tensor in tensors.values())
    print(
        json.dumps(
            {
                "n_bytes_per_token": read - (int(unread.n_bytes) if unread else 0),
                "n_unread_values": int(unread.n_elements) if unread else 0,
            }
        )
    )


if __name__ == "__main__":
    main()
