# shellcheck shell=bash
# llama.cpp, which `make bench-peers` measures beside us: built once from a pinned source package, for this processor.
# Needs lib/env.sh.

PEER_PACKAGE=llama-cpp-python==0.3.36 # carries the whole source of llama.cpp
PEER_DIR=${TRIMTAB_PEER_DIR:-$TRIMTAB_CACHE/peers}
PEER_PYTHON=$PEER_DIR/venv/bin/python
PEER_SOURCE=$PEER_DIR/llama-cpp-python
PEER_PROGRAMS=$PEER_DIR/build/bin
PEER_TARGETS=(llama-bench llama-quantize llama-server)

# A Python with what reads GGUF files and builds the peer.
ensure_peer_python() {
    if [ -x "$PEER_PYTHON" ] && "$PEER_PYTHON" -c 'import gguf' 2>/dev/null; then return 0; fi
    is_offline && die "TRIMTAB_OFFLINE=1 forbids installing what the comparison needs"
    say "installing gguf, cmake and ninja into $PEER_DIR/venv: they read model files and build llama.cpp"
    mkdir -p "$PEER_DIR"
    python3 -m venv "$PEER_DIR/venv"
    "$PEER_PYTHON" -m pip install --quiet gguf cmake ninja scikit-build-core typing-extensions diskcache jinja2 >&2
}

# Unpacks the source package; building it through pip would leave out its programs.
ensure_peer_source() {
    local work
    if [ -f "$PEER_SOURCE/PKG-INFO" ]; then return 0; fi
    is_offline && die "TRIMTAB_OFFLINE=1 forbids downloading $PEER_PACKAGE"
    say "downloading $PEER_PACKAGE (77 MB)"
    work=$(mktemp -d "$PEER_DIR/source.XXXXXX")
    PATH=$PEER_DIR/venv/bin:$PATH "$PEER_PYTHON" -m pip download --quiet --no-deps --no-build-isolation \
        --no-binary llama-cpp-python --dest "$work" "$PEER_PACKAGE" >&2 || die "$PEER_PACKAGE could not be downloaded"
    mkdir "$work/unpacked"
    tar xzf "$work"/*.tar.gz --strip-components=1 -C "$work/unpacked"
    mv "$work/unpacked" "$PEER_SOURCE"
    rm -rf "$work"
}

# Builds its programs with its own defaults, for this processor; a second call builds nothing.
build_peer() {
    PATH=$PEER_DIR/venv/bin:$PATH
    cmake -G Ninja -S "$PEER_SOURCE/vendor/llama.cpp" -B "$PEER_DIR/build" -DCMAKE_BUILD_TYPE=Release \
        -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF >"$PEER_DIR/configure.log" 2>&1 ||
        die "llama.cpp could not be configured" "see $PEER_DIR/configure.log"
    ninja -C "$PEER_DIR/build" "${PEER_TARGETS[@]}" >"$PEER_DIR/build.log" 2>&1 ||
        die "llama.cpp could not be built" "see $PEER_DIR/build.log"
}

# Lets `import llama_cpp` find the libraries that were built.
link_peer_library() {
    local libraries=$PEER_SOURCE/llama_cpp/lib site
    mkdir -p "$libraries"
    ln -sf "$PEER_PROGRAMS"/*.so* "$libraries/"
    site=$("$PEER_PYTHON" -c 'import site; print(site.getsitepackages()[0])')
    printf '%s\n' "$PEER_SOURCE" >"$site/llama_cpp_peer.pth"
}

ensure_peer() {
    ensure_peer_python
    ensure_peer_source
    build_peer
    link_peer_library
}
