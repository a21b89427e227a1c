# shellcheck shell=bash
# Counts of passed, failed and skipped tests, read from what the runners print. Needs lib/env.sh.

N_PASSED=0
N_FAILED=0
N_SKIPPED=0

# count_cargo LOG EXIT_STATUS: adds the `test result:` lines of a `cargo test`.
# A test program that ended without its line crashed, and counts as one failure; so does a failed build.
count_cargo() {
    local passed failed ignored programs results crashed=0
    read -r passed failed ignored results < <(awk '
        /^test result: / {
            results++
            for (i = 2; i <= NF; i++) {
                if ($i == "passed;") passed += $(i - 1)
                if ($i == "failed;") failed += $(i - 1)
                if ($i == "ignored;") ignored += $(i - 1)
            }
        }
        END { print passed + 0, failed + 0, ignored + 0, results + 0 }' "$1")
    programs=$(grep -cE '^ +(Running|Doc-tests) ' "$1" || true)
    if [ "$2" -ne 0 ]; then
        if [ "$programs" -gt "$results" ]; then crashed=$((programs - results)); fi
        if [ $((failed + crashed)) -eq 0 ]; then crashed=1; fi
    fi
    N_PASSED=$((N_PASSED + passed))
    N_FAILED=$((N_FAILED + failed + crashed))
    N_SKIPPED=$((N_SKIPPED + ignored))
}

# count_playwright REPORT.json EXIT_STATUS: adds the totals of Playwright's JSON report; no report is one failure.
count_playwright() {
    local passed=0 failed=0 skipped=0
    # shellcheck disable=SC2016 # node expands it, not this line
    read -r passed failed skipped < <(node -e '
        const { stats, errors } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
        console.log(stats.expected + stats.flaky, stats.unexpected + errors.length, stats.skipped);
    ' "$1" 2>/dev/null || echo "0 0 0")
    if [ "$2" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
    if [ "$2" -eq 0 ] && [ $((passed + failed + skipped)) -eq 0 ]; then failed=1; fi
    N_PASSED=$((N_PASSED + passed))
    N_FAILED=$((N_FAILED + failed))
    N_SKIPPED=$((N_SKIPPED + skipped))
}

# count_check EXIT_STATUS: a check without tests of its own counts only when it fails.
count_check() { if [ "$1" -ne 0 ]; then N_FAILED=$((N_FAILED + 1)); fi; }

print_counts() { printf '%d passed, %d failed, %d skipped\n' "$N_PASSED" "$N_FAILED" "$N_SKIPPED"; }
