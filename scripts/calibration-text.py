#!/usr/bin/env python3
"""Writes the calibration text `code` from this repository's own sources.

The text is a snapshot: it is made once and then kept, because a text that changed with the code
would change every calibrated variant. Documents are separated by form feeds; the first line of
each says which file it is. Files that speak of problems of the suites, or of the text that
perplexity is measured on, are left out.
"""

import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "crates/trimtab-compress/texts/code.txt"
N_BYTES = 470_000
LONGEST_FILE = 16_000
SEED = 1
COMMENT = {".py": "#", ".rs": "//", ".sh": "#", ".sql": "--", ".md": ">"}
LEFT_OUT = ("crates/trimtab-eval/", "app/", "end2end/", "docs/suites.md", "CHANGELOG.md")
# Sources in languages that are rare here and common in use come first, so that none is missed.
RARE = (".py", ".sh", ".sql")


def sources() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [Path(line) for line in listed.stdout.splitlines()]
    return [
        path
        for path in paths
        if path.suffix in COMMENT and not str(path).startswith(LEFT_OUT) and path != Path(__file__).relative_to(ROOT)
    ]


def document(path: Path) -> str:
    text = (ROOT / path).read_text(encoding="utf-8").replace("\f", "")
    return f"{COMMENT[path.suffix]} File `{path}`\n{text.strip()}\n"


def main() -> None:
    random.seed(SEED)
    paths = sources()
    random.shuffle(paths)
    paths.sort(key=lambda path: path.suffix not in RARE)
    chosen, n_bytes = [], 0
    for path in paths:
        text = document(path)
        if len(text) <= LONGEST_FILE and n_bytes + len(text.encode()) <= N_BYTES:
            chosen.append(text)
            n_bytes += len(text.encode())
    random.shuffle(chosen)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\f".join(chosen), encoding="utf-8")
    print(f"{len(chosen)} files, {n_bytes} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
