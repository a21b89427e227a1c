# shellcheck shell=bash
# The checks that read the code without running it. Needs lib/env.sh.

# The page's entry is left out on the host: its `hydrate` feature and the server's `ssr` exclude each other,
# and building the site checks it for the target that it is made for.
# The release profile shares what it compiles with the tests and with `make run`.
HOST_CRATES=(--release --locked --workspace --exclude frontend)

check_format() { cargo fmt --all --check; }
check_clippy() { cargo clippy "${HOST_CRATES[@]}" --all-targets -- -D warnings; }
check_docs() { RUSTDOCFLAGS='-D warnings' cargo doc "${HOST_CRATES[@]}" --no-deps --document-private-items; }
