# shellcheck shell=bash
# System packages: collect what is missing with its reason, then install all of it in one go.
# Needs lib/env.sh.

MISSING=()

# need PACKAGE REASON: notes a package for `install_packages`.
need() {
    MISSING+=("$1")
    say "missing: $1 ($2)"
}

# need_command COMMAND PACKAGE REASON: notes the package unless the command is there.
need_command() { has "$1" || need "$2" "$3"; }

# as_root COMMAND…: runs it as root, by sudo where this is another user.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! has sudo; then
        die "installing packages needs root, and sudo is not here" "as root: $*"
    elif [ -t 0 ] || sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        die "installing packages needs root, and sudo asks for a password" "run by hand: sudo $*"
    fi
}

# apt_get ARGUMENTS…: waits for another apt to end instead of failing; what it prints matters only when it fails.
apt_get() {
    local log status=0
    log=$(mktemp)
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 || status=$?
    if [ $status -ne 0 ]; then tail -n 30 "$log" >&2; fi
    rm -f "$log"
    return $status
}

# Refreshes the package lists once in a set-up.
apt_update() {
    [ -z "${APT_IS_FRESH:-}" ] || return 0
    apt_get update || die "the package lists could not be fetched" "check the network, then run the same command again"
    APT_IS_FRESH=1
}

# Installs what `need` noted.
install_packages() {
    [ ${#MISSING[@]} -gt 0 ] || return 0
    has apt-get || die "this machine has no apt-get" "install by your own package manager: ${MISSING[*]}"
    is_offline && die "TRIMTAB_OFFLINE=1 forbids installing: ${MISSING[*]}" "install them, or unset TRIMTAB_OFFLINE"
    say "installing: ${MISSING[*]}"
    apt_update
    apt_get install -y --no-install-recommends "${MISSING[@]}" || die "could not install: ${MISSING[*]}"
    MISSING=()
    hash -r
}
