# shellcheck shell=bash
# The virtual environment with the tools that define the formats: transformers, PEFT and others, on torch.
# They come from PyPI once (5 GB: PyPI has torch with CUDA only). Needs lib/env.sh.
#
# Knobs: TRIMTAB_INTEROP_VENV  another virtual environment, used as it is

REFERENCE_PACKAGES=$ROOT/scripts/interop/requirements.txt
REFERENCE_VENV=${TRIMTAB_INTEROP_VENV:-$TRIMTAB_CACHE/interop/venv}

# Installs the packages unless the list has not changed since.
ensure_reference_venv() {
    [ -z "${TRIMTAB_INTEROP_VENV:-}" ] || return 0
    if cmp -s "$REFERENCE_PACKAGES" "$REFERENCE_VENV/requirements.txt"; then return 0; fi
    if is_offline; then die "the packages of other tools are not installed" "run once without TRIMTAB_OFFLINE"; fi
    say "installing the packages of other tools into $REFERENCE_VENV (once)"
    [ -x "$REFERENCE_VENV/bin/python" ] || python3 -m venv "$REFERENCE_VENV"
    "$REFERENCE_VENV/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$REFERENCE_PACKAGES"
    cp "$REFERENCE_PACKAGES" "$REFERENCE_VENV/requirements.txt"
}
