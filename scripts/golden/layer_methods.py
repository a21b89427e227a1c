"""Writes small layers and what every compression method makes of them, computed with numpy.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6
    venv/bin/python scripts/golden/layer_methods.py crates/trimtab-compress/tests/golden/layer_methods.json

All in float64, and by other routes than the Rust code: errors are spread with the inverse of the
Hessian itself, from which each treated column is eliminated (optimal brain surgeon as in
arXiv 2210.17323, equations 2 and 3), without Cholesky factors; sums are not blocked.
Inputs are multiples of 1/64, so that they and the sums of their products are exact.
"""

import json
import sys

import numpy as np

SEED = 23_048
BLOCK = 128
DAMPING = 0.01
TIE = 1e-7


class Tie(Exception):
    """Rounding errors of sums decide a code: not a case to compare."""


def layer(rng, d_out, d_in, n_tokens):
    inputs = np.round(rng.normal(size=(n_tokens, d_in)) * rng.uniform(0.3, 3, d_in) * 64) / 64
    mixing = np.eye(d_in) + np.diag(np.full(d_in - 1, 0.5), 1)
    inputs = np.round(inputs @ mixing * 64) / 64
    weight = rng.normal(size=(d_out, d_in)).astype(np.float32).astype(np.float64)
    return weight, inputs


def grid_of_range(low, high, bits, symmetric):
    largest = 2**bits - 1
    scale = (high - low) / largest
    return scale, float(2 ** (bits - 1)) if symmetric else np.round(-low / scale)


def code(w, grid, bits):
    return np.clip(np.round(w / grid[0]) + grid[1], 0, 2**bits - 1)


def is_tie(w, grid):
    """The largest weight of a symmetric group lies between two codes, and the last bit decides."""
    return abs((w / grid[0]) % 1 - 0.5) < TIE


def value(code, grid):
    return (code - grid[1]) * grid[0]


def find_grid(group, bits, symmetric, search):
    low, high = min(group.min(), 0.0), max(group.max(), 0.0)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    if low == 0 and high == 0:
        low, high = -1.0, 1.0
    if search == "full_range":
        return grid_of_range(low, high, bits, symmetric)
    power = {"squared_error": 2.0, "power_error": 2.4}[search]
    grids = [grid_of_range(s * low, s * high, bits, symmetric) for s in 1 - np.arange(80) / 100]
    errors = [(np.abs(value(code(group, g, bits), g) - group) ** power).sum() for g in grids]
    return grids[int(np.argmin(errors))]


def groups_of(d_in, grouping):
    size = grouping if isinstance(grouping, int) else d_in
    return [slice(start, min(start + size, d_in)) for start in range(0, d_in, size)]


def grids_of(weight, bits, symmetric, grouping, search):
    """[d_out][n_groups] pairs"""
    if grouping == "tensor":
        return [[find_grid(weight.ravel(), bits, symmetric, search)] for _ in weight]
    groups = groups_of(weight.shape[1], grouping)
    return [[find_grid(row[g], bits, symmetric, search) for g in groups] for row in weight]


def codes_json(codes, grids):
    return {
        "codes": codes.astype(int).tolist(),
        "scales": [[float(g[0]) for g in row] for row in grids],
        "zero_points": [[int(g[1]) for g in row] for row in grids],
    }


def dequantized(codes, grids, group_from_column):
    out = np.zeros_like(codes)
    for i, row in enumerate(codes):
        for j, c in enumerate(row):
            out[i, j] = value(c, grids[i][group_from_column[j]])
    return out


def output_error(weight, changed, hessian):
    difference = weight - changed
    return float(np.trace(difference @ hessian @ difference.T))


