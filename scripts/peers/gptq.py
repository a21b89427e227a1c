"""GPTQ of a whole model in PyTorch on the processor, as its paper has it (arXiv 2210.17323).

    gptq.py FOLDER GGUF_FILE TEXT N_SEQUENCES LENGTH N_THREADS [--blocks N]

Block by block: inputs of every linear layer are caught by hooks, layers that share inputs share a
Hessian, columns are rounded in activation order in lazy blocks of 128, and the next block sees what the
rounded one leaves. 4 bits, groups of 128 on static grids with zero points, 32-bit floats.
Prints one JSON document: seconds of catching inputs and of solving, and the errors of the layers.
"""

import argparse
import json
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

BITS, GROUP, BLOCK, DAMPING = 4, 128, 128, 0.01
LAST_CODE = 2**BITS - 1


class Enough(Exception):
    """Raised to leave the model when the first block's inputs are known."""


def grids(weight):
    """Scales and zero points, both `[n_groups, d_out]`, of groups of columns."""
    scales, zeros = [], []
    for start in range(0, weight.shape[1], GROUP):
        part = weight[:, start : start + GROUP]
        low, high = part.min(1).values.clamp(max=0), part.max(1).values.clamp(min=0)
        scale = ((high - low) / LAST_CODE).clamp(min=1e-9)
        scales.append(scale)
        zeros.append((-low / scale).round())
    return torch.stack(scales), torch.stack(zeros)


def inverse_factor(hessian):
    """Upper Cholesky factor of the inverse of the damped Hessian."""
    damped = hessian.clone()
    damped.diagonal().add_(DAMPING * hessian.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True)


def rounded(weight, order, factor):
    """The weight on its grid; `order` and `factor` belong to the inputs."""
    scales, zeros = grids(weight)
    group_of = (order // GROUP).tolist()
    rest = weight[:, order].clone()
    done = torch.zeros_like(rest)
    for start in range(0, rest.shape[1], BLOCK):
        end = min(start + BLOCK, rest.shape[1])
        part, local = rest[:, start:end].clone(), factor[start:end, start:end]
        errors = torch.zeros_like(part)
        for idx in range(end - start):
            column = part[:, idx]
            scale, zero = scales[group_of[start + idx]], zeros[group_of[start + idx]]
            code = ((column / scale).round() + zero).clamp(0, LAST_CODE)
            done[:, start + idx] = (code - zero) * scale
            errors[:, idx] = (column - done[:, start + idx]) / local[idx, idx]
            part[:, idx:] -= errors[:, idx, None] * local[idx, None, idx:]
        rest[:, end:] -= errors @ factor[start:end, end:]
    result = torch.empty_like(done)
    result[:, order] = done
    return result


class Inputs:
    """The Hessian of what goes into a layer: 2/n · Σ x xᵀ."""

    def __init__(self):
        self.sum, self.n_tokens = None, 0

    def hook(self, _module, args, _output):
        tokens = args[0].reshape(-1, args[0].shape[-1])
        product = tokens.T @ tokens
        self.sum = product if self.sum is None else self.sum.add_(product)
        self.n_tokens += tokens.shape[0]

    def hessian(self):
        return self.sum * (2.0 / self.n_tokens)


# Layers with the same inputs, in the order of the block.
STAGES = [
    ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    ["self_attn.o_proj"],
    ["mlp.gate_proj", "mlp.up_proj"],
    ["mlp.down_proj"],
]


def first_inputs(model, sequences):
    """Inputs of the first block, and what else it is called with."""
    caught, extra = [], {}

    def catch(_module, args, kwargs):
        caught.append(args[0] if args else kwargs.pop("hidden_states"))
        extra.update(kwargs)
        raise Enough

    handle = model.model.layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    for ids in sequences:
        try:
            model(ids[None], use_cache=False)
        except Enough:
            pass
    handle.remove()
    return caught, extra


def run_block(block, hidden, extra):
    out = block(hidden, **extra)
    return out[0] if isinstance(out, tuple) else out


def compress(model, sequences, n_blocks):
    """Rounds the first blocks; returns seconds and errors."""
    seconds, errors = {"inputs": 0.0, "solver": 0.0}, {}
    hidden, extra = first_inputs(model, sequences)
    for block_idx, block in enumerate(model.model.layers[:n_blocks]):
        clock = time.perf_counter()
        taps = [Inputs() for _ in STAGES]
        hooks = [
            block.get_submodule(names[0]).register_forward_hook(tap.hook)
            for names, tap in zip(STAGES, taps)
        ]
        for part in hidden:
            run_block(block, part, extra)
        for hook in hooks:
            hook.remove()
        seconds["inputs"] += time.perf_counter() - clock
        clock = time.perf_counter()
        for names, tap in zip(STAGES, taps):
            hessian = tap.hessian()
            order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
            factor = inverse_factor(hessian[order][:, order])
            for name in names:
                weight = block.get_submodule(name).weight
                new = rounded(weight.data, order, factor)
                delta = weight.data - new
                error = ((delta @ hessian) * delta).sum().item()
                errors[f"model.layers.{block_idx}.{name}"] = error
                weight.data.copy_(new)
        seconds["solver"] += time.perf_counter() - clock
        clock = time.perf_counter()
        hidden = [run_block(block, part, extra) for part in hidden]
        seconds["inputs"] += time.perf_counter() - clock
    return seconds, errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("gguf_file")
    parser.add_argument("text")
    parser.add_argument("n_sequences", type=int)
    parser.add_argument("length", type=int)
    parser.add_argument("n_threads", type=int)
    parser.add_argument("--blocks", type=int, help="only the first N blocks")
    options = parser.parse_args()
    torch.set_num_threads(options.n_threads)
    torch.set_grad_enabled(False)
    places = {"gguf_file": options.gguf_file}
    tokenizer = AutoTokenizer.from_pretrained(options.folder, **places)
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32, **places).eval()
    with open(options.text, encoding="utf-8") as file:
        ids = torch.tensor(tokenizer(file.read(), add_special_tokens=False)["input_ids"])
    n_tokens = options.n_sequences * options.length
    if len(ids) < n_tokens:
        raise SystemExit(f"{options.text} has {len(ids)} tokens, not {n_tokens}")
    sequences = list(ids[:n_tokens].reshape(options.n_sequences, options.length))
    clock = time.perf_counter()
    seconds, errors = compress(model, sequences, options.blocks)
    seconds["total"] = time.perf_counter() - clock
    n_blocks = len(model.model.layers) if options.blocks is None else options.blocks
    print(json.dumps({"seconds": seconds, "n_blocks": n_blocks, "errors": errors}))


if __name__ == "__main__":
    main()
