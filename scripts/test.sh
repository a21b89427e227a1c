#!/usr/bin/env bash
# Every check and test, in the order of their price. One that fails does not stop the others.
# The last line says `N passed, N failed, N skipped`; the exit status is 0 only if nothing failed.
#
# Knobs: TRIMTAB_ACCEPTANCE_DIR  folder with golden/ and data/, values made by other implementations;
#                                default: ../shared where that has them. Without it the acceptance tests are skipped.
set -uo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source-path=SCRIPTDIR source=lib/count.sh
. "$HERE/lib/count.sh"
# shellcheck source-path=SCRIPTDIR source=lib/checks.sh
. "$HERE/lib/checks.sh"
# shellcheck source-path=SCRIPTDIR source=lib/site.sh
. "$HERE/lib/site.sh"

LOGS=$TARGET_DIR/test-logs
TIMES=()

# stage NAME FUNCTION: runs it, tells its time, and never stops the script.
stage() {
    local start=$SECONDS status=0
    say "=== $1"
    "$2" || status=$?
    TIMES+=("$(printf '%5d s  %s%s' $((SECONDS - start)) "$1" "$([ $status -eq 0 ] || echo '  FAILED')")")
}

# check COMMAND…: a check without tests of its own. (In a shell of its own, so that `die` ends only the check.)
check() {
    local status=0
    (set -e; "$@") || status=$?
    count_check $status
    return $status
}

# cargo_test LOG ARGUMENTS…
cargo_test() {
    local log=$LOGS/$1 status=0
    shift
    cargo test --no-fail-fast --color never "${HOST_CRATES[@]}" "$@" 2>&1 | tee "$log" || status=$?
    count_cargo "$log" $status
    return $status
}

run_script_tests() {
    local log=$LOGS/scripts.log status=0
    "$HERE/test-scripts.sh" 2>&1 | tee "$log" || status=$?
    count_cargo "$log" $status
    return $status
}

# Names the acceptance folder and the model for the tests, or leaves both unset.
find_acceptance() {
    local folder=${TRIMTAB_ACCEPTANCE_DIR:-$ROOT/../shared}
    if ! [ -d "$folder/golden" ]; then
        unset TRIMTAB_ACCEPTANCE_DIR
        return 0
    fi
    TRIMTAB_ACCEPTANCE_DIR=$(cd "$folder" && pwd)
    TRIMTAB_TEST_MODEL_SMOLLM2=$("$HERE/fetch-test-model.sh") ||
        say "the tests that read the model will fail"
    export TRIMTAB_ACCEPTANCE_DIR TRIMTAB_TEST_MODEL_SMOLLM2
}

# Arguments that choose every test program but the acceptance tests, which need the folder.
without_acceptance() {
    printf '%s\n' --lib --bins
    cargo metadata --no-deps --offline --format-version 1 | python3 -c '
import json, sys
packages = json.load(sys.stdin)["packages"]
names = {t["name"] for p in packages for t in p["targets"] if "test" in t["kind"]}
for name in sorted(names):
    if not name.startswith("acceptance"):
        print("--test\n" + name)'
}

run_tests() {
    local chosen=(--tests) skipped
    if [ -z "${TRIMTAB_ACCEPTANCE_DIR:-}" ]; then
        mapfile -t chosen < <(without_acceptance)
        skipped=$(cat crates/*/tests/acceptance*.rs server/tests/acceptance*.rs 2>/dev/null | grep -cE '^ *#\[(tokio::)?test')
        say "no golden values here: skipping $skipped acceptance tests"
        N_SKIPPED=$((N_SKIPPED + skipped))
    fi
    cargo_test tests.log "${chosen[@]}"
}

run_doc_tests() { cargo_test doc-tests.log --doc; }

run_browser_tests() {
    local report=$LOGS/browser.json status=0
    rm -f "$report"
    if ! check cargo build --release --locked -p server; then return 1; fi
    (cd end2end && PLAYWRIGHT_JSON_OUTPUT_FILE=$report timeout 1800 npx playwright test --reporter=list,json) || status=$?
    count_playwright "$report" $status
    return $status
}

stage_setup() { check "$HERE/setup.sh" test; }
stage_format() { check check_format; }
stage_clippy() { check check_clippy; }
stage_site() { check build_site; }

mkdir -p "$LOGS"
stage set-up stage_setup
use_tools
find_acceptance
stage scripts run_script_tests
stage format stage_format
stage clippy stage_clippy
stage "site (wasm)" stage_site
stage tests run_tests
stage "doc tests" run_doc_tests
stage "browser tests" run_browser_tests

printf '\n'
printf '%s\n' "${TIMES[@]}" "$(printf '%5d s  in all' "$SECONDS")"
print_counts
[ "$N_FAILED" -eq 0 ]
