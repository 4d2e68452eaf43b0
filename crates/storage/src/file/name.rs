//! Names of files and of the folders they are in. No name is made from a text that was not checked.

use std::path::{Path, PathBuf};

use session::{CookieName, base64url, file_collection_name, file_record_name};

use crate::{ConfigError, Error, MetaEntry};

/// Characters of a record's key.
const KEY_SIZE: usize = 43;
/// Longest name of a file.
const NAME_LIMIT: usize = 255;
/// Begin and end of the name of a file that is being written.
const UNFINISHED: (&str, &str) = (".session-", ".tmp");

/// How files are named.
pub(super) struct Names {
    levels: Vec<usize>,
    prefix: Option<String>,
    suffix: Option<String>,
}

/// Where a file is, below the storage's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// Its folder; empty when it is the storage's.
    pub(super) folder: PathBuf,
    /// Its name.
    pub(super) name: String,
}

/// What a file is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Record,
    List,
    Unfinished,
}

impl Location {
    pub(super) fn below(&self, path: &Path) -> PathBuf {
        path.join(&self.folder).join(&self.name)
    }
}

impl Names {
    pub(super) fn new(
        levels: Vec<u8>,
        prefix: Option<String>,
        suffix: Option<String>,
    ) -> Result<Self, ConfigError> {
        if levels.len() > 3 || levels.iter().any(|level| !matches!(level, 1 | 2)) {
            return Err(ConfigError::Wrong(
                "has invalid levels: allowed are one to three numbers of 1 or 2, as in levels=1:2"
                    .into(),
            ));
        }
        for (line, text) in [("prefix", &prefix), ("suffix", &suffix)] {
            if text.as_deref().is_some_and(|text| !is_affix(text)) {
                return Err(ConfigError::Wrong(format!(
                    "has a {line} that cannot be part of a file's name: allowed are up to 64 letters, digits and \"-._~\", \
                     not beginning with a dot"
                )));
            }
        }
        Ok(Self {
            levels: levels.into_iter().map(usize::from).collect(),
            prefix,
            suffix,
        })
    }

    /// Where a record is.
    ///
    /// # Errors
    /// When cookie name or key are none.
    pub(super) fn record(&self, cookie: &str, key: &str) -> Result<Location, Error> {
        check_cookie(cookie)?;
        if key.len() != KEY_SIZE || !is_base64url(key) {
            return Err(Error::Refused("the record's key is not one".into()));
        }
        let (prefix, suffix) = (self.prefix.as_deref(), self.suffix.as_deref());
        self.place(file_record_name(prefix, cookie, key, suffix), key)
    }

    /// Where a list is.
    ///
    /// # Errors
    /// When cookie name, audience or subject are none, or the subject makes too long a name.
    pub(super) fn list(&self, cookie: &str, entry: &MetaEntry) -> Result<Location, Error> {
        check_cookie(cookie)?;
        if !is_base64url(&entry.audience) || !is_base64url(&entry.subject) {
            return Err(Error::Refused("the list's name is not one".into()));
        }
        let (prefix, suffix) = (self.prefix.as_deref(), self.suffix.as_deref());
        let name = file_collection_name(prefix, cookie, entry, suffix);
        // A short audience and subject have not enough characters for all levels.
        self.place(name, &format!("000000{}{}", entry.audience, entry.subject))
    }

    fn place(&self, name: String, key: &str) -> Result<Location, Error> {
        if name.len() > NAME_LIMIT {
            return Err(Error::Refused(format!(
                "a file's name has at most {NAME_LIMIT} characters, this one {}; shorten prefix, suffix and cookie name, or \
                 set session_hash_subject",
                name.len()
            )));
        }
        let mut folder = PathBuf::new();
        let mut rest = key;
        for level in &self.levels {
            let (front, back) = rest.split_at(rest.len() - level);
            folder.push(back);
            rest = front;
        }
        Ok(Location { folder, name })
    }

