//! How the clients of the reference library write a record's name on the wire.

use std::fmt::Write;

/// Escapes what is not a letter, a digit or one of `-._~!'()*` as `%XX`.
pub(crate) fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!'()*".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The same for each part between colons, which stay.
pub(crate) fn escaped_between_colons(name: &str) -> String {
    let parts: Vec<String> = name.split(':').map(escaped).collect();
    parts.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_character_that_ends_a_word() {
        assert_eq!(escaped("p:sid_1-A.b~:k"), "p%3Asid_1-A.b~%3Ak");
        assert_eq!(escaped("a b\r\n\0é%"), "a%20b%0D%0A%00%C3%A9%25");
        assert_eq!(escaped("!'()*"), "!'()*");
        assert_eq!(escaped_between_colons("p r:sid:k+"), "p%20r:sid:k%2B");
    }
}
