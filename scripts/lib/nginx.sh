# shellcheck shell=bash
# The nginx source trees the module is built against, and the binaries it is tested with.

# select_nginx system|1.28|PATH sets:
#   NGX_NAME    names the folders of this nginx below target/
#   NGX_SOURCE  its source tree
#   NGX_OBJS    what its configure wrote
#   NGX_BINARY  the nginx to run; may be missing for a PATH
select_nginx() {
    case $1 in
        system)
            NGX_NAME=system
            NGX_SOURCE=$TARGET/nginx-system
            NGX_OBJS=$NGX_SOURCE/objs
            NGX_BINARY=/usr/sbin/nginx
            ;;
        1.28)
            NGX_NAME=1.28
            NGX_SOURCE=$TARGET/nginx-1.28
            NGX_OBJS=$NGX_SOURCE/objs
            NGX_BINARY=$NGX_OBJS/nginx
            ;;
        *) select_custom_nginx "$1" ;;
    esac
}

select_custom_nginx() {
    [ -d "$1" ] || die "--nginx $1: use 'system', '1.28' or the folder of a configured nginx source tree"
    local path
    path=$(cd "$1" && pwd -P)
    if [ -f "$path/src/core/nginx.h" ]; then
        NGX_SOURCE=$path
        NGX_OBJS=$path/objs
    else
        NGX_SOURCE=$(dirname "$path")
        NGX_OBJS=$path
    fi
    [ -f "$NGX_SOURCE/src/core/nginx.h" ] || die "--nginx $1: there is no nginx source in $NGX_SOURCE (src/core/nginx.h)"
    [ -f "$NGX_OBJS/ngx_auto_config.h" ] ||
        die "--nginx $1: not configured: run ./configure there, with the flags of the nginx that will load the module"
    NGX_NAME=custom-$(sha256sum <<<"$NGX_OBJS" | cut -c 1-8)
    NGX_BINARY=$NGX_OBJS/nginx
}

# The version of the source tree.
nginx_source_version() { sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$NGX_SOURCE/src/core/nginx.h"; }

nginx_is_compat() { grep --quiet '^#define NGX_COMPAT *1' "$NGX_OBJS/ngx_auto_config.h"; }

# is_prepared FOLDER STAMP: whether FOLDER was finished from just this STAMP.
is_prepared() { [ -f "$1/.prepared" ] && [ "$(<"$1/.prepared")" = "$2" ]; }

# nginx-dev brings headers and auto/, but no objs/: configure links to them as Debian's nginx was configured.
ensure_system_tree() {
    local source=/usr/share/nginx/src tree=$TARGET/nginx-system stamp running headers link
    running=$(/usr/sbin/nginx -v 2>&1 | sed 's|.*nginx/\([0-9.]*\).*|\1|')
    headers=$(sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' $source/src/core/nginx.h)
    [ "$running" = "$headers" ] || die "/usr/sbin/nginx is $running but nginx-dev is for $headers: upgrade both" \
        "(apt-get install nginx nginx-dev), or build with 'scripts/build --nginx PATH' for an nginx from elsewhere"

    stamp="nginx $(dpkg-query --show --showformat '${Version}' nginx-dev)"
    is_prepared "$tree" "$stamp" && return
    say "configuring a source tree for nginx $running"
    rm -rf "$tree"
    mkdir -p "$tree"
    for link in auto src configure; do ln -s "$source/$link" "$tree/$link"; done
    run_quietly "$tree/configure.log" configure_like_debian "$tree" $source/conf_flags
    echo "$stamp" >"$tree/.prepared"
}

configure_like_debian() (
    NGX_CONF_FLAGS=()
    # shellcheck source=/dev/null
    . "$2"
    cd "$1" && ./configure "${NGX_CONF_FLAGS[@]}"
)

# The second nginx to test with: from the nginx-src crate, whose version lib/nginx-src/Cargo.lock pins.
ensure_1_28_tree() {
    local tree=$TARGET/nginx-1.28 manifest=$ROOT/scripts/lib/nginx-src stamp
    stamp=$({ cat "$manifest/Cargo.lock"; declare -f build_1_28; } | sha256sum)
    is_prepared "$tree" "$stamp" && return
    local crate
    crate=$(nginx_src_crate "$manifest")
    [ -d "$crate/nginx/src" ] || die "cargo did not fetch the nginx-src crate, see above: is crates.io in reach?"
    say "building nginx from ${crate##*/}"
    rm -rf "$tree"
    cp -R "$crate/nginx" "$tree"
    run_quietly "$tree/build.log" build_1_28 "$tree"
    echo "$stamp" >"$tree/.prepared"
}

# Where cargo unpacked the nginx-src crate.
nginx_src_crate() {
    local host
    host=$(rustc --version --verbose | sed -n 's/^host: //p')
    cargo metadata --quiet --locked --format-version 1 --filter-platform "$host" --manifest-path "$1/Cargo.toml" |
        perl -MJSON::PP -MFile::Basename -0777 -ne \
            'print dirname($_->{manifest_path}) for grep { $_->{name} eq "nginx-src" } @{decode_json($_)->{packages}}'
}

build_1_28() (
    cd "$1" || exit
    # -Wno-error: compilers newer than this nginx warn about more. Errors before the configuration is read go to stderr,
    # as in Debian's build.
    auto/configure \
        --with-compat --with-debug --with-threads --with-pcre-jit --with-cc-opt='-Wno-error' --error-log-path=stderr \
        --with-http_addition_module --with-http_auth_request_module --with-http_dav_module --with-http_flv_module \
        --with-http_gunzip_module --with-http_gzip_static_module --with-http_mp4_module --with-http_random_index_module \
        --with-http_realip_module --with-http_secure_link_module --with-http_slice_module --with-http_ssl_module \
        --with-http_stub_status_module --with-http_sub_module --with-http_v2_module &&
        make -j "$(nproc)"
)
