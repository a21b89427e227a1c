#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for one minute (FUZZ_SECONDS), from well-formed files.
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
seconds=${FUZZ_SECONDS:-60}
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
python3 fuzz/seeds.py "$seeds"
for target in "${targets[@]}"; do
    say "fuzzing $target for $seconds s"
    [ -d "$seeds/$target" ] || die "there are no seeds for $target" "add them to fuzz/seeds.py"
    # New inputs are kept in the first folder.
    mkdir -p "fuzz/corpus/$target"
    cargo fuzz run "$target" "fuzz/corpus/$target" "$seeds/$target" -- -max_total_time="$seconds"
done
