#!/usr/bin/env bash
# Serves an empty data folder with a tiny model on 127.0.0.1:$E2E_PORT, for the browser tests; removes it afterwards.
# Nothing is downloaded: the model is made here, with arbitrary weights.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

work=$(mktemp -d)
server=
stop() {
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" || true
    fi
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 0' TERM INT

cargo run --quiet --release --locked -p trimtab-models --example tiny_gguf -- "$work/tiny.gguf"
export TRIMTAB_DATA_DIR=$work/data TRIMTAB_OFFLINE=1 TRIMTAB_MODEL_CACHE=$work/no-models
export TRIMTAB_LEASES=$work/leases # so that the tests wait for nobody
"$TRIMTAB_BIN" models import "$work/tiny.gguf" --name tiny
"$TRIMTAB_BIN" datasets import "$HERE/../end2end/fixtures/mixed.jsonl" --name mixed
"$TRIMTAB_BIN" serve --addr "127.0.0.1:${E2E_PORT:-3917}" &
server=$!
wait "$server"
