//! Where a cookie belongs: host names, domains and paths (RFC 6265bis, 5.1.2 to 5.1.4).

use std::borrow::Cow;
use std::net::IpAddr;

/// A host name as it is compared: lower case, without port, brackets and the dot of the root (5.1.2). Names that are not ASCII
/// are expected in the form that DNS and the Host header have them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host<'a>(Cow<'a, str>);

impl<'a> Host<'a> {
    pub fn of(text: &'a str) -> Self {
        let name = match text.strip_prefix('[') {
            Some(address) => address.split(']').next().unwrap_or_default(),
            None => without_port(text),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        Self(match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_address(&self) -> bool {
        self.0.parse::<IpAddr>().is_ok()
    }

    /// Domain matching (5.1.3): the same, or below `domain` and no address.
    pub fn is_within(&self, domain: &str) -> bool {
        is_within(&self.0, domain) && (self.0 == domain || !self.is_address())
    }
}

/// Colons are in addresses too, but more than one of them.
fn without_port(text: &str) -> &str {
    match text.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => text,
    }
}

/// Whether the names are the same, or `name` is one below `domain`.
pub(super) fn is_within(name: &str, domain: &str) -> bool {
    match name.strip_suffix(domain) {
        Some(rest) => rest.is_empty() || (rest.ends_with('.') && !domain.is_empty()),
        None => false,
    }
}

/// Whether anybody can register names below this one, as it is with `com`, `co.uk` and, by the list's rule for all others, with
/// every name of one label.
pub(super) fn is_public_suffix(domain: &str) -> bool {
    psl::suffix_str(domain) == Some(domain)
}

/// The path without the query (5.1.4).
pub(super) fn without_query(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

/// The path that a cookie without a Path attribute gets (5.1.4): that of the folder.
pub(super) fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(last) if last > 0 && path.starts_with('/') => &path[..last],
        _ => "/",
    }
}

/// Path matching (5.1.4): the same, or below it.
pub(super) fn path_matches(path: &str, cookie_path: &str) -> bool {
    match path.strip_prefix(cookie_path) {
        Some(rest) => rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_in_one_form() {
        for (text, expected) in [
            ("www.Example.COM", "www.example.com"),
            ("www.example.com:8080", "www.example.com"),
            ("www.example.com.", "www.example.com"),
            ("www.example.com.:80", "www.example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[2001:DB8::1]:443", "2001:db8::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("", ""),
            ("[", ""),
            (":", ""),
        ] {
            assert_eq!(Host::of(text).as_str(), expected, "{text}");
        }
    }

    #[test]
    fn a_domain_holds_itself_and_what_is_below() {
        for (host, domain, expected) in [
            ("example.com", "example.com", true),
            ("www.example.com", "example.com", true),
            ("a.b.example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("example.com", "www.example.com", false),
            ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4", "3.4", false),
            ("1.2.3.4", ".3.4", false),
            ("::1", "1", false),
            ("example.com", "", false),
            ("example.com", ".", false),
            ("example..", "", false),
            ("", "", true),
        ] {
            assert_eq!(
                Host::of(host).is_within(domain),
                expected,
                "{host} {domain}"
            );
        }
    }

    #[test]
    fn suffixes_are_those_of_the_list() {
        for (domain, expected) in [
            ("com", true),
            ("co.uk", true),
            ("github.io", true),
            ("xn--p1ai", true),
            ("xn--55qx5d.cn", true),
            ("ck", true),
            ("anything.ck", true),
            ("www.ck", false),
            ("localhost", true),
            ("test", true),
            ("example.com", false),
            ("bbc.co.uk", false),
            ("app.test", false),
        ] {
            assert_eq!(is_public_suffix(domain), expected, "{domain}");
        }
    }

    #[test]
    fn the_default_path_is_the_folder() {
        for (path, expected) in [
            ("/some/path/index.html", "/some/path"),
            ("/some/path/", "/some/path"),
            ("/abc", "/"),
            ("/", "/"),
            ("", "/"),
            ("abc/def", "/"),
            ("//", "/"),
        ] {
            assert_eq!(default_path(path), expected, "{path}");
        }
        assert_eq!(without_query("/a/b?c=/d#e"), "/a/b");
        assert_eq!(without_query("?"), "");
    }

    #[test]
    fn paths_match_at_slashes() {
        for (path, cookie_path, expected) in [
            ("/some/path", "/some/path", true),
            ("/some/path/", "/some/path", true),
            ("/some/path/foo", "/some/path", true),
            ("/some/path/foo", "/some/path/", true),
            ("/some", "/some/path", false),
            ("/some/", "/some/path", false),
            ("/some/paths", "/some/path", false),
            ("/some/path", "/some/path/", false),
            ("/Some/path", "/some/path", false),
            ("/anything", "/", true),
        ] {
            assert_eq!(
                path_matches(path, cookie_path),
                expected,
                "{path} {cookie_path}"
            );
        }
    }
}
