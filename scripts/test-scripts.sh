#!/usr/bin/env bash
# Tests of the functions that decide whether a test run passed, of version comparison, and of the table of peers.
# Prints what `cargo test` would, so that the same counter reads it.
set -uo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
n_passed=0
n_failed=0

# expect NAME WANT COMMAND…: the command prints WANT.
expect() {
    local name=$1 want=$2 got
    shift 2
    got=$("$@" 2>&1)
    if [ "$got" = "$want" ]; then
        n_passed=$((n_passed + 1))
        echo "test $name ... ok"
    else
        n_failed=$((n_failed + 1))
        printf 'test %s ... FAILED\n  want: %s\n  got:  %s\n' "$name" "$want" "$got"
    fi
}

# Counters of their own for every case: each runs in a shell of its own.
count() {
    # shellcheck source-path=SCRIPTDIR source=lib/count.sh
    . "$HERE/lib/count.sh"
    "$@"
    print_counts
}

said() { "$@" && echo yes || echo no; }

result() { echo "test result: $1. $2 passed; $3 failed; $4 ignored; 0 measured; 0 filtered out; finished in 0.00s"; }
running() { echo "     Running unittests src/lib.rs (target/release/deps/$1-0)"; }

{ running a; result ok 3 0 1; running b; result ok 4 0 0; } >"$WORK/passed"
{ running a; result ok 3 0 0; running b; result FAILED 3 2 0; echo "error: 1 target failed:"; } >"$WORK/failed"
{ running a; result ok 3 0 0; running b; echo "(signal: 11, SIGSEGV: invalid memory reference)"; } >"$WORK/crashed"
echo "error: could not compile \`server\`" >"$WORK/broken"
report() { printf '{"stats":{"expected":%d,"unexpected":%d,"flaky":%d,"skipped":%d},"errors":[%s]}' "$@"; }
report 4 0 1 2 '' >"$WORK/browser-passed"
report 4 1 0 0 '' >"$WORK/browser-failed"
report 0 0 0 0 '{"message":"no tests found"}' >"$WORK/browser-empty"

expect cargo_results_are_summed "7 passed, 0 failed, 1 skipped" count count_cargo "$WORK/passed" 0
expect cargo_failures_are_summed "6 passed, 2 failed, 0 skipped" count count_cargo "$WORK/failed" 101
expect a_crashed_test_program_is_a_failure "3 passed, 1 failed, 0 skipped" count count_cargo "$WORK/crashed" 101
expect a_build_that_fails_is_a_failure "0 passed, 1 failed, 0 skipped" count count_cargo "$WORK/broken" 101
expect a_bad_exit_with_good_results_is_a_failure "7 passed, 1 failed, 1 skipped" count count_cargo "$WORK/passed" 1
expect a_flaky_browser_test_passed "5 passed, 0 failed, 2 skipped" count count_playwright "$WORK/browser-passed" 0
expect browser_failures_are_summed "4 passed, 1 failed, 0 skipped" count count_playwright "$WORK/browser-failed" 1
expect no_browser_test_is_a_failure "0 passed, 1 failed, 0 skipped" count count_playwright "$WORK/browser-empty" 1
expect no_browser_report_is_a_failure "0 passed, 1 failed, 0 skipped" count count_playwright "$WORK/none" 0
expect a_check_that_passes_is_not_counted "0 passed, 0 failed, 0 skipped" count count_check 0
expect a_check_that_fails_is_counted "0 passed, 1 failed, 0 skipped" count count_check 2

expect the_same_version_is_enough yes said at_least 1.95.0 1.95.0
expect a_shorter_version_is_enough yes said at_least 1.95.0 1.95
expect a_newer_version_is_enough yes said at_least 1.100.0 1.95
expect an_older_version_is_not_enough no said at_least 1.85.0 1.95
expect offline_is_off_by_default no said env -u TRIMTAB_OFFLINE bash -c ". '$HERE/lib/env.sh'; is_offline"
expect offline_can_be_asked_for yes said env TRIMTAB_OFFLINE=1 bash -c ". '$HERE/lib/env.sh'; is_offline"
expect zero_is_not_offline no said env TRIMTAB_OFFLINE=0 bash -c ". '$HERE/lib/env.sh'; is_offline"

expect the_table_of_peers_says_what_the_samples_say yes said python3 -B -c "
import sys, unittest
sys.path.insert(0, '$HERE/peers')
result = unittest.TextTestRunner(stream=open('/dev/null', 'w')).run(unittest.defaultTestLoader.discover('$HERE/peers'))
sys.exit(not result.wasSuccessful() or result.testsRun == 0)"

result "$([ $n_failed -eq 0 ] && echo ok || echo FAILED)" $n_passed $n_failed 0
[ $n_failed -eq 0 ]
