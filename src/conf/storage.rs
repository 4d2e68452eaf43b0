//! Section 7: where sessions are kept.

use std::rc::Rc;

use super::Directives;
use super::backend::Backend;
use super::command::{Arguments, ConfError, Position, fixed_name, inherit, once};

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct StorageDirectives {
    storage: Option<(&'static str, Position)>,
    pub hash_storage_key: Option<bool>,
    pub store_metadata: Option<bool>,
    pub hash_subject: Option<bool>,
}

impl StorageDirectives {
    pub fn inherit(&mut self, outer: &StorageDirectives) {
        inherit(&mut self.storage, &outer.storage);
        inherit(&mut self.hash_storage_key, &outer.hash_storage_key);
        inherit(&mut self.store_metadata, &outer.store_metadata);
        inherit(&mut self.hash_subject, &outer.hash_subject);
    }

    /// The backend that `session_storage` names; none for the cookie. A backend may be declared further down.
    pub fn backend(&self, declared: &[Rc<Backend>]) -> Result<Option<Rc<Backend>>, ConfError> {
        let Some((name, at)) = self.storage.as_ref().filter(|(name, _)| *name != "cookie") else {
            return Ok(None);
        };
        let found = declared.iter().find(|backend| backend.name == *name);
        found
            .cloned()
            .map(Some)
            .ok_or_else(|| ConfError::Contradiction {
                text: format!("\"session_storage\" has invalid value \"{name}\": {ALLOWED}"),
                at: at.clone(),
            })
    }
}

const ALLOWED: &str = "allowed are \"cookie\" and the name of a \"session_backend\"";

pub fn storage(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let name = fixed_name(args.first()).map_err(|_| ConfError::invalid(args.first(), ALLOWED))?;
    once(&mut level.storage.storage, (name, args.position()))
}

pub fn hash_storage_key(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.storage.hash_storage_key, args.flag()?)
}

pub fn store_metadata(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.storage.store_metadata, args.flag()?)
}

pub fn hash_subject(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.storage.hash_subject, args.flag()?)
}
