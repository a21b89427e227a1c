#!/usr/bin/env bash
# CodeBLEU beside its Python package, by turns: seconds, medians and ratios over a file of translations.
# Installs the package with its grammars into a folder of its own, once.
#
# Usage: bench-codebleu.sh LANGUAGE HYPOTHESES REFERENCES [ROUNDS]     (files of one text a line)
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
started_in=$PWD
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

VENV=$TRIMTAB_CACHE/codebleu-venv
PACKAGES=(codebleu==0.7.0 tree-sitter==0.22.3 tree-sitter-python==0.21.0 tree-sitter-java==0.21.0
    tree-sitter-c-sharp==0.21.3 tree-sitter-c==0.21.4 tree-sitter-cpp==0.22.3 tree-sitter-javascript==0.21.4
    tree-sitter-go==0.21.2 tree-sitter-rust==0.21.2 tree-sitter-php==0.22.8 tree-sitter-ruby==0.21.0)

[ $# -ge 3 ] || die "usage: bench-codebleu.sh LANGUAGE HYPOTHESES REFERENCES [ROUNDS]"
language=$1 rounds=${4:-5}
hypotheses=$(cd "$started_in" && realpath "$2")
references=$(cd "$started_in" && realpath "$3")
if ! [ -f "$VENV/ready" ]; then
    is_offline && die "TRIMTAB_OFFLINE=1 forbids fetching the Python package" "unset it once"
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet "${PACKAGES[@]}"
    touch "$VENV/ready"
fi
cargo build --release --locked -p trimtab-metrics --example score_codebleu
exec "$VENV/bin/python" "$HERE/peers/codebleu_turns.py" "$TARGET_DIR/release/examples/score_codebleu" \
    "$language" "$hypotheses" "$references" "$rounds"
