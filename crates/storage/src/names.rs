//! The names of records and lists, and how the clients of the reference library write them on the wire.

use std::fmt::Write;

use session::MetaEntry;

/// The name of a record, `prefix:cookie:key:suffix`, or of a list, which has audience and subject for the key; absent parts are
/// left out. It is the text of [`session::record_name`] without the text.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    parts: [Option<&'a str>; 5],
}

impl<'a> Name<'a> {
    pub(crate) fn record(
        prefix: Option<&'a str>,
        cookie: &'a str,
        key: &'a str,
        suffix: Option<&'a str>,
    ) -> Self {
        Self {
            parts: [prefix, Some(cookie), Some(key), None, suffix],
        }
    }

    pub(crate) fn list(
        prefix: Option<&'a str>,
        cookie: &'a str,
        entry: &'a MetaEntry,
        suffix: Option<&'a str>,
    ) -> Self {
        let (audience, subject) = (entry.audience.as_str(), entry.subject.as_str());
        Self {
            parts: [prefix, Some(cookie), Some(audience), Some(subject), suffix],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces().map(str::len).sum()
    }

    /// What its text is made of: parts, and colons between them.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &'a str> {
        let parts = self.parts.into_iter().flatten().enumerate();
        parts.flat_map(|(nth, part)| [(nth > 0).then_some(":"), Some(part)].into_iter().flatten())
    }
}

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
    use session::metadata::collection_name;
    use session::record_name;

    use super::*;

    #[test]
    fn names_are_those_of_the_session_crate() {
        let entry = MetaEntry::new("audience", "subject", true);
        for (prefix, suffix) in [
            (None, None),
            (Some("p"), None),
            (None, Some("s")),
            (Some("p"), Some("s")),
            (Some(""), Some("")),
        ] {
            for (name, expected) in [
                (
                    Name::record(prefix, "sid", "key", suffix),
                    record_name(prefix, "sid", "key", suffix),
                ),
                (
                    Name::list(prefix, "sid", &entry, suffix),
                    collection_name(prefix, "sid", &entry, suffix),
                ),
            ] {
                assert_eq!(name.pieces().collect::<String>(), expected);
                assert_eq!(name.len(), expected.len());
            }
        }
    }

    #[test]
    fn names_have_no_character_that_ends_a_word() {
        assert_eq!(escaped("p:sid_1-A.b~:k"), "p%3Asid_1-A.b~%3Ak");
        assert_eq!(escaped("a b\r\n\0é%"), "a%20b%0D%0A%00%C3%A9%25");
        assert_eq!(escaped("!'()*"), "!'()*");
        assert_eq!(escaped_between_colons("p r:sid:k+"), "p%20r:sid:k%2B");
    }
}
