//! Section 7: where sessions are kept.

use super::Directives;
use super::command::{Arguments, ConfError, inherit, once};

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct StorageDirectives {
    storage: Option<()>,
}

impl StorageDirectives {
    pub fn inherit(&mut self, outer: &StorageDirectives) {
        inherit(&mut self.storage, &outer.storage);
    }
}

pub fn storage(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    args.one_of(&[("cookie", ())])?;
    once(&mut level.storage.storage, ())
}
