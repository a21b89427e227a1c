#!/usr/bin/env bash
# Runs the kernels' tests with NEON: on an ARM machine as they are, elsewhere under qemu.
#
# The kernels alone are built, without burn and its operations, since only they have code for the
# processor. Needs the Rust target aarch64-unknown-linux-gnu, and on Debian the packages
# gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

TARGET=aarch64-unknown-linux-gnu
COPY=$TARGET_DIR/neon-copy
SYSROOT=/usr/aarch64-linux-gnu

check_tools() {
    [[ $(uname -m) == aarch64 ]] && return
    command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null ||
        die "no compiler or emulator for ARM" \
            "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
    [[ -d $(rustc --print sysroot)/lib/rustlib/$TARGET ]] ||
        die "Rust has no target $TARGET" "rustup target add $TARGET"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $SYSROOT"
}

# The crate without what needs burn; versions are those of the workspace's lock file.
copy_kernels() {
    rm -rf "$COPY/src"
    mkdir -p "$COPY"
    cp -r "$ROOT/crates/trimtab-kernels/src" "$COPY/src"
    rm -rf "$COPY/src/cube" "$COPY/src/cube.rs" "$COPY/src/autodiff" "$COPY/src/ops.rs" "$COPY/src/flex.rs"
    rm -f "$COPY/src/plain_activation.rs" "$COPY/src/fused_attention.rs" "$COPY/src/matrix_product.rs"
    sed -i -E '/^(pub )?mod (ops|flex|cube|autodiff|plain_activation|fused_attention|matrix_product);/d; /cfg\(.*feature = "cuda"/d' "$COPY/src/lib.rs"
    cp "$ROOT/Cargo.lock" "$COPY/Cargo.lock"
    cat >"$COPY/Cargo.toml" <<'TOML'
[package]
name = "neon-copy"
version = "0.0.0"
edition = "2024"

[dependencies]
bytemuck = { version = "1", features = ["derive", "extern_crate_alloc"] }
half = "2"
libc = "0.2"
rayon = "1"
thiserror = "2"

[dev-dependencies]
proptest = { version = "1", default-features = false, features = ["std"] }

[workspace]

[profile.release]
overflow-checks = true
TOML
}

check_tools
copy_kernels
cd "$COPY"
CARGO_TARGET_DIR=$TARGET_DIR/neon cargo test --release --target "$TARGET"
