//! What an audience keeps in a session: data, info, and the jar, which lies among the data under a reserved key.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::{Session, State, path};
use crate::jar::{JAR_KEY, Jar, JarError, Origin, Sent, is_reserved};
use crate::patch::MergePatch;

impl Session {
    /// All of this audience's data, without info. The module's own keys ([`is_reserved`]) are among it, which nobody is to see:
    /// [`Session::data_json`] leaves them out, [`Session::get`] does not find them.
    #[must_use]
    pub fn data(&self) -> &Map<String, Value> {
        &self.entry.data
    }

    /// This audience's data as the text of a JSON object, without the module's own keys.
    #[must_use]
    pub fn data_json(&self) -> String {
        serde_json::to_string(&Shown(&self.entry.data))
            .expect("maps of JSON values are always JSON")
    }

    /// A value of this audience's data: that of exactly this key, else of the dotted path into objects. A reserved key has none.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        path::find(|key| self.entry.data.get(key), key).filter(|_| !is_reserved(key))
    }

    /// Stores a value; true when that changed something. An existing key of exactly this name is replaced; otherwise a dotted
    /// key makes nested objects, and whatever is in the way of one is replaced by it. A reserved key is left as it is.
    pub fn set(&mut self, key: &str, value: Value) -> bool {
        let is_new = !is_reserved(key) && self.get(key) != Some(&value);
        is_new
            && self.edit(|entry| {
                if path::is_path(key) && entry.data.get(key).is_none() {
                    return path::set(&mut entry.data, key, value);
                }
                entry.data.put(key, value);
                true
            })
    }

    /// Removes a value; true when it was there. A reserved key is left as it is.
    pub fn unset(&mut self, key: &str) -> bool {
        self.get(key).is_some() && self.edit(|entry| path::unset(&mut entry.data, key))
    }

    /// Removes all data of this audience, but neither info nor reserved keys; true when there was some.
    pub fn clear(&mut self) -> bool {
        let has_data = self.entry.data.keys().any(|key| !is_reserved(key));
        has_data
            && self.edit(|entry| {
                entry.data.retain(|key, _| is_reserved(key));
                true
            })
    }

    /// Changes this audience's data by several merge patches, one after another; true when all of them together changed
    /// something.
    pub fn patch_all(&mut self, patches: &[MergePatch]) -> bool {
        match patches {
            [] => false,
            [patch] => self.patch(patch),
            _ => {
                let mut data: Map<String, Value> = (*self.entry.data).clone();
                for patch in patches {
                    patch.apply(&mut data);
                }
                self.edit(|entry| {
                    let is_new = *entry.data != data;
                    if is_new {
                        *entry.data = data;
                    }
                    is_new
                })
            }
        }
    }

    /// Changes this audience's data by a merge patch; true when that changed something.
    pub fn patch(&mut self, patch: &MergePatch) -> bool {
        patch.changes(&self.entry.data) && self.edit(|entry| patch.apply(&mut entry.data))
    }

    /// The jar of this audience, with the default limits. It is empty if there is none.
    ///
    /// # Errors
    /// When what is kept as the jar is none.
    pub fn jar(&self) -> Result<Jar, JarError> {
        let unread = self.entry.data.unread_text();
        if let Some(jar) = unread.and_then(|text| Jar::in_object(text.as_bytes())) {
            return Ok(jar);
        }
        self.stored_jar()
            .map_or_else(|| Ok(Jar::default()), Jar::from_json)
    }

    /// The jar's cookies for a request as the value of a Cookie header, which [`Jar::header`] of [`Session::jar`] is too. Here, no
    /// jar is made of what the session came as. `now` in Unix seconds.
    ///
    /// # Errors
    /// When what is kept as the jar is none.
    pub fn jar_header(&self, request: &Origin<'_>, now: u64) -> Result<Option<String>, JarError> {
        let unread = self.entry.data.unread_text();
        match unread.and_then(|text| Sent::in_object(text.as_bytes(), request, now)) {
            Some(sent) => Ok(sent.header()),
            None => Ok(self.jar()?.header(request, now)),
        }
    }

    /// Stores a jar that was read from this session, if it has changed since; true when it has.
    pub fn keep_jar(&mut self, jar: &Jar) -> bool {
        jar.changed() && self.put_jar((!jar.is_empty()).then(|| jar.to_json()))
    }

    /// What is kept as the jar among this audience's data, in the form of [`Jar::to_json`].
    #[must_use]
    pub fn stored_jar(&self) -> Option<&Value> {
        self.entry.data.get(JAR_KEY)
    }

    /// Stores or removes the jar; true when that changed something.
    pub fn set_stored_jar(&mut self, jar: Option<Value>) -> bool {
        self.stored_jar() != jar.as_ref() && self.put_jar(jar)
    }

    fn put_jar(&mut self, jar: Option<Value>) -> bool {
        self.edit(|entry| {
            match jar {
                Some(jar) => entry.data.put(JAR_KEY, jar),
                None => drop(entry.data.shift_remove(JAR_KEY)),
            }
            true
        })
    }

    /// A value of this audience's info store.
    #[must_use]
    pub fn info(&self, key: &str) -> Option<&Value> {
        self.entry.info.get(key)
    }

    /// This audience's info store, none when it is empty.
    #[must_use]
    pub fn info_map(&self) -> Option<&Map<String, Value>> {
        Some(&*self.entry.info).filter(|info| !info.is_empty())
    }

    /// Stores info; true when that changed something. A session that is neither stored nor about to be has no info store:
    /// nothing changes then.
    pub fn info_set(&mut self, key: &str, value: Value) -> bool {
        if !self.has_info_store() || self.entry.info.get(key) == Some(&value) {
            return false;
        }
        self.entry.info.insert(key.to_owned(), value);
        self.info_dirty = true;
        true
    }

    /// Changes this audience's info by a merge patch; true when that changed something. As with [`Session::info_set`], nothing
    /// changes in a session that is neither stored nor about to be.
    pub fn patch_info(&mut self, patch: &MergePatch) -> bool {
        let changed = self.has_info_store()
            && patch.changes(&self.entry.info)
            && patch.apply(&mut self.entry.info);
        self.info_dirty |= changed;
        changed
    }

    /// Removes info; true when it was there.
    pub fn info_unset(&mut self, key: &str) -> bool {
        let removed = self.state != State::Ended && self.entry.info.shift_remove(key).is_some();
        self.info_dirty |= removed;
        removed
    }

    fn has_info_store(&self) -> bool {
        match self.state {
            State::Open | State::Remembered => true,
            State::New => self.dirty,
            State::Ended => false,
        }
    }
}

