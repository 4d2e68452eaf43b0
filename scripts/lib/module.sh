# shellcheck shell=bash
# Builds the module for the nginx chosen with select_nginx.

MODULE_FILE=ngx_http_session_module.so

# set_up_for system|1.28|PATH: what building for it needs
set_up_for() {
    case $1 in
        system) "$ROOT/scripts/setup" build ;;
        1.28) "$ROOT/scripts/setup" 1.28 ;;
        # Debian's nginx is left out: it may be in the way of the one of that tree.
        *) "$ROOT/scripts/setup" tools ;;
    esac
}

# Makes cargo build for the chosen nginx. Each nginx has a target folder of its own: going from one to the other builds
# nothing again.
use_nginx_headers() {
    [ -f "$NGX_OBJS/ngx_auto_config.h" ] || die "$NGX_SOURCE is not prepared: run scripts/setup ${NGX_NAME/system/build}"
    export NGINX_SOURCE_DIR=$NGX_SOURCE NGINX_BUILD_DIR=$NGX_OBJS CARGO_TARGET_DIR=$TARGET/$NGX_NAME
    # One dev profile for lints, unit tests and the module that is tested, so that dependencies are compiled once. A little
    # optimisation costs as much time as it saves when a million rounds of PBKDF2 are tested.
    export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=line-tables-only
}

# module_file release|debug: where build_module puts the module.
module_file() {
    local folder=$TARGET/out/$NGX_NAME
    [ "$1" = release ] || folder+=-debug
    echo "$folder/$MODULE_FILE"
}

# build_module release|debug
build_module() {
    local options=() file
    [ "$1" = debug ] || options=(--release)
    file=$(module_file "$1")
    use_nginx_headers
    cargo build --package nginx-session "${options[@]}"
    mkdir -p "${file%/*}"
    # An nginx that runs has the old file mapped: it is replaced, not written over.
    cp "$TARGET/$NGX_NAME/$1/lib$MODULE_FILE" "$file.$$"
    mv "$file.$$" "$file"
}

nginx_it_fits() {
    local version
    version=$(nginx_source_version)
    if nginx_is_compat; then
        echo "nginx $version configured --with-compat"
    else
        echo "nginx $version, only as configured in $NGX_OBJS"
    fi
}
