# shellcheck shell=bash
# Builds the module for the nginx chosen with select_nginx.

MODULE_FILE=ngx_http_session_module.so

# set_up_for system|1.28|PATH
set_up_for() {
    case $1 in
        system | 1.28) "$ROOT/scripts/setup" build "${1/system/build}" ;;
        *) "$ROOT/scripts/setup" build ;;
    esac
}

# Runs cargo on the target folder and the headers of the chosen nginx: each nginx has a target folder of its own, so that
# going from one to the other builds nothing again.
nginx_cargo() {
    [ -f "$NGX_OBJS/ngx_auto_config.h" ] || die "$NGX_SOURCE is not prepared: run scripts/setup ${NGX_NAME/system/build}"
    NGINX_SOURCE_DIR=$NGX_SOURCE NGINX_BUILD_DIR=$NGX_OBJS CARGO_TARGET_DIR=$TARGET/$NGX_NAME cargo "$@"
}

# build_module release|dev|test sets MODULE to the file it made.
build_module() {
    local options=() built=$1 folder=$TARGET/out/$NGX_NAME
    case $1 in
        release) options=(--release) ;;
        dev)
            built=debug
            folder+=-debug
            ;;
    esac
    nginx_cargo build --package nginx-session "${options[@]}" || return
    mkdir -p "$folder"
    # A running nginx may have the old file mapped: it is replaced, not written over.
    cp "$TARGET/$NGX_NAME/$built/lib$MODULE_FILE" "$folder/.$MODULE_FILE.$$"
    mv "$folder/.$MODULE_FILE.$$" "$folder/$MODULE_FILE"
    MODULE=$folder/$MODULE_FILE
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
