#!/usr/bin/env bash
# Times compression and training beside PyTorch on this machine, by turns; arguments go to scripts/peers/compress.py:
# `scripts/bench-compress.sh --rounds 1 --only gptq`. All of it takes about half an hour on two cores.
#
# Knobs: TRIMTAB_TEST_MODEL_QWEN    the larger model, where it is not in the model cache
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source-path=SCRIPTDIR source=lib/reference_venv.sh
. "$HERE/lib/reference_venv.sh"

QWEN=${TRIMTAB_TEST_MODEL_QWEN:-$TRIMTAB_MODEL_CACHE/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf}
[ -f "$QWEN" ] || die "Qwen2.5-Coder 0.5B is not at $QWEN" "\`trimtab models pull qwen2.5-coder-0.5b-instruct\` fetches it"
SMOL=$("$HERE/fetch-test-model.sh")
ensure_reference_venv
cargo build --release --locked -p server -p trimtab-compress --bin trimtab --example lora_step
exec "$REFERENCE_VENV/bin/python" "$HERE/peers/compress.py" --trimtab "$TRIMTAB_BIN" \
    --lora-step "$TARGET_DIR/release/examples/lora_step" --python "$REFERENCE_VENV/bin/python" \
    --work "$TARGET_DIR/bench-compress" --qwen "$QWEN" --smol "$SMOL" "$@"
