#!/usr/bin/env python3
"""Writes crates/trimtab-features/Cargo.toml.

Cargo builds a dependency once for every set of features asked of it, and the set depends on which
packages are selected: `cargo build -p server`, `cargo test` and `cargo test -p X` would
each compile burn anew. This crate asks for the union of what the engine's dependencies have
anywhere in the workspace, so that all of them share one build.
Run it after changing dependencies; nothing breaks if you forget, builds only get slower.
"""
import collections
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "crates/trimtab-features/Cargo.toml"
SELECTIONS = ["trimtab-kernels", "trimtab-models", "trimtab-compress", "trimtab-runtime",
              "trimtab-eval", "trimtab-service", "app", "server"]
HEADER = """# Written by scripts/unify-features.py; do not edit.
[package]
name = "trimtab-features"
description = "One feature set for shared dependencies, whichever packages are built."
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true
"""


def features(*selection, edges="normal,build,dev"):
    """{(name, version): [feature sets]} of a selection."""
    command = ["cargo", "tree", "--prefix", "none", "-f", "{p}\t{f}", "-e", edges, *selection]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = collections.defaultdict(set)
    for line in listing.splitlines():
        package, _, names = line.replace(" (*)", "").partition("\t")
        match = re.fullmatch(r"(\S+) v(\S+)(?: \(proc-macro\))?", package)
        if match:
            found[match.groups()].add(frozenset(filter(None, names.split(","))))
    return found


def main():
    MANIFEST.write_text(HEADER)
    everything = features()
    below_service = features("-p", "trimtab-service").keys()
    unequal = {package for package, sets in everything.items() if len(sets) > 1}
    for selection in SELECTIONS:
        for edges in ("normal,build", "normal,build,dev"):
            part = features("-p", selection, edges=edges)
            unequal |= {p for p, sets in part.items() if sets != everything[p]}
    lines = []
    for name, version in sorted(unequal & below_service):
        union = sorted(frozenset().union(*everything[name, version]))
        key = f"{name}_{re.sub('[^0-9]', '_', version)}"
        listed = ", ".join(f'"{feature}"' for feature in union)
        lines.append(f'{key} = {{ package = "{name}", version = "={version.split("+")[0]}", '
                     f'default-features = false, features = [{listed}] }}')
    body = "\n".join(lines)
    MANIFEST.write_text(f"{HEADER}\n[dependencies]\n{body}\n\n[build-dependencies]\n{body}\n")


if __name__ == "__main__":
    main()
