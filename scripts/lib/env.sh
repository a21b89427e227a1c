# shellcheck shell=bash
# Where things are, and how scripts speak. Source this first: every script gets the same paths and tools.
#
# Knobs, all optional:
#   XDG_CACHE_HOME        parent of the cache (default ~/.cache)
#   TRIMTAB_TOOLS         tools that the set-up installs for this project only
#   TRIMTAB_MODEL_CACHE   model files that survive a `make clean` and a fresh clone
#   CARGO_TARGET_DIR      where cargo builds (default ./target)
#   TRIMTAB_OFFLINE=1     download nothing

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TRIMTAB_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/trimtab
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
case $TARGET_DIR in /*) ;; *) TARGET_DIR=$ROOT/$TARGET_DIR ;; esac
export TRIMTAB_BIN=$TARGET_DIR/release/trimtab

export TRIMTAB_TOOLS=${TRIMTAB_TOOLS:-$TRIMTAB_CACHE/tools}
export TRIMTAB_MODEL_CACHE=${TRIMTAB_MODEL_CACHE:-$TRIMTAB_CACHE/models}
export WASM_TOOLCHAIN_DIR=${WASM_TOOLCHAIN_DIR:-$TRIMTAB_CACHE/wasm-toolchain}
export WASM_ENV_FILE=${WASM_ENV_FILE:-$TARGET_DIR/wasm-env}
# The browser of the tests is the system's; npm must not fetch another one.
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
# Node.js trusts its own list of authorities only; behind a company's proxy the system's list is the one that counts.
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
fi

say() { printf 'trimtab: %s\n' "$*" >&2; }
die() {
    printf 'trimtab: error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'trimtab: hint: %s\n' "$2" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
is_offline() { case ${TRIMTAB_OFFLINE:-0} in 0) return 1 ;; esac; }

# at_least HAVE WANT: is the dotted version HAVE the same as WANT, or newer?
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# sha256_of FILE
sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# Puts the tools that the set-up installed on the PATH; safe to call again after installing more.
use_tools() {
    local dir
    for dir in "$TRIMTAB_TOOLS/bin" "$TRIMTAB_TOOLS/node/bin"; do
        case ":$PATH:" in *":$dir:"*) ;; *) PATH=$dir:$PATH ;; esac
    done
    # rustup installs there without telling this shell.
    if ! has cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    export PATH
    # The set-up writes this file only where the Rust found first is too old.
    if [ -f "$TRIMTAB_TOOLS/rust.env" ]; then
        # shellcheck source=/dev/null
        . "$TRIMTAB_TOOLS/rust.env"
    fi
}

if is_offline; then export CARGO_NET_OFFLINE=true; fi
use_tools
cd "$ROOT" || exit 1
