#!/usr/bin/env bash
# Loads what we write with the tools that define the formats, and compares their logits with our engine's.
# Every program `crates/*/examples/interop_*.rs` writes folders OUT/SCRIPT/CASE, which
# `scripts/interop/SCRIPT.py` loads; a new format is one more program and one more script.
#
# Knobs: TRIMTAB_INTEROP_VENV  another virtual environment with their packages, used as it is
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source-path=SCRIPTDIR source=lib/reference_venv.sh
. "$HERE/lib/reference_venv.sh"

OUT=$TARGET_DIR/interop

write_folders() {
    local program
    rm -rf "$OUT"
    for program in crates/*/examples/interop_*.rs; do
        program=$(basename "$program" .rs)
        # Selected with the service, because a lone package would build the engine with other features.
        cargo build --release --locked -p trimtab-service -p trimtab-models -p trimtab-compress --example "$program"
        "$TARGET_DIR/release/examples/$program" "$OUT"
    done
}

# Loads each kind of folder; one that fails does not stop the others.
load_folders() {
    local folder script log=$OUT/load.log status n_failed=0
    for folder in "$OUT"/*/; do
        script=$HERE/interop/$(basename "$folder").py
        [ -f "$script" ] || die "no script loads $folder" "add $script"
        say "=== $(basename "$script")"
        status=0
        # -P: scripts may be called like the package that they load.
        PYTHONPATH=$HERE/interop/lib HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES='' \
            "$REFERENCE_VENV/bin/python" -P "$script" "$folder"*/ >"$log" 2>&1 || status=$?
        grep -E ': (agrees|DIFFERS)|^note:' "$log" || true
        if [ "$status" -ne 0 ]; then
            n_failed=$((n_failed + 1))
            tail -n 20 "$log" >&2
        fi
    done
    [ "$n_failed" -eq 0 ] || die "$n_failed of the scripts failed"
    say "all folders agree"
}

ensure_reference_venv
write_folders
load_folders
