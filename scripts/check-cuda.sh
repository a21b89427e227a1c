#!/usr/bin/env bash
# Compiles the workspace with the feature `cuda`, on a machine that needs neither CUDA nor a GPU.
# It has a target folder of its own: the feature changes burn, and would turn over the usual build.
#
# `check-cuda.sh --build` also builds the program and asks it for its devices: with the feature
# compiled in it has to start where there is no GPU, and refuse one that is not there.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

MODE=${1:-}
case $MODE in '' | --build) ;; *) die "unknown option \`$MODE\`" "say \`--build\`, or nothing" ;; esac
export CARGO_TARGET_DIR=$TARGET_DIR/cuda
BINARY=$CARGO_TARGET_DIR/release/trimtab

# LLVM would be downloaded while building; vendor/cubecl-llvm keeps it out.
check_graph() {
    local listing
    listing=$(cargo tree --locked -p server --features cuda --prefix none -e normal,build)
    if grep -E '^(tracel-llvm-bundler|llvm-sys|pliron-llvm) ' <<<"$listing"; then
        die "LLVM is back in the graph of the feature \`cuda\`" "see vendor/cubecl-llvm/README.md"
    fi
    grep -q '^burn-cuda ' <<<"$listing" || die "the feature \`cuda\` does not reach burn"
    listing=$(cargo tree --locked -p server --prefix none -e normal,build)
    if grep -E '^(burn-cuda|cubecl|cudarc) ' <<<"$listing"; then
        die "the default build pulls in CUDA"
    fi
}

# With a GPU `cuda:0` is there, and one without that many has no `cuda:99`.
check_program() {
    local said
    "$BINARY" doctor --data-dir "$1" >&2 || die "\`trimtab doctor\` does not work with the feature compiled in"
    if said=$("$BINARY" doctor --data-dir "$1" --device cuda:99 2>&1); then
        die "\`--device cuda:99\` was accepted"
    fi
    [[ $said == *"hint: "* ]] || die "\`--device cuda:99\` is refused without a hint: $said"
}

check_graph
cargo check --release --locked --workspace --exclude frontend --all-targets --features server/cuda
if [ "$MODE" = --build ]; then
    cargo build --release --locked -p server --features cuda
fi
if [ -x "$BINARY" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    check_program "$folder"
else
    say "no program was built, so none was started; \`scripts/check-cuda.sh --build\` does that"
fi
say "the feature \`cuda\` compiles"
