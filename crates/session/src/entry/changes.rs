//! What was done to an entry since it was read or saved, and how it is done again to another.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Entry;
use crate::jar::is_reserved;

/// The names under which an entry is stored.
#[derive(Default)]
pub(super) struct Names {
    is_stored: bool,
    /// Those that are others now.
    audience: Option<Option<Arc<str>>>,
    subject: Option<Option<Arc<str>>>,
}

impl Names {
    /// Those it was read with.
    pub fn stored() -> Self {
        Self {
            is_stored: true,
            ..Self::default()
        }
    }
}

impl Entry {
    /// True when it is another one than before.
    pub fn set_audience(&mut self, audience: Option<&str>) -> bool {
        set(&mut self.audience, audience, &mut self.before.audience)
    }

    /// True when it is another one than before.
    pub fn set_subject(&mut self, subject: Option<&str>) -> bool {
        set(&mut self.subject, subject, &mut self.before.subject)
    }

    /// What it is now is what is stored.
    pub fn keep(&mut self) {
        self.data.keep();
        self.info.keep();
        self.before = Names::stored();
    }

    /// Whether it was in the session when that was read or saved.
    pub fn is_stored(&self) -> bool {
        self.before.is_stored
    }

    /// The audience that it is stored under.
    pub fn stored_audience(&self) -> Option<&str> {
        let before = self.before.audience.as_ref();
        before.unwrap_or(&self.audience).as_deref()
    }

    /// The subject that it is stored with.
    pub fn stored_subject(&self) -> Option<&str> {
        let before = self.before.subject.as_ref();
        before.unwrap_or(&self.subject).as_deref()
    }

    /// Whether somebody has logged in here.
    pub fn has_new_subject(&self) -> bool {
        let is_new = !self.is_stored() || self.stored_subject() != self.subject.as_deref();
        is_new && self.subject.is_some()
    }

    /// Whether it may be another than what is stored.
    pub fn is_changed(&self) -> bool {
        !self.is_stored()
            || self.data.is_changed()
            || self.info.is_changed()
            || self.before.audience.is_some()
            || self.before.subject.is_some()
    }

    /// Does here what was done to `newer`, but for reserved keys, and the audience's name.
    pub fn replay(&mut self, newer: &Self) {
        if newer.data.is_changed() {
            let own = |key: &str| !is_reserved(key);
            replay(&newer.data.before(), &newer.data, &mut self.data, own);
        }
        if newer.info.is_changed() {
            replay(&newer.info.before(), &newer.info, &mut self.info, |_| true);
        }
        if newer.has_new_subject() || newer.stored_subject() != newer.subject.as_deref() {
            self.set_subject(newer.subject.as_deref());
        }
    }
}

fn set(
    slot: &mut Option<Arc<str>>,
    value: Option<&str>,
    before: &mut Option<Option<Arc<str>>>,
) -> bool {
    if slot.as_deref() == value {
        return false;
    }
    let old = std::mem::replace(slot, value.map(Arc::from));
    before.get_or_insert(old);
    true
}

/// Does to `target` what made `after` of `before`. A value is one piece: what another has done within it is not mixed with what
/// was done here, since the one may not go with the other.
fn replay(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    target: &mut Map<String, Value>,
    is_replayed: impl Fn(&str) -> bool,
) {
    for key in before.keys().filter(|key| is_replayed(key)) {
        if !after.contains_key(key) {
            target.shift_remove(key);
        }
    }
    for (key, value) in after.iter().filter(|(key, _)| is_replayed(key)) {
        if before.get(key) != Some(value) {
            target.insert(key.clone(), value.clone());
        }
    }
}
