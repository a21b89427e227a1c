#!/usr/bin/env bash
# Makes sure that a Rust toolchain here can build for wasm32-unknown-unknown:
#
#   1. the toolchain in use has the target                  -> nothing to do
#   2. the private toolchain of step 4 is there             -> nothing to do
#   3. rustup can add the target                            -> rustup target add
#   4. Debian's rustc-web, cargo-web, rust-web-src and lld  -> build the standard library once (about two minutes)
#      into a private toolchain, which leaves /usr and rustup's toolchains alone
#
# It writes one file, $WASM_ENV_FILE, to be sourced before building: `"$WASM_CARGO" build --target …`.
# Knobs: WASM_SETUP_MODE=auto|rustup|debian, WASM_RUSTUP_TIMEOUT=seconds, WASM_TOOLCHAIN_DIR=folder.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source-path=SCRIPTDIR source=lib/packages.sh
. "$HERE/lib/packages.sh"

TARGET=wasm32-unknown-unknown
MODE=${WASM_SETUP_MODE:-auto}
TOOLCHAIN=$WASM_TOOLCHAIN_DIR
STD_SOURCE=/usr/lib/rustlib/src/rust/library
RUST_WEB_MIN=1.95

# has_std RUSTC: can this rustc link the standard library for the target?
has_std() {
    local dir
    dir=$("$1" --print target-libdir --target "$TARGET" 2>/dev/null) && compgen -G "$dir/libstd-*.rlib" >/dev/null
}

write_env() {
    mkdir -p "$(dirname "$WASM_ENV_FILE")"
    printf '%s\n' "$@" >"$WASM_ENV_FILE.$$"
    mv "$WASM_ENV_FILE.$$" "$WASM_ENV_FILE"
}

use_default() {
    write_env "# The default toolchain has $TARGET." 'export WASM_CARGO=cargo'
    exit 0
}

use_private() {
    write_env '# The private toolchain made by setup-wasm.sh.' "export WASM_CARGO='$TOOLCHAIN/bin/cargo'"
    exit 0
}

debian_rust_version() { /usr/bin/rustc -V 2>/dev/null | cut -d ' ' -f 2; }

debian_rust_is_ready() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d "$STD_SOURCE" ] &&
        at_least "$(debian_rust_version)" "$RUST_WEB_MIN" && [ -n "$(find_lld)" ]
}

# The linker of the LLVM that this rustc was built with, else any lld.
find_lld() {
    local llvm
    llvm=$(/usr/bin/rustc -vV | sed -nE 's/^LLVM version: ([0-9]+).*/\1/p')
    if [ -x "/usr/lib/llvm-$llvm/bin/lld" ]; then
        echo "/usr/lib/llvm-$llvm/bin/lld"
    else
        command -v lld || true
    fi
}

# Changes when Debian's rustc, its LLVM or the recipe below changes.
wanted_stamp() { echo "$(/usr/bin/rustc -vV | sha256sum | cut -c1-16) $(find_lld) v3"; }

private_is_current() {
    debian_rust_is_ready && [ "$(cat "$TOOLCHAIN/stamp" 2>/dev/null)" = "$(wanted_stamp)" ] && has_std "$TOOLCHAIN/bin/rustc"
}

add_by_rustup() {
    has rustup && ! is_offline || return 1
    say "adding the wasm target by rustup (time limit ${WASM_RUSTUP_TIMEOUT:-120} s)"
    RUST_BACKTRACE=0 timeout "${WASM_RUSTUP_TIMEOUT:-120}" rustup target add "$TARGET" >&2 && has_std rustc
}