def rounded(weight, hessian, bits, symmetric, grouping, search):
    grids = grids_of(weight, bits, symmetric, grouping, search)
    size = grouping if isinstance(grouping, int) else weight.shape[1]
    columns = [j // size for j in range(weight.shape[1])]
    codes = np.array(
        [[code(w, grids[i][columns[j]], bits) for j, w in enumerate(row)] for i, row in enumerate(weight)]
    )
    out = codes_json(codes, grids)
    out["error"] = output_error(weight, dequantized(codes, grids, columns), hessian)
    return out


def damped_inverse(hessian, order):
    damped = hessian + DAMPING * np.diag(hessian).mean() * np.eye(len(hessian))
    return np.linalg.inv(damped[np.ix_(order, order)])


def eliminate(inverse, step):
    """The inverse without the row and column of `step`."""
    return inverse - np.outer(inverse[:, step], inverse[step]) / inverse[step, step]


def gptq(weight, hessian, bits, symmetric, grouping, search, order, static):
    d_out, d_in = weight.shape
    columns = np.arange(d_in)
    if order == "activation":
        columns = np.argsort(-np.diag(hessian), kind="stable")
    size = grouping if isinstance(grouping, int) else d_in
    static = static or grouping == "tensor"
    grids = grids_of(weight, bits, symmetric, grouping, search) if static else [[None] * len(groups_of(d_in, grouping)) for _ in weight]
    inverse = damped_inverse(hessian, columns)
    present, codes = weight[:, columns].copy(), np.zeros((d_out, d_in))
    group_from_column = np.zeros(d_in, dtype=int)
    for step, column in enumerate(columns):
        group = column // size if static else step // size
        group_from_column[column] = group
        for i in range(d_out):
            if not static and step % size == 0:
                grids[i][group] = find_grid(present[i, step : step + size], bits, symmetric, search)
            w = present[i, step]
            if is_tie(w, grids[i][group]) and step > 0:
                raise Tie
            codes[i, column] = code(w, grids[i][group], bits)
            error = w - value(codes[i, column], grids[i][group])
            present[i] -= error / inverse[step, step] * inverse[step]
        inverse = eliminate(inverse, step)
    out = codes_json(codes, grids)
    out["error"] = output_error(weight, dequantized(codes, grids, group_from_column), hessian)
    out["group_idx"] = group_from_column.tolist()
    return out


def lowest_removed(scores, n):
    keep = np.ones(len(scores), dtype=bool)
    keep[np.argsort(scores, kind="stable")[:n]] = False
    return keep


def mask_of(scores, sparsity, scope="row"):
    d_out, d_in = scores.shape
    if "kept" in sparsity:
        kept, of = sparsity["kept"], sparsity["of"]
        rows = scores.reshape(-1, of)
        return np.array([lowest_removed(row, of - kept) for row in rows]).reshape(d_out, d_in)
    if scope == "layer":
        return lowest_removed(scores.ravel(), int(scores.size * sparsity["share"])).reshape(d_out, d_in)
    return np.array([lowest_removed(row, int(d_in * sparsity["share"])) for row in scores])


def mask_json(mask, weight, hessian):
    return {
        "keeps": mask.astype(int).tolist(),
        "error": output_error(weight, np.where(mask, weight, 0), hessian),
    }


def sparsegpt(weight, hessian, sparsity):
    """A weight's cost is w² over its entry of the inverse that is left when its column's turn comes."""
    d_in = weight.shape[1]
    left, inverse = [], damped_inverse(hessian, np.arange(d_in))
    for step in range(d_in):
        left.append(inverse[step, step])
        inverse = eliminate(inverse, step)
    left = np.array(left)
    inverse = damped_inverse(hessian, np.arange(d_in))
    present, mask = weight.copy(), np.ones(weight.shape, dtype=bool)
    for step in range(d_in):
        if "share" in sparsity and step % BLOCK == 0:
            block = slice(step, min(step + BLOCK, d_in))
            costs = present[:, block] ** 2 / left[block]
            mask[:, block] = costs > np.sort(costs.ravel())[int(costs.size * sparsity["share"])]
        if "kept" in sparsity and step % sparsity["of"] == 0:
            group = slice(step, step + sparsity["of"])
            mask[:, group] = mask_of(present[:, group] ** 2 / left[group], sparsity)
        for i in range(len(weight)):
            if not mask[i, step]:
                present[i] -= present[i, step] / inverse[step, step] * inverse[step]
                present[i, step] = 0
        inverse = eliminate(inverse, step)
    return {
        "keeps": mask.astype(int).tolist(),
        "weight": present.tolist(),
        "error": output_error(weight, present, hessian),
    }


def awq(weights, inputs, hessian, bits, symmetric, grouping):
    mean_abs = np.abs(inputs).mean(axis=0)
    best = None
    for exponent in np.arange(20) / 20:
        scales = np.maximum(mean_abs**exponent, 1e-4)
        scales = scales / np.sqrt(scales.max() * scales.min())
        error = 0.0
        for weight in weights:
            scaled = weight * scales
            grids = grids_of(scaled, bits, symmetric, grouping, "full_range")
            columns = [j // grouping for j in range(weight.shape[1])]
            codes = np.array(
                [[code(w, grids[i][columns[j]], bits) for j, w in enumerate(row)] for i, row in enumerate(scaled)]
            )
            error += output_error(weight, dequantized(codes, grids, columns) / scales, hessian)
        if best is None or error < best["error"]:
            best = {"exponent": float(exponent), "scales": scales.tolist(), "error": error}
    return best


def case(method, parameters, expected):
    return {"method": method, **parameters, "expected": expected}


def small_cases(weight, inputs, hessian):
    norms = np.sqrt((inputs**2).mean(axis=0))
    cases = []
    for bits in [2, 3, 4, 8]:
        for symmetric in [True, False]:
            for grouping in [8, "row", "tensor"]:
                grid = {"bits": bits, "symmetric": symmetric, "grouping": grouping, "search": "full_range"}
                cases.append(case("rtn", grid, rounded(weight, hessian, **grid)))
            for order, static in [("stored", False), ("activation", False), ("activation", True)]:
                grid = {"bits": bits, "symmetric": symmetric, "grouping": 8, "search": "full_range"}
                options = {"order": order, "static": static}
                cases.append(case("gptq", grid | options, gptq(weight, hessian, **grid, **options)))
    for search in ["squared_error", "power_error"]:
        for symmetric in [True, False]:
            grid = {"bits": 3, "symmetric": symmetric, "grouping": 16, "search": search}
            cases.append(case("rtn", grid, rounded(weight, hessian, **grid)))
            options = {"order": "stored", "static": False}
            cases.append(case("gptq", grid | options, gptq(weight, hessian, **grid, **options)))
    for grouping in ["row", "tensor"]:
        grid = {"bits": 4, "symmetric": False, "grouping": grouping, "search": "full_range"}
        options = {"order": "activation", "static": False}
        cases.append(case("gptq", grid | options, gptq(weight, hessian, **grid, **options)))
    for sparsity in [{"share": 0.5}, {"share": 0.7}, {"kept": 2, "of": 4}, {"kept": 1, "of": 5}]:
        for scope in ["layer", "row"]:
            mask = mask_of(np.abs(weight), sparsity, scope)
            cases.append(case("magnitude", sparsity | {"scope": scope}, mask_json(mask, weight, hessian)))
        cases.append(case("wanda", sparsity, mask_json(mask_of(np.abs(weight) * norms, sparsity), weight, hessian)))
        cases.append(case("sparsegpt", sparsity, sparsegpt(weight, hessian, sparsity)))
    for bits, symmetric in [(3, False), (4, False)]:
        grid = {"bits": bits, "symmetric": symmetric, "grouping": 8}
        expected = awq([weight[:4], weight[4:]], inputs, hessian, **grid)
        cases.append(case("awq", grid | {"search": "full_range", "first_rows": 4}, expected))
    return cases


def wide_cases(weight, hessian):
    """More columns than a block has, and groups that end where blocks do."""
    cases = []
    for order, static in [("stored", False), ("activation", False), ("stored", True)]:
        grid = {"bits": 4, "symmetric": False, "grouping": 64, "search": "full_range"}
        options = {"order": order, "static": static}
        cases.append(case("gptq", grid | options, gptq(weight, hessian, **grid, **options)))
    for sparsity in [{"share": 0.5}, {"kept": 2, "of": 4}]:
        cases.append(case("sparsegpt", sparsity, sparsegpt(weight, hessian, sparsity)))
    return cases


def layers_of(seed):
    rng = np.random.default_rng(seed)
    layers = []
    for d_out, d_in, n_tokens in [(6, 20, 60), (3, 140, 200)]:
        weight, inputs = layer(rng, d_out, d_in, n_tokens)
        hessian = 2 / n_tokens * inputs.T @ inputs
        cases = small_cases(weight, inputs, hessian) if d_in == 20 else wide_cases(weight, hessian)
        in_64ths = (inputs * 64).astype(int).tolist()
        layers.append({"weight": weight.tolist(), "inputs_in_64ths": in_64ths, "damping": DAMPING, "cases": cases})
    return layers


def main():
    seed, layers = SEED, None
    while layers is None:
        try:
            layers = layers_of(seed)
        except Tie:
            seed += 1
    document = {"numpy": np.__version__, "seed": seed, "layers": layers}
    with open(sys.argv[1], "w") as file:
        json.dump(document, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
