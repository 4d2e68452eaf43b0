# shellcheck shell=bash
# A Rust that is new enough: the one on PATH, or else Debian's.

rust_wanted() { sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1; }

# rust_fits [FOLDER/]: whether rustc and cargo there (on PATH when left out) work and are new enough.
rust_fits() {
    local version
    "${1:-}cargo" --version >/dev/null 2>&1 || return
    version=$("${1:-}rustc" --version 2>/dev/null | cut -d ' ' -f 2)
    [ -n "$version" ] && version_at_least "$version" "$(rust_wanted)"
}

# Puts the Rust to build with first on PATH; fails when there is none.
use_rust() {
    rust_fits && return
    rust_fits /usr/bin/ || return
    PATH=/usr/bin:$PATH
    export PATH
}

uses_debian_rust() { [ "$(command -v rustc)" = /usr/bin/rustc ]; }

ensure_rust() {
    use_rust && return
    say "Rust $(rust_wanted) or newer is not on PATH: taking Debian's"
    update_package_lists
    local suffix
    # Debian keeps a newer Rust for its browsers under names of their own.
    for suffix in -web ''; do
        version_at_least "$(candidate_version "rustc$suffix")" "$(rust_wanted)" || continue
        say "installing rustc$suffix and cargo$suffix"
        install_packages "rustc$suffix" "cargo$suffix"
        use_rust && return
    done
    die "this Debian has no Rust $(rust_wanted) or newer: install one (https://rustup.rs) and put it on PATH"
}

# Formatter and linter go with the compiler. Debian has no clippy for its rustc-web, and not everywhere a rustfmt.
ensure_rust_lints() {
    uses_debian_rust || return 0
    local package suffix=''
    is_installed rustc-web && suffix=-web
    for package in "rustfmt$suffix" "rust-clippy$suffix"; do
        is_installed "$package" && continue
        [ "$(candidate_version "$package")" = 0 ] || ensure_packages "$package"
    done
}

# The version apt would install, 0 when there is none.
candidate_version() {
    local version
    version=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p')
    case $version in
        '' | '(none)') echo 0 ;;
        *) echo "${version#*:}" ;;
    esac
}
