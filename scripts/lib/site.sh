# shellcheck shell=bash
# The site: the wasm page, its style sheet and static files, made by scripts/build-site.sh. Needs lib/env.sh.

# Everything that the site is made of.
SITE_SOURCES=(Cargo.lock Cargo.toml .cargo app frontend style public crates/trimtab-domain crates/trimtab-charts
    end2end/package-lock.json scripts/build-site.sh)

# site_digest: changes when a source, the compiler or a tool of the site changes.
site_digest() {
    {
        "$WASM_CARGO" -V
        wasm-bindgen --version
        find "${SITE_SOURCES[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -d ' ' -f 1
}

# Builds the site unless it is up to date.
build_site() {
    local stamp=$TARGET_DIR/site.stamp digest
    # shellcheck source=/dev/null
    . "$WASM_ENV_FILE" || return 1
    digest=$(site_digest) || return 1
    if [ -d "$TARGET_DIR/site/pkg" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ]; then return 0; fi
    say "building the site"
    rm -f "$stamp"
    "$ROOT/scripts/build-site.sh" || return 1
    printf '%s\n' "$digest" >"$stamp"
}