/// Data without what nobody is to see.
struct Shown<'a>(&'a Map<String, Value>);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0.iter().filter(|(key, _)| !is_reserved(key)) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(value: &Value) -> MergePatch {
        MergePatch::parse(value.to_string().as_bytes()).unwrap()
    }

    fn with_jar() -> Session {
        let mut session = Session::new("default", None);
        assert!(session.set_stored_jar(Some(json!([1]))));
        session
    }

    #[test]
    fn a_reserved_key_is_out_of_reach() {
        let mut session = with_jar();
        session.dirty = false;
        for key in [JAR_KEY, "\u{1}", "\u{1}jar.0", "\u{1}other"] {
            assert_eq!(session.get(key), None);
            assert!(!session.set(key, json!(2)));
            assert!(!session.unset(key));
        }
        assert!(!session.clear());
        assert!(!session.is_dirty());
        assert_eq!(session.stored_jar(), Some(&json!([1])));
    }

    #[test]
    fn clearing_leaves_the_jar() {
        let mut session = with_jar();
        session.set("a", json!(1));
        session.set("b", json!(2));
        assert!(session.clear());
        assert_eq!((session.get("a"), session.get("b")), (None, None));
        assert_eq!(session.stored_jar(), Some(&json!([1])));
        assert!(!session.clear());
    }

    #[test]
    fn the_jar_is_dirty_when_it_is_another() {
        let mut session = with_jar();
        session.dirty = false;
        assert!(!session.set_stored_jar(Some(json!([1]))));
        assert!(!session.is_dirty());
        assert!(session.set_stored_jar(None));
        assert!(session.is_dirty());
        session.dirty = false;
        assert!(!session.set_stored_jar(None));
        session.end();
        assert!(!session.set_stored_jar(Some(json!([2]))));
        assert!(!session.is_dirty());
    }

    #[test]
    fn the_text_of_the_data_has_no_reserved_key() {
        let mut session = with_jar();
        assert_eq!(session.data_json(), "{}");
        session.set("b", json!({"c": [1, "\n"], "\u{1}jar": 0}));
        session.set("a", json!(2));
        assert_eq!(
            session.data_json(),
            r#"{"b":{"c":[1,"\n"],"\u0001jar":0},"a":2}"#
        );
    }

    #[test]
    fn a_patch_makes_the_session_dirty_only_when_it_changes_something() {
        let mut session = Session::new("default", None);
        assert!(!session.patch(&patch(&json!({"a": null}))));
        assert!(!session.is_dirty());
        assert!(session.patch(&patch(&json!({"a": {"b": 1}, "c.d": 2}))));
        assert!(session.is_dirty());
        session.dirty = false;
        assert!(!session.patch(&patch(&json!({"a": {"b": 1, "x": null}}))));
        assert!(!session.patch(&patch(&json!({}))));
        let there_and_back = [json!({"a": 1}), json!({"a": {"b": 1}})].map(|p| patch(&p));
        assert!(!session.patch_all(&there_and_back));
        assert!(!session.is_dirty());
        assert_eq!(session.data_json(), r#"{"a":{"b":1},"c.d":2}"#);
        session.end();
        assert!(!session.patch(&patch(&json!({"a": 1}))));
        assert!(!session.is_dirty());
    }

    #[test]
    fn info_is_patched_where_there_is_an_info_store() {
        let mut session = Session::new("default", None);
        assert!(!session.patch_info(&patch(&json!({"seen": 1}))));
        assert!(!session.is_info_dirty());
        session.mark_dirty();
        assert!(session.patch_info(&patch(&json!({"seen": 1, "of": {"x": null}}))));
        assert!(session.is_info_dirty());
        assert_eq!(session.info("of"), Some(&json!({})));
        session.info_dirty = false;
        assert!(!session.patch_info(&patch(&json!({"seen": 1}))));
        assert!(!session.is_info_dirty());
        assert!(session.patch_info(&patch(&json!({"seen": null}))));
        assert_eq!(session.info("seen"), None);
        session.end();
        assert!(!session.patch_info(&patch(&json!({"seen": 2}))));
        assert!(!session.is_info_dirty());
    }
}
