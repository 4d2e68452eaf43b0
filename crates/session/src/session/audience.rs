//! Going on in another audience of the same session, as an internal redirect into another location does.

use super::{Session, State};
use crate::entry::Entry;

impl Session {
    /// Makes `audience` the current one. Changes that are not saved stay with the audience they were made in; nothing becomes
    /// dirty. Where the session does not have the audience, it is as if it had been opened without it.
    pub fn enter_audience(&mut self, audience: &str) {
        if self.entry.is_of(audience) || self.state == State::Ended {
            return;
        }
        let left = std::mem::replace(&mut self.entry, Entry::new(audience, None));
        // An audience that was logged out is gone for good; the one entered now is not.
        let is_gone = std::mem::take(&mut self.logged_out);
        if !is_gone && (self.has_audience || self.dirty) {
            self.others.insert(self.position, left);
        }
        let found = self
            .others
            .iter()
            .position(|other| other.is_of(audience) && other.foreign.is_none());
        self.has_audience = found.is_some();
        self.position = found.unwrap_or(self.others.len());
        if let Some(position) = found {
            self.entry = self.others.remove(position);
        }
        self.state = match (self.state, self.has_audience, self.token.is_some()) {
            (State::New, true, true) => State::Open,
            (State::Open, false, _) => State::New,
            (state, ..) => state,
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_stay_with_their_audience() {
        let mut session = Session::new("a", None);
        session.set("key", json!(1));
        session.enter_audience("b");
        assert!(!session.has_audience());
        assert_eq!(session.get("key"), None);
        assert!(session.is_dirty());
        session.enter_audience("a");
        assert!(session.has_audience());
        assert_eq!(session.get("key"), Some(&json!(1)));
    }

    #[test]
    fn an_audience_that_holds_nothing_is_left_without_a_trace() {
        let mut session = Session::new("a", None);
        session.enter_audience("b");
        session.enter_audience("c");
        session.enter_audience("a");
        assert!(session.has_audience());
        assert!(!session.is_dirty());
    }

    #[test]
    fn the_same_audience_changes_nothing() {
        let mut session = Session::new("a", Some("ann"));
        session.enter_audience("a");
        assert_eq!(session.subject(), Some("ann"));
    }

    #[test]
    fn a_logout_holds_and_ends_nobody_else() {
        let mut session = Session::new("b", None);
        session.set("key", json!(2));
        session.enter_audience("a");
        session.set("key", json!(1));
        session.logout();
        session.enter_audience("b");
        assert_eq!(session.get("key"), Some(&json!(2)));
        assert!(session.is_dirty());
        assert_eq!(session.entries().count(), 1);
        session.enter_audience("a");
        assert_eq!(session.get("key"), None);
    }
}
