//! What the SQL backends have in common.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::{Common, ConfigError};

/// A table's name, with its schema or without: letters, digits and underscores, so that it can be quoted in any dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    schema: Option<String>,
    name: String,
}

impl Table {
    /// Reads `table` or `schema.table`, of at most `longest` characters each.
    pub(crate) fn parse(text: &str, longest: usize) -> Result<Self, ConfigError> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        let fits = |part: &str| is_identifier(part) && part.len() <= longest;
        if !fits(name) || !schema.is_none_or(fits) {
            return Err(ConfigError::Wrong(format!(
                "\"{text}\" is no name of a table: allowed are letters, digits and _, at most {longest} of them, not beginning \
                 with a digit, and the same with a dot in front for the schema"
            )));
        }
        Ok(Self {
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// In lower case, as a dialect reads names without quotes.
    pub(crate) fn fold(mut self) -> Self {
        self.name.make_ascii_lowercase();
        self.schema
            .iter_mut()
            .for_each(|schema| schema.make_ascii_lowercase());
        self
    }

    /// As a statement has it.
    pub(crate) fn quoted(&self, quote: char) -> String {
        match &self.schema {
            Some(schema) => format!("{quote}{schema}{quote}.{quote}{}{quote}", self.name),
            None => format!("{quote}{}{quote}", self.name),
        }
    }
}

/// Letters, digits and underscores, not beginning with a digit.
pub(crate) fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What column `name` says: `prefix:cookie:suffix`, absent parts left out. Without prefix and suffix it is the cookie's name
/// alone, as other readers of the table have it.
pub(crate) fn column_name(common: &Common, cookie: &str) -> String {
    let parts: Vec<&str> = (common.prefix.as_deref().into_iter())
        .chain([cookie])
        .chain(common.suffix.as_deref())
        .collect();
    parts.join(":")
}

/// The limit of one statement at the server, so that none goes on that nobody waits for any more.
pub(crate) fn statement_timeout(common: &Common) -> Duration {
    common.timeout.max(Duration::from_millis(10))
}

/// When expired rows are reclaimed: at a worker's first save and every [`Reclaim::EVERY`] saves from then on, by a task of its
/// own, in batches with pauses between them.
#[derive(Default)]
pub(crate) struct Reclaim {
    saves: AtomicU32,
    running: AtomicBool,
}

impl Reclaim {
    const EVERY: u32 = 256;
    /// Rows of one batch.
    pub(crate) const BATCH: u32 = 100;
    /// Batches in a row, so that a backlog is worked off over time.
    pub(crate) const BATCHES: usize = 20;
    /// Between two batches.
    pub(crate) const PAUSE: Duration = Duration::from_millis(20);
    /// Seconds that a row is left after its time: the clocks of the nodes differ.
    pub(crate) const GRACE: u64 = 60;

    /// Counts a save. True when rows are to be reclaimed now; [`Reclaim::done`] says that they were.
    pub(crate) fn is_due(&self) -> bool {
        let saves = self.saves.fetch_add(1, Ordering::Relaxed);
        saves % Self::EVERY == 0 && !self.running.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn done(&self) {
        self.running.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for Reclaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reclaim")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> Option<String> {
        Table::parse(text, 63).ok().map(|table| table.quoted('"'))
    }

    #[test]
    fn names_of_tables() {
        assert_eq!(quoted("sessions").as_deref(), Some("\"sessions\""));
        assert_eq!(quoted("_A9").as_deref(), Some("\"_A9\""));
        assert_eq!(
            quoted("auth.sessions").as_deref(),
            Some("\"auth\".\"sessions\"")
        );
        let folded = Table::parse("Auth.Sessions", 63).map(|table| table.fold().quoted('`'));
        assert_eq!(folded, Ok("`auth`.`sessions`".into()));
        let long = "x".repeat(64);
        for wrong in [
            "", ".", "a.", ".a", "a.b.c", "9a", "a b", "a\"b", "a;b", "a-b", "ä", &long,
        ] {
            assert_eq!(quoted(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_a_part_of_the_name() {
        let mut common = Common::default();
        assert_eq!(column_name(&common, "sid"), "sid");
        common.prefix = Some("p".into());
        common.suffix = Some("s".into());
        assert_eq!(column_name(&common, "sid"), "p:sid:s");
    }

    #[test]
    fn rows_are_reclaimed_now_and_then() {
        let reclaim = Reclaim::default();
        assert!(reclaim.is_due(), "at the first save");
        let more = (1..=Reclaim::EVERY).filter(|_| reclaim.is_due()).count();
        assert_eq!(more, 0, "not while it runs");
        reclaim.done();
        let more = (0..Reclaim::EVERY).filter(|_| reclaim.is_due()).count();
        assert_eq!(more, 1);
    }
}
