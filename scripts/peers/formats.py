"""What is compared with what, and how both sides are told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """One of our variants and the peer's files that it is compared with; the fastest of them counts."""

    name: str
    recipe: str
    peer_types: tuple
    aim_decode: float
    has_long_prefill: bool = False


RTN = '{"name":"NAME","steps":[{"method":"rtn","bits":BITS,"group_size":64,"symmetric":SYMMETRIC,"embedding_bits":8,"activations":"ACTIVATIONS"}]}'


def rtn(name, bits, activations):
    """A recipe in JSON that no preset has."""
    symmetric = "true" if bits == 8 else "false"
    values = {"NAME": name, "BITS": str(bits), "SYMMETRIC": symmetric, "ACTIVATIONS": activations}
    recipe = RTN
    for key, value in values.items():
        recipe = recipe.replace(key, value)
    return recipe


Q4 = ("Q4_0", "Q4_K_M")

PAIRS = (
    Pair("f32", "f32", ("F32",), 1.2),
    Pair("f16", "f16", ("F16",), 1.4, has_long_prefill=True),
    Pair("int8", "int8", ("Q8_0",), 1.4, has_long_prefill=True),
    Pair("int8-a8", rtn("int8-a8", 8, "int8"), ("Q8_0",), 1.4),
    Pair("int4-a16", rtn("int4-a16", 4, "float"), Q4, 1.2),
    Pair("int4", "int4", Q4, 2.0),
)

"""Aims that hold for every pair that they are measured for."""
AIM_PREFILL = 1.0
AIM_BATCH = 1.2
AIM_MEMORY = 1.0
AIM_BANDWIDTH = 0.8

"""Formats whose decoding is said as a share of the read bandwidth."""
BANDWIDTH_OF = ("f16", "int8")

"""The pairs that are measured with many sequences at once."""
BATCH_OF = ("f16", "int8", "int4")
