//! JSON merge patches (RFC 7396): what an upstream sends to change a session.

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::jar::is_reserved;
use crate::payload::{MAX_DEPTH, is_deeper};

/// A merge patch that a session can take: an object without reserved keys, not nested too deeply.
#[derive(Clone, PartialEq)]
pub struct MergePatch(Map<String, Value>);

/// Why a text is no merge patch for a session.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The bytes are no text.
    #[error("it is not UTF-8: write other characters as \\u escapes")]
    NotUtf8,
    /// Not JSON, or nested deeper than the parser goes.
    #[error("it is not JSON ({0}): send an object such as {{\"name\":\"value\"}}")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but no object. RFC 7396 would have it replace all there is.
    #[error(
        "it is not a JSON object: send one such as {{\"name\":\"value\"}}, null removes a name"
    )]
    NotAnObject,
    /// A key that is the module's own.
    #[error("it has a key that starts with \\u0001, which are this module's own: use another name")]
    Reserved,
    /// It would make a session that cannot be saved.
    #[error("it is nested deeper than {MAX_DEPTH} levels: send flatter data")]
    TooDeep,
}

impl MergePatch {
    /// Checks and keeps a patch. Of a key that is there twice, the last one counts.
    ///
    /// # Errors
    /// When no session could take it. The error does not show what the text holds.
    pub fn parse(text: &[u8]) -> Result<Self, PatchError> {
        let text = std::str::from_utf8(text).map_err(|_| PatchError::NotUtf8)?;
        let patch = serde_json::from_str(text).map_err(PatchError::NotJson)?;
        if is_deeper(&patch, MAX_DEPTH) {
            return Err(PatchError::TooDeep);
        }
        let Value::Object(patch) = patch else {
            return Err(PatchError::NotAnObject);
        };
        if patch.keys().any(|key| is_reserved(key)) {
            return Err(PatchError::Reserved);
        }
        Ok(Self(patch))
    }

    /// Whether it names nothing, so that it changes nothing anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does what the patch says; true when that changed something.
    pub(crate) fn apply(&self, target: &mut Map<String, Value>) -> bool {
        merge(target, &self.0)
    }

    /// Whether [`Self::apply`] would change something.
    pub(crate) fn changes(&self, target: &Map<String, Value>) -> bool {
        differs(target, &self.0)
    }
}

impl fmt::Debug for MergePatch {
    /// Prints no content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MergePatch({} keys)", self.0.len())
    }
}

/// MergePatch of RFC 7396, section 2, for two objects.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) -> bool {
    let mut changed = false;
    for (key, value) in patch {
        changed |= match (value, target.get_mut(key)) {
            (Value::Null, _) => target.shift_remove(key).is_some(),
            (Value::Object(inner), Some(Value::Object(at))) => merge(at, inner),
            (Value::Object(inner), _) => {
                // Not `inner` itself: its nulls are orders, no values.
                let mut made = Map::new();
                merge(&mut made, inner);
                target.insert(key.clone(), Value::Object(made));
                true
            }
            (value, Some(at)) if at == value => false,
            (value, _) => {
                target.insert(key.clone(), value.clone());
                true
            }
        };
    }
    changed
}

fn differs(target: &Map<String, Value>, patch: &Map<String, Value>) -> bool {
    patch
        .iter()
        .any(|(key, value)| match (value, target.get(key)) {
            (Value::Null, at) => at.is_some(),
            (Value::Object(inner), Some(Value::Object(at))) => differs(at, inner),
            (value, at) => at != Some(value),
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    /// What the patch makes of the target; it agrees with itself on whether that is a change.
    fn patched(target: &Value, patch: &Value) -> Value {
        let patch = MergePatch::parse(patch.to_string().as_bytes()).unwrap();
        let (before, mut after) = (map(target), map(target));
        let changed = patch.apply(&mut after);
        assert_eq!(
            (changed, patch.changes(&before)),
            (before != after, changed)
        );
        assert!(!patch.apply(&mut after));
        after.into()
    }

    /// RFC 7396, appendix A: the cases in which target and patch are objects.
    #[test]
    fn the_table_of_the_rfc() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            assert_eq!(patched(&target, &patch), result, "{target} {patch}");
        }
    }

    /// RFC 7396, appendix A: the cases in which the patch is no object, which would replace the whole session.
    #[test]
    fn what_would_replace_everything_is_refused() {
        for patch in [r#"["c"]"#, r#"["a","b"]"#, "null", r#""bar""#, "1", "true"] {
            let error = MergePatch::parse(patch.as_bytes()).unwrap_err();
            assert!(matches!(error, PatchError::NotAnObject), "{patch}");
        }
    }

    #[test]
    fn an_object_takes_the_place_of_what_is_none() {
        for target in [json!({"a": [1]}), json!({"a": null}), json!({"a": "b"})] {
            assert_eq!(
                patched(&target, &json!({"a": {"b": 1, "c": null}})),
                json!({"a": {"b": 1}})
            );
        }
    }

    #[test]
    fn an_empty_object_is_a_change_where_there_is_none() {
        assert_eq!(patched(&json!({}), &json!({"a": {}})), json!({"a": {}}));
        let patch = MergePatch::parse(br#"{"a":{}}"#).unwrap();
        assert!(!patch.changes(&map(&json!({"a": {"b": 1}}))));
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_not_shown() {
        for (text, told) in [
            (&b"{\"secret\":\"\xff\"}"[..], "not UTF-8"),
            (b"", "not JSON"),
            (b"{\"secret\":}", "not JSON"),
            (b"{\"secret\":1}x", "not JSON"),
            (b"{'secret':1}", "not JSON"),
            (b"{\"secret\":1e999}", "not JSON"),
            (b"\"secret\"", "not a JSON object"),
            (b"{\"secret\":1,\"\\u0001jar\":[]}", "\\u0001"),
            (b"{\"\\u0001\":\"secret\"}", "\\u0001"),
            (b"{\"\\u0001jar\":null}", "\\u0001"),
        ] {
            let error = MergePatch::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let patch = MergePatch::parse(br#"{"secret":1}"#).unwrap();
        assert!(!format!("{patch:?}").contains("secret"));
    }

    #[test]
    fn a_reserved_name_is_reserved_at_the_top_only() {
        let patch = json!({"a": {"\u{1}jar": 1}});
        assert_eq!(patched(&json!({}), &patch), patch);
    }

    #[test]
    fn it_is_as_deep_as_a_session_may_be() {
        let nested = |levels: usize| {
            let open = "{\"a\":".repeat(levels - 1);
            MergePatch::parse(format!("{open}{{}}{}", "}".repeat(levels - 1)).as_bytes())
        };
        assert!(nested(MAX_DEPTH).is_ok());
        assert!(matches!(nested(MAX_DEPTH + 1), Err(PatchError::TooDeep)));
        assert!(matches!(nested(100_000), Err(PatchError::NotJson(_))));
        let list = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(MergePatch::parse(list.as_bytes()).is_err());
    }
}
