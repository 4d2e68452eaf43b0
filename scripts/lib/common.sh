# shellcheck shell=bash
# What every script needs: where the project is, how to speak, how to become root, how not to run twice.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TARGET=$ROOT/target

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    warn "$@"
    exit 1
}

# The comment at the head of a script is its help text.
print_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "packages have to be installed, which needs root: run 'scripts/setup' as root, or install sudo"
    fi
}

# version_at_least HAVE WANT
version_at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# Held until the script ends, so that two runs in one checkout do not prepare the same files.
lock_checkout() {
    mkdir -p "$TARGET"
    exec 9>"$TARGET/.setup.lock"
    if ! flock --nonblock 9; then
        say "waiting for another set-up of this checkout"
        flock --timeout 1800 9 || die "another set-up has held $TARGET/.setup.lock for half an hour"
    fi
}

# run_quietly LOG COMMAND…: shows the output only when the command fails.
run_quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 && return
    tail -n 40 "$log" >&2
    die "failed: $* (all output: $log)"
}
