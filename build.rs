//! Passes on what `nginx-sys` found out about the nginx this module is built for:
//!
//! * `cfg(ngx_feature = "…")`: what nginx was configured with (`http_v2`, `threads`, …);
//! * `cfg(ngx_os = "…")`: the operating system, in nginx's words;
//! * `cfg(ngx_linked_headers)`: headers of one name are a linked list, as of nginx 1.23.0;
//! * `env!("NGX_VERSION")`: the version of nginx, such as `1.28.3`.
//!
//! Cargo hands these over to direct dependents of `nginx-sys` only, so it has to stay one in Cargo.toml.

use std::env;

/// The first nginx that keeps request headers of one name in a linked list (`headers_in.cookie`) and not in an array
/// (`headers_in.cookies`).
const LINKED_HEADERS_SINCE: u32 = 1_023_000;

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    pass_on(
        "ngx_feature",
        &nginx("FEATURES")?,
        &nginx("FEATURES_CHECK")?,
    );
    pass_on("ngx_os", &nginx("OS")?, &nginx("OS_CHECK")?);
    pass_on_version(&nginx("VERSION")?, &nginx("VERSION_NUMBER")?)
}

fn pass_on(cfg: &str, values: &str, known_values: &str) {
    println!("cargo::rustc-check-cfg=cfg({cfg}, values({known_values}))");
    for value in values.split(',').filter(|value| !value.is_empty()) {
        println!("cargo::rustc-cfg={cfg}=\"{value}\"");
    }
}

fn pass_on_version(signature: &str, number: &str) -> Result<(), String> {
    let version = signature.rsplit('/').next().unwrap_or(signature);
    println!("cargo::rustc-env=NGX_VERSION={version}");

    println!("cargo::rustc-check-cfg=cfg(ngx_linked_headers)");
    let number: u32 = number.parse().map_err(|_| {
        format!("nginx calls its version `{number}`: a number such as 1022001 was expected")
    })?;
    if number >= LINKED_HEADERS_SINCE {
        println!("cargo::rustc-cfg=ngx_linked_headers");
    }
    Ok(())
}

/// What `nginx-sys` says about nginx under `name`.
fn nginx(name: &str) -> Result<String, String> {
    let variable = format!("DEP_NGINX_{name}");
    println!("cargo::rerun-if-env-changed={variable}");
    env::var(&variable).map_err(|_| {
        format!("{variable} is not set: nginx-sys has to be a direct dependency in Cargo.toml, as only those are told")
    })
}
