#!/usr/bin/env bash
# Installs what is missing, builds, and serves Trimtab; a first start with an empty store begins the quickstart run.
# Knobs: TRIMTAB_ADDR (default 127.0.0.1:3000), TRIMTAB_DATA_DIR (default ./data).
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

"$HERE/setup.sh" run
use_tools
"$HERE/build.sh"
addr=${TRIMTAB_ADDR:-127.0.0.1:3000}
say "open http://$addr in a browser; Ctrl-C stops everything"
# The server takes this process's place, so that Ctrl-C and signals reach it and nothing is left behind.
exec "$TRIMTAB_BIN" serve --quickstart --addr "$addr"
