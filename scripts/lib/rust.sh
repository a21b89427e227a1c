# shellcheck shell=bash
# A Rust toolchain that is new enough, the wasm target and wasm-bindgen. Needs lib/env.sh and lib/packages.sh.

RUST_MIN=1.95
WASM_BINDGEN_VERSION=0.2.130 # the same as in Cargo.toml, or the page does not start
RUSTUP_TIMEOUT=${RUSTUP_TIMEOUT:-900}

# rust_is_enough [BIN/]: is there a cargo and rustc of at least RUST_MIN?
rust_is_enough() {
    local tool version
    for tool in cargo rustc; do
        version=$("${1:-}$tool" -V 2>/dev/null | cut -d ' ' -f 2) || return 1
        [ -n "$version" ] && at_least "${version%%-*}" "$RUST_MIN" || return 1
    done
}

# Finds or installs Rust: what is here, else rustup, else Debian's packages.
ensure_rust() {
    if rust_is_enough; then return 0; fi
    say "missing: Rust $RUST_MIN or newer (found: $(rustc -V 2>/dev/null || echo none))"
    if rust_by_rustup || rust_by_apt; then
        say "using $(rustc -V)"
        return 0
    fi
    die "no Rust $RUST_MIN or newer could be installed" "install it from https://rustup.rs, then run the same command again"
}

# remember_rust LINE: this project uses another Rust than the first on the PATH.
remember_rust() {
    mkdir -p "$TRIMTAB_TOOLS"
    printf '# Written by the set-up: the Rust first on the PATH was too old.\n%s\n' "$1" >"$TRIMTAB_TOOLS/rust.env"
    use_tools
    hash -r
}

rust_by_rustup() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} installer
    if is_offline; then return 1; fi
    if has rustup; then
        say "asking rustup for the stable toolchain"
        timeout "$RUSTUP_TIMEOUT" rustup toolchain install stable --no-self-update --profile minimal -c rustfmt -c clippy >&2 || return 1
        rust_is_enough || remember_rust 'export RUSTUP_TOOLCHAIN=stable'
        rust_is_enough
        return
    fi
    installer=$(mktemp)
    say "trying rustup (time limit $RUSTUP_TIMEOUT s); it installs into $cargo_home and leaves shell profiles alone"
    if curl --proto '=https' --tlsv1.2 -sSf --connect-timeout 10 --max-time 60 https://sh.rustup.rs -o "$installer" &&
        timeout "$RUSTUP_TIMEOUT" sh "$installer" -y --no-modify-path --profile minimal \
            --default-toolchain stable -c rustfmt -c clippy >&2; then
        rm -f "$installer"
        rust_is_enough "$cargo_home/bin/" || return 1
        use_tools
        rust_is_enough || remember_rust "export PATH='$cargo_home/bin':\$PATH"
        return 0
    fi
    rm -f "$installer"
    say "rustup cannot be reached"
    return 1
}

# Debian keeps a recent Rust for its browsers: rustc-web and its companions, in /usr/bin.
rust_by_apt() {
    local candidate tool packages=(rustc-web cargo-web rustfmt-web rust-web-clippy)
    if ! rust_is_enough /usr/bin/; then
        if ! has apt-get || is_offline; then return 1; fi
        apt_update
        candidate=$(apt-cache policy rustc-web | sed -nE 's/^ *Candidate: ([0-9.]+).*/\1/p')
        [ -n "$candidate" ] && at_least "$candidate" "$RUST_MIN" || return 1
        say "installing Debian's Rust $candidate: ${packages[*]}"
        apt_get install -y --no-install-recommends "${packages[@]}" || return 1
        rust_is_enough /usr/bin/ || return 1
    fi
    hash -r
    if rust_is_enough; then return 0; fi
    # An older Rust stands earlier on the PATH: only this project sees the links.
    mkdir -p "$TRIMTAB_TOOLS/rust/bin"
    for tool in cargo rustc rustdoc rustfmt cargo-fmt cargo-clippy clippy-driver; do
        ln -sf "/usr/bin/$tool" "$TRIMTAB_TOOLS/rust/bin/$tool"
    done
    remember_rust "export PATH='$TRIMTAB_TOOLS/rust/bin':\$PATH"
    rust_is_enough
}

# rustfmt and clippy of the Rust in use: only the tests need them.
ensure_rust_checks() {
    if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then return 0; fi
    say "missing: rustfmt and clippy (they check the code)"
    is_offline && die "TRIMTAB_OFFLINE=1 forbids installing rustfmt and clippy"
    if has rustup; then
        timeout "$RUSTUP_TIMEOUT" rustup component add rustfmt clippy >&2 ||
            die "rustup could not add rustfmt and clippy"
    elif rust_is_enough /usr/bin/ && has apt-get; then
        apt_update
        apt_get install -y --no-install-recommends rustfmt-web rust-web-clippy || die "could not install rustfmt and clippy"
    else
        die "rustfmt and clippy are not here" "install those that belong to $(rustc -V)"
    fi
}

# Makes the wasm target available and notes in WASM_ENV_FILE which cargo builds it.
ensure_wasm_target() {
    "$ROOT/scripts/setup-wasm.sh" || die "the wasm target could not be set up"
}

# The tool that turns the compiled page into what a browser loads.
ensure_wasm_bindgen() {
    if [ "$(wasm-bindgen --version 2>/dev/null)" = "wasm-bindgen $WASM_BINDGEN_VERSION" ]; then return 0; fi
    is_offline && die "TRIMTAB_OFFLINE=1 forbids installing wasm-bindgen $WASM_BINDGEN_VERSION"
    say "installing wasm-bindgen $WASM_BINDGEN_VERSION into $TRIMTAB_TOOLS (once, some minutes)"
    # Not --locked: its lock file names a version that the index no longer has.
    # From /, so that this project's cargo settings do not apply; barely optimised, since it runs for a second.
    (
        cd /
        unset CARGO_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=false \
            cargo install --quiet --force --root "$TRIMTAB_TOOLS" --bin wasm-bindgen \
            --version "$WASM_BINDGEN_VERSION" wasm-bindgen-cli >&2
    ) || die "wasm-bindgen $WASM_BINDGEN_VERSION could not be installed"
}
