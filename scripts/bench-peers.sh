#!/usr/bin/env bash
# Measures Trimtab beside llama.cpp on this machine and prints a table of ratios; docs/performance.md says how to read it.
# Arguments go to scripts/peers/bench.py: `scripts/bench-peers.sh --rounds 3 --pairs int8 int4`.
#
# Knobs: TRIMTAB_PEER_DIR           where llama.cpp is built and its model files lie (default: the cache)
#        TRIMTAB_TEST_MODEL_QWEN    the larger model, where it is not in the model cache
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source-path=SCRIPTDIR source=lib/peer.sh
. "$HERE/lib/peer.sh"

QWEN=${TRIMTAB_TEST_MODEL_QWEN:-$TRIMTAB_MODEL_CACHE/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf}
WORK=$TARGET_DIR/bench-peers

if ! has c++; then die "no C++ compiler" "install one (Debian, Ubuntu: \`apt-get install build-essential\`)"; fi
models=("$("$HERE/fetch-test-model.sh")")
if [ -f "$QWEN" ]; then
    models+=("$QWEN")
else
    say "left out: Qwen2.5-Coder 0.5B is not at $QWEN; \`trimtab models pull qwen2.5-coder-0.5b-instruct\` fetches it"
fi
ensure_peer
cargo build --release --locked -p server -p trimtab-kernels --bin trimtab --example read_bandwidth
mkdir -p "$WORK"
exec "$PEER_PYTHON" "$HERE/peers/bench.py" --trimtab "$TRIMTAB_BIN" --bandwidth "$TARGET_DIR/release/examples/read_bandwidth" \
    --peer "$PEER_PROGRAMS" --peer-source "$PEER_SOURCE" --peer-models "$PEER_DIR/models" \
    --work "$WORK" --models "${models[@]}" "$@"
