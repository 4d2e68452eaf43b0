//! The query of a URI: reading its arguments, and taking some out with all else left as it is.
//!
//! Names are compared as they stand, undecoded and case included: what is looked for is what is taken out.

/// The arguments of a query, in order: name and value. A piece without `=` is a name with an empty value.
pub fn arguments(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|&b| b == b'&')
        .map(|piece| match piece.iter().position(|&b| b == b'=') {
            Some(at) => (&piece[..at], &piece[at + 1..]),
            None => (piece, &[][..]),
        })
}

/// The query without the arguments whose name `hide` names; `None` when it has none of them.
pub fn hide_arguments(query: &[u8], hide: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    if !arguments(query).any(|(name, _)| hide(name)) {
        return None;
    }
    let mut kept = Vec::with_capacity(query.len());
    let mut is_first = true;
    for (piece, (name, _)) in query.split(|&b| b == b'&').zip(arguments(query)) {
        if hide(name) {
            continue;
        }
        if !is_first {
            kept.push(b'&');
        }
        kept.extend_from_slice(piece);
        is_first = false;
    }
    Some(kept)
}

/// The same for a whole URI as a request line has it. A query that nothing is left of goes with its `?`.
pub fn hide_arguments_in_uri(uri: &[u8], hide: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    // A fragment is no part of what a client should send, and none of its text is an argument.
    let end = uri.iter().position(|&b| b == b'#').unwrap_or(uri.len());
    let start = uri[..end].iter().position(|&b| b == b'?')?;
    let query = hide_arguments(&uri[start + 1..end], hide)?;
    let mut kept = uri[..start].to_vec();
    if !query.is_empty() {
        kept.push(b'?');
        kept.extend_from_slice(&query);
    }
    kept.extend_from_slice(&uri[end..]);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_token(name: &[u8]) -> bool {
        name == b"session_id" || name == b"t"
    }

    fn hidden(query: &str) -> Option<String> {
        hide_arguments(query.as_bytes(), is_token)
            .map(|kept| String::from_utf8(kept).expect("cut at ASCII"))
    }

    fn hidden_in_uri(uri: &str) -> Option<String> {
        hide_arguments_in_uri(uri.as_bytes(), is_token)
            .map(|kept| String::from_utf8(kept).expect("cut at ASCII"))
    }

    #[test]
    fn arguments_are_read_as_they_stand() {
        let read: Vec<_> = arguments(b"a=1&b&&=x&c=d=e&A%20=%31").collect();
        let expected: [(&[u8], &[u8]); 6] = [
            (b"a", b"1"),
            (b"b", b""),
            (b"", b""),
            (b"", b"x"),
            (b"c", b"d=e"),
            (b"A%20", b"%31"),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn hiding_leaves_all_else_byte_for_byte() {
        for (from, to) in [
            ("session_id=T&x=1", "x=1"),
            ("x=1&session_id=T", "x=1"),
            ("x=%41&session_id=T&y=+&z", "x=%41&y=+&z"),
            ("t=1&session_id=T&t&t=&x=session_id=T", "x=session_id=T"),
            ("x&&session_id=T&&y;t=1", "x&&&y;t=1"),
            ("session_id=T", ""),
            ("session_id", ""),
            ("t=a=b?c", ""),
        ] {
            assert_eq!(hidden(from).as_deref(), Some(to), "{from}");
        }
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for query in [
            "",
            "&",
            "Session_id=T",
            "session_id2=T",
            "xsession_id=T",
            "session%5Fid=T",
            "a=t",
            "a;t=1",
        ] {
            assert_eq!(hidden(query), None, "{query}");
        }
    }

    #[test]
    fn in_a_uri_the_question_mark_goes_with_the_last_argument() {
        for (from, to) in [
            ("/get?session_id=T&x=1", "/get?x=1"),
            ("/get?session_id=T", "/get"),
            ("/a%2fb/../?x=1&t=2#t=3", "/a%2fb/../?x=1#t=3"),
            ("/?t#f?t", "/#f?t"),
            ("/?a=?&t=1", "/?a=?"),
        ] {
            assert_eq!(hidden_in_uri(from).as_deref(), Some(to), "{from}");
        }
        for uri in ["/", "/t=1", "/?", "/?x", "/#?t=1", "/a#t=1&t=2", "*"] {
            assert_eq!(hidden_in_uri(uri), None, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn only_the_named_go(query in "[a-z&=t?%;#]{0,40}") {
            let query = query.as_bytes();
            let kept = hide_arguments(query, is_token).unwrap_or_else(|| query.to_vec());
            let others: Vec<_> = arguments(query).filter(|(name, _)| !is_token(name)).collect();
            if others.is_empty() {
                prop_assert!(kept.is_empty());
            } else {
                prop_assert_eq!(arguments(&kept).collect::<Vec<_>>(), others);
            }
        }
    }
}