install_debian_rust() {
    local llvm
    debian_rust_is_ready && return 0
    has apt-get || die "no apt-get here" "add the target by hand: rustup target add $TARGET"
    is_offline && die "TRIMTAB_OFFLINE=1 forbids installing rustc-web, cargo-web, rust-web-src and lld"
    apt_update
    say "installing rustc-web cargo-web rust-web-src: they build the standard library for wasm"
    apt_get install -y --no-install-recommends rustc-web cargo-web rust-web-src ||
        die "Debian's Rust could not be installed" "add the target by hand: rustup target add $TARGET"
    at_least "$(debian_rust_version)" "$RUST_WEB_MIN" || die "Debian's $(/usr/bin/rustc -V) is older than $RUST_WEB_MIN"
    llvm=$(/usr/bin/rustc -vV | sed -nE 's/^LLVM version: ([0-9]+).*/\1/p')
    if [ -z "$(find_lld)" ] || ! [ -x "/usr/lib/llvm-$llvm/bin/lld" ]; then
        say "installing lld-$llvm: it links wasm"
        apt_get install -y --no-install-recommends "lld-$llvm" || true
    fi
    debian_rust_is_ready || die "rustc-web, cargo-web, rust-web-src or lld is still missing"
}

# build_std WORK: the standard library for the target, compiled from Debian's sources.
build_std() {
    mkdir -p "$1/probe/src"
    : >"$1/probe/src/lib.rs"
    cat >"$1/probe/Cargo.toml" <<'TOML'
[package]
name = "stdprobe"
version = "0.0.0"
edition = "2021"
[workspace]
TOML
    # Bitcode is embedded, or `lto = true` fails later with "failed to get bitcode from object file".
    # No setting of the caller may leak in.
    (
        cd "$1/probe"
        unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER RUSTUP_TOOLCHAIN CARGO_BUILD_TARGET
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$1/t" CARGO_INCREMENTAL=0 \
            CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Cembed-bitcode=yes" \
            /usr/bin/cargo build -q --release -Zbuild-std=std,panic_abort,test --target "$TARGET" >&2
    )
}

# lay_out WORK NEW: a sysroot around that library, with wrappers that name it.
lay_out() {
    local host lib=$2/lib/rustlib tool
    host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
    mkdir -p "$2/bin" "$lib/$TARGET/lib" "$lib/$host/bin"
    find "$1/t/$TARGET/release/deps" -name '*.rlib' ! -name 'libstdprobe-*' -exec cp -t "$lib/$TARGET/lib" {} +
    ln -s "/usr/lib/rustlib/$host/lib" "$lib/$host/lib"
    ln -s "$(find_lld)" "$lib/$host/bin/rust-lld"
    for tool in rustc rustdoc; do
        printf '#!/bin/sh\nexec /usr/bin/%s --sysroot "%s" "$@"\n' "$tool" "$TOOLCHAIN" >"$2/bin/$tool"
    done
    printf '#!/bin/sh\nexport RUSTC="%s/bin/rustc" RUSTDOC="%s/bin/rustdoc"\nexec /usr/bin/cargo "$@"\n' \
        "$TOOLCHAIN" "$TOOLCHAIN" >"$2/bin/cargo"
    chmod +x "$2"/bin/rustc "$2"/bin/rustdoc "$2"/bin/cargo
}

make_private() {
    say "building the wasm standard library with $(/usr/bin/rustc -V) (once, about two minutes)"
    mkdir -p "$(dirname "$TOOLCHAIN")"
    WORK=$(mktemp -d "$(dirname "$TOOLCHAIN")/wasm-std.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    build_std "$WORK"
    lay_out "$WORK" "$WORK/toolchain"
    wanted_stamp >"$WORK/toolchain/stamp"
    rm -rf "$TOOLCHAIN"
    mv "$WORK/toolchain" "$TOOLCHAIN"
    has_std "$TOOLCHAIN/bin/rustc" || die "the private toolchain has no standard library for $TARGET"
}

if [ "$MODE" != debian ] && has rustc && has_std rustc; then use_default; fi
if [ "$MODE" != rustup ] && private_is_current; then use_private; fi
if [ "$MODE" != debian ] && add_by_rustup; then use_default; fi
[ "$MODE" != rustup ] || die "rustup could not add the wasm target" "try again, or unset WASM_SETUP_MODE"
install_debian_rust
private_is_current || make_private
use_private
