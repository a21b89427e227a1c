#!/usr/bin/env bash
# Builds the server and the site, and skips the site when nothing that it is made of changed.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source-path=SCRIPTDIR source=lib/site.sh
. "$HERE/lib/site.sh"

say "building the server"
cargo build --release --locked -p server
build_site
