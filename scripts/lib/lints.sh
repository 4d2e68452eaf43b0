# shellcheck shell=bash
# What scripts/test checks without running the code. Each lint counts as one.

# lints system|1.28|PATH…
lints() {
    check "Cargo.lock fits Cargo.toml" cargo metadata --quiet --locked --format-version 1 || true
    rustfmt_lint
    clippy_lints "$@"
    select_nginx "$1"
    use_nginx_headers
    # The module has no public items: its documentation is for those who work on it.
    check "rustdoc" env RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' \
        cargo doc --quiet --workspace --no-deps --document-private-items || true
    perl_lint
    python_lint
    check "shellcheck" shellcheck --external-sources .ci/run \
        $(grep --recursive --files-with-matches --max-count=1 '^#!.*sh$' scripts) || true
}

rustfmt_lint() {
    if lacks_rust_tool fmt; then
        skip "rustfmt: Debian has none for this Rust"
    else
        check "rustfmt" cargo fmt --all --check || true
    fi
}

# Everything for the first nginx, and for each other one the module again: what depends on the version is in there.
clippy_lints() {
    if lacks_rust_tool clippy; then
        skip "clippy: Debian has none for this Rust"
        return
    fi
    local version packages=--workspace
    for version in "$@"; do
        select_nginx "$version"
        use_nginx_headers
        check "clippy, nginx $(nginx_source_version)" \
            cargo clippy --quiet "$packages" --all-targets -- -D warnings || true
        packages=--package=nginx-session
    done
}

# Whether the tool is missing and not to be had; where it can be installed, its absence is a failure that says how.
lacks_rust_tool() { uses_debian_rust && ! cargo "$1" --version >/dev/null 2>&1; }

perl_lint() {
    local files
    # What adapts upstream Test::Nginx compiles only where that is installed; Debian does not have it.
    mapfile -t files < <(find t scripts/lib/run-tap -name '*.t' -o -name '*.pm' -o -name run-tap | sort |
        xargs grep --files-without-match '^use Test::Nginx')
    # shellcheck disable=SC2016 # for the inner shell
    check "perl -c (${#files[@]} files)" \
        sh -c 'for file; do perl -It/lib -wc "$file" || exit; done' sh "${files[@]}" || true
}

python_lint() {
    local files
    mapfile -t files < <(find t scripts -name '*.py' | sort)
    if [ ${#files[@]} -eq 0 ]; then
        skip "python: no files"
        return
    fi
    check "python syntax (${#files[@]} files)" python3 -c \
        'import sys; [compile(open(path, "rb").read(), path, "exec") for path in sys.argv[1:]]' "${files[@]}" || true
}
