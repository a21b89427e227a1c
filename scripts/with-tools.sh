#!/usr/bin/env bash
# Runs a command with the tools that the set-up found: `scripts/with-tools.sh cargo bench`.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
exec "$@"
