#!/usr/bin/env bash
# The checks that run no test: format, clippy, documentation, and the page for wasm. Stops at the first that fails.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source-path=SCRIPTDIR source=lib/checks.sh
. "$HERE/lib/checks.sh"
# shellcheck source-path=SCRIPTDIR source=lib/site.sh
. "$HERE/lib/site.sh"

check_format
check_clippy
check_docs
build_site
say "all checks passed"
