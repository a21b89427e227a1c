#!/usr/bin/env bash
# On a machine with an NVIDIA card: checks the kernels against the processor, then measures decode and
# prefill of a Llama-3.1-8B shape with random weights in bf16, int8 and int4, and the same in bf16 in
# Hugging Face transformers where Python has it. Ten minutes once it is built.
#
# `bench-gpu.sh [FOLDER]`  writes ours.json, transformers.json and table.txt to FOLDER (target/bench-gpu)
#
# Knobs: DRY=1                  a tiny shape on the processor: shows that all of this works
#        BENCH_TESTS, BENCH_BIN programs built before (tests/cuda.rs and examples/bench_gpu.rs)
#        PYTHON                 a Python with torch and transformers (default python3)
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

OUT=${1:-$TARGET_DIR/bench-gpu}
PYTHON=${PYTHON:-python3}
PACKAGES=(-p trimtab-service -p trimtab-kernels)
if [ "${DRY:-0}" = 1 ]; then
    DEVICE=cpu SHAPE=tiny FEATURES=()
else
    DEVICE=cuda:0 SHAPE=llama-3.1-8b FEATURES=(--features trimtab-service/cuda)
    export CARGO_TARGET_DIR=$TARGET_DIR/cuda
    has nvidia-smi || die "there is no \`nvidia-smi\`: no NVIDIA driver" "say DRY=1 to try the script without a card"
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv >&2
fi

# built KIND NAME: builds a target of the kernels and prints the path of the program.
built() {
    cargo build --release --locked "${PACKAGES[@]}" "${FEATURES[@]}" "--$1" "$2" --message-format json |
        "$PYTHON" -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == sys.argv[1]:
        print(message["executable"])' "$2"
}

# table: joins what was measured.
table() {
    "$PYTHON" - "$OUT" <<'PYTHON'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
ours = json.loads((folder / "ours.json").read_text())
peer = folder / "transformers.json"
rows = json.loads(peer.read_text())["rows"] if peer.exists() else []
theirs = {(row["test"], row["batch"]): row["tokens_per_s"] for row in rows}
base = {(row["test"], row["batch"]): row["tokens_per_s"] for row in ours["rows"] if row["format"] == "bf16"}
print(f'copy {ours["copy_bytes_per_s"] / 1e9:.0f} GB/s, product {ours["product_flop_per_s"] / 1e12:.1f} TFLOP/s')
print("format  test     batch   tokens/s   of limit   against bf16   against transformers bf16")
for row in ours["rows"]:
    key = row["test"], row["batch"]
    peer_ratio = f'{row["tokens_per_s"] / theirs[key]:.2f}' if key in theirs else "not measured"
    print(f'{row["format"]:<7} {row["test"]:<8} {row["batch"]:>5} {row["tokens_per_s"]:>10.1f} {100 * row["share"]:>8.1f} %'
          f' {row["tokens_per_s"] / base[key]:>14.2f}   {peer_ratio}')
PYTHON
}

mkdir -p "$OUT"
rm -f "$OUT/transformers.json"
tests=${BENCH_TESTS:-$(built test cuda)}
bench=${BENCH_BIN:-$(built example bench_gpu)}
say "checking the kernels against the processor"
"$tests" --nocapture >&2
say "measuring"
timeout 400 "$bench" "$DEVICE" "$SHAPE" "$OUT/ours.json" >&2
if "$PYTHON" -c 'import torch, transformers' 2>/dev/null; then
    say "measuring transformers"
    timeout 300 "$PYTHON" "$HERE/bench_gpu_transformers.py" "$SHAPE" "$OUT/transformers.json" >&2 ||
        say "transformers failed; its column stays empty"
else
    say "$PYTHON has no torch and transformers; their column stays empty"
fi
table | tee "$OUT/table.txt"
