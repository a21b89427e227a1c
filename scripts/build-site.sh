#!/usr/bin/env bash
# Builds the site into target/site: wasm, script, style sheet, static files, and their compressed copies.
# Plain cargo, wasm-bindgen, wasm-opt and sass; the same result as cargo-leptos would make.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/env.sh
. "$HERE/lib/env.sh"
# shellcheck source=/dev/null
if [ -f "$WASM_ENV_FILE" ]; then . "$WASM_ENV_FILE"; fi

NAME=trimtab # LEPTOS_OUTPUT_NAME in .cargo/config.toml
TARGET=wasm32-unknown-unknown
PROFILE=wasm-release
NPM_BIN=$ROOT/end2end/node_modules/.bin
SITE=$TARGET_DIR/site
# Built beside the old one and moved into place whole: a server that runs meanwhile never sees half a site.
NEW=$SITE.new

has wasm-bindgen || die "wasm-bindgen is missing" "run \`make build\`, which installs it"
for tool in wasm-opt sass; do
    [ -x "$NPM_BIN/$tool" ] || die "$tool is missing" "run \`make build\`, which installs it"
done

"${WASM_CARGO:-cargo}" build --locked -p frontend --profile "$PROFILE" --target "$TARGET"

rm -rf "$NEW"
mkdir -p "$NEW/pkg"
cp -r public/. "$NEW/"
wasm-bindgen --target web --no-typescript --out-name "$NAME" --out-dir "$NEW/pkg" \
    "$TARGET_DIR/$TARGET/$PROFILE/frontend.wasm"
# Leptos asks for NAME.wasm. Only what every browser of the last years reads: the newest encodings are refused.
WASM_FEATURES=(--enable-bulk-memory --enable-bulk-memory-opt --enable-nontrapping-float-to-int --enable-sign-ext
    --enable-mutable-globals --enable-reference-types --enable-multivalue)
"$NPM_BIN/wasm-opt" -Oz "${WASM_FEATURES[@]}" "$NEW/pkg/${NAME}_bg.wasm" -o "$NEW/pkg/$NAME.wasm"
rm "$NEW/pkg/${NAME}_bg.wasm"
sed -i "s/${NAME}_bg\.wasm/$NAME.wasm/g" "$NEW/pkg/$NAME.js"
"$NPM_BIN/sass" --no-source-map --style=compressed style/main.scss "$NEW/pkg/$NAME.css"

# The server sends these copies; compressing once at the highest level beats compressing at every request.
node - "$NEW" <<'JS'
const { readdirSync, readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { brotliCompressSync, gzipSync } = require("node:zlib");
for (const entry of readdirSync(process.argv[2], { recursive: true })) {
  if (!/\.(wasm|js|css|svg)$/.test(entry)) continue;
  const file = join(process.argv[2], entry);
  const content = readFileSync(file);
  writeFileSync(`${file}.br`, brotliCompressSync(content)); // level 11 is Node's default
  writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
}
JS

rm -rf "$SITE"
mv "$NEW" "$SITE"
say "built the site: $(stat -c %s "$SITE/pkg/$NAME.wasm") bytes of wasm, $(stat -c %s "$SITE/pkg/$NAME.wasm.br") sent"
