# shellcheck shell=bash
# Debian packages, by what they are for.

# packages_of GROUP…
packages_of() {
    local group
    for group in "$@"; do
        case $group in
            tools)
                echo clang libclang-dev pkg-config gcc libc6-dev make perl ca-certificates \
                    libssl-dev libpcre2-dev zlib1g-dev
                ;;
            build) echo nginx nginx-dev ;;
            test)
                echo libtest-base-perl libhttp-message-perl libio-socket-ssl-perl procps valgrind \
                    python3 python3-cryptography curl openssl nghttp2-client shellcheck \
                    redis-server memcached postgresql mariadb-server wrk binutils linux-perf \
                    chromium python3-django python3-fastapi python3-uvicorn
                ;;
            demo) echo curl openssl python3 ;;
            bench) echo wrk python3 procps util-linux binutils linux-perf redis-server postgresql ;;
        esac
    done
}

is_installed() {
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# missing_packages PACKAGE…: those of them that are not installed.
missing_packages() {
    local installed package
    installed=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
    for package in "$@"; do
        grep --quiet --fixed-strings --line-regexp "installed $package" <<<"$installed" || echo "$package"
    done
}

# ensure_packages PACKAGE…
ensure_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] && return
    say "missing packages: ${missing[*]}"
    update_package_lists
    install_packages "${missing[@]}"
}

update_package_lists() {
    [ -z "${package_lists_updated:-}" ] || return 0
    command -v apt-get >/dev/null ||
        die "apt-get is not there: set-up is for Debian 12 and newer; elsewhere build with 'scripts/build --no-setup --nginx PATH'"
    as_root apt-get -qq -o DPkg::Lock::Timeout=600 update ||
        warn "the package lists could not be updated: going on with those that are there"
    package_lists_updated=yes
}

install_packages() {
    as_root "$ROOT/scripts/lib/install-packages" "$@" || die "apt-get could not install: $*"
}
