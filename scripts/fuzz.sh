#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for one minute in all (FUZZ_SECONDS).
# The coverage flags of libFuzzer are unstable in rustc; RUSTC_BOOTSTRAP lets the stable compiler take them.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

if ! has cargo-fuzz; then
    say "installing cargo-fuzz into $TRIMTAB_TOOLS (once)"
    (cd / && unset CARGO_TARGET_DIR && cargo install --quiet --locked --root "$TRIMTAB_TOOLS" cargo-fuzz)
    use_tools
fi
export RUSTC_BOOTSTRAP=1
mapfile -t targets < <(cargo fuzz list)
[ ${#targets[@]} -gt 0 ] || die "fuzz/ has no targets"
seconds=$((${FUZZ_SECONDS:-60} / ${#targets[@]}))
for target in "${targets[@]}"; do
    say "fuzzing $target for $seconds s"
    cargo fuzz run "$target" -- -max_total_time="$seconds"
done