    /// What a file in a folder `depth` levels down is, if it is ours.
    pub(super) fn recognise(&self, name: &str, depth: usize) -> Option<Known> {
        if depth != self.levels.len() {
            return None;
        }
        if is_unfinished(name) {
            return Some(Known::Unfinished);
        }
        let rest = match &self.prefix {
            Some(prefix) => name.strip_prefix(prefix.as_str())?.strip_prefix('_')?,
            None => name,
        };
        let rest = match &self.suffix {
            Some(suffix) => rest.strip_suffix(suffix.as_str())?.strip_suffix('.')?,
            None => rest,
        };
        match rest.rsplit_once(':') {
            Some((front, subject)) => is_list(front, subject).then_some(Known::List),
            None => is_record(rest).then_some(Known::Record),
        }
    }

    /// Whether a folder in a folder `depth` levels down is ours.
    pub(super) fn is_folder(&self, name: &str, depth: usize) -> bool {
        let level = self.levels.get(depth);
        level.is_some_and(|level| name.len() == *level && is_base64url(name))
    }
}

/// A name for a file that is being written.
pub(super) fn unfinished(number: u64) -> String {
    let (begin, end) = UNFINISHED;
    format!("{begin}{}-{number}{end}", std::process::id())
}

fn is_unfinished(name: &str) -> bool {
    let (begin, end) = UNFINISHED;
    let middle = name
        .strip_prefix(begin)
        .and_then(|rest| rest.strip_suffix(end));
    middle
        .and_then(|middle| middle.split_once('-'))
        .is_some_and(|(process, number)| is_number(process) && is_number(number))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_cookie(cookie: &str) -> Result<(), Error> {
    match CookieName::parse(cookie) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Refused(error.to_string())),
    }
}

fn is_affix(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_plain)
}

fn is_base64url(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// `cookie_key`, the key being the text of 32 bytes.
fn is_record(text: &str) -> bool {
    let Some((cookie, key)) = text
        .len()
        .checked_sub(KEY_SIZE)
        .and_then(|at| text.split_at_checked(at))
    else {
        return false;
    };
    let cookie = cookie.strip_suffix('_');
    cookie.is_some_and(|cookie| CookieName::parse(cookie).is_ok())
        && base64url::decode(key).is_ok_and(|id| id.len() == 32)
}

/// `cookie_audience`, and a subject.
fn is_list(front: &str, subject: &str) -> bool {
    let mut parts = front.match_indices('_');
    base64url::decode(subject).is_ok()
        && parts.any(|(at, _)| {
            CookieName::parse(&front[..at]).is_ok() && base64url::decode(&front[at + 1..]).is_ok()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCD-_E";

    fn names(levels: &[u8], prefix: Option<&str>, suffix: Option<&str>) -> Names {
        let text = |affix: Option<&str>| affix.map(str::to_owned);
        Names::new(levels.to_vec(), text(prefix), text(suffix)).unwrap()
    }

    #[test]
    fn folders_are_the_end_of_the_key_as_in_nginx() {
        let place = names(&[1, 2], None, None).record("sid", KEY).unwrap();
        assert_eq!(
            place.below(Path::new("/s")),
            Path::new("/s/E/-_").join(format!("sid_{KEY}"))
        );
        let flat = names(&[], Some("p"), Some("s")).record("sid", KEY).unwrap();
        assert_eq!(
            flat.below(Path::new("/s")),
            Path::new(&format!("/s/p_sid_{KEY}.s"))
        );
        let entry = MetaEntry::new("", "x", false);
        let list = names(&[2, 2, 2], None, None).list("sid", &entry).unwrap();
        assert_eq!(
            list.below(Path::new("/s")),
            Path::new("/s/eA/00/00/sid_:eA")
        );
    }

    #[test]
    fn no_path_is_made_from_what_was_not_checked() {
        let names = names(&[1], None, None);
        for key in [
            "",
            "..",
            "../../etc/passwd",
            &"a".repeat(42),
            &"a".repeat(44),
        ] {
            assert!(names.record("sid", key).is_err(), "{key:?}");
        }
        for odd in ['/', '.', '\0', '+', '=', ':', 'é'] {
            let key: String = KEY.chars().skip(1).chain([odd]).collect();
            assert!(names.record("sid", &key).is_err(), "{odd:?}");
        }
        for cookie in ["", "a/b", "..//", "a b", "a\0"] {
            assert!(names.record(cookie, KEY).is_err(), "{cookie:?}");
            let entry = MetaEntry::new("a", "b", false);
            assert!(names.list(cookie, &entry).is_err(), "{cookie:?}");
        }
        for odd in ["../x", "a/b", "a:b", "a.b"] {
            let entry = MetaEntry {
                audience: "YQ".into(),
                subject: odd.into(),
            };
            assert!(names.list("sid", &entry).is_err(), "{odd:?}");
            let entry = MetaEntry {
                audience: odd.into(),
                subject: "YQ".into(),
            };
            assert!(names.list("sid", &entry).is_err(), "{odd:?}");
        }
        let long = MetaEntry::new("a", &"s".repeat(200), false);
        assert!(matches!(names.list("sid", &long), Err(Error::Refused(_))));
    }

    #[test]
    fn lines_that_cannot_be_used() {
        for levels in [&[3][..], &[0], &[1, 1, 1, 1]] {
            assert!(
                Names::new(levels.to_vec(), None, None).is_err(),
                "{levels:?}"
            );
        }
        for affix in ["", ".", ".x", "a/b", "a b", "a:b", &"x".repeat(65)] {
            assert!(
                Names::new(vec![], Some(affix.into()), None).is_err(),
                "{affix:?}"
            );
            assert!(
                Names::new(vec![], None, Some(affix.into())).is_err(),
                "{affix:?}"
            );
        }
    }

    #[test]
    fn what_is_ours_is_recognised() {
        let mine = names(&[1], Some("p"), Some("s"));
        let record = mine.record("my_sid", KEY).unwrap().name;
        let list = mine
            .list("my_sid", &MetaEntry::new("a_", "ann", true))
            .unwrap();
        assert_eq!(mine.recognise(&record, 1), Some(Known::Record));
        assert_eq!(mine.recognise(&list.name, 1), Some(Known::List));
        assert_eq!(mine.recognise(&unfinished(7), 1), Some(Known::Unfinished));
        assert_eq!(mine.recognise(&record, 0), None);
        assert!(mine.is_folder("E", 0) && !mine.is_folder("E", 1) && !mine.is_folder("EE", 0));
        assert!(!mine.is_folder(".", 0) && !mine.is_folder("..", 0));
    }

    #[test]
    fn what_is_not_ours_is_not() {
        let mine = names(&[], Some("p"), Some("s"));
        let other = names(&[], Some("q"), Some("s")).record("sid", KEY).unwrap();
        let bare = names(&[], None, None);
        for name in [
            other.name.as_str(),
            "p_sid_short.s",
            &format!("p_{KEY}.s"),
            &format!("p__{KEY}.s"),
            &format!("p_sid_{KEY}.t"),
            &format!("p_sid_{KEY}"),
            &format!("p_sid_{}F.s", &KEY[..42]),
            "p_sid_a+:b.s",
            "p_sid:YQ.s",
            "p_.s",
            "p.s",
            ".session-1-2",
            ".session-a-2.tmp",
            ".session-1.tmp",
        ] {
            assert_eq!(mine.recognise(name, 0), None, "{name}");
        }
        for name in ["", "notes.txt", "_", "é", &"é".repeat(40), KEY, ":", "a:b"] {
            assert_eq!(bare.recognise(name, 0), None, "{name}");
        }
    }
}
