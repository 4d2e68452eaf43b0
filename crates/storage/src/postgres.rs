//! PostgreSQL 13 and newer: tables `sessions (sid, name, data, exp)` and `sessions_meta (aud, sub, sid)`, see
//! `schema/postgres.sql`.
//!
//! Every operation is one round trip of prepared statements, each of them a transaction of its own. Times are written and compared
//! as the wall clock of UTC in the time zone of the connection: that is what other readers and writers of the table do, so the
//! connection's time zone is left as the server, database or role have it.

mod connect;
mod error;
mod statements;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout_at;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use crate::pool::{Job, Pool, Trouble};
use crate::sql::{Reclaim, Table, column_name};
use crate::{
    Answer, Common, ConfigError, Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Server,
    Storage,
};
use connect::{Connection, Dialer};
use error::bad_row;
use statements::{Kind, Statements};

/// What a `postgres` block says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// What it says as all blocks do. Without a user name it is `postgres`.
    pub common: Common,
    /// Where the server listens. A Unix socket is named by its file, or by the directory where the server of port 5432 has it.
    pub server: Server,
    /// The database.
    pub database: String,
    /// The table of the records, with its schema or without.
    pub table: String,
    /// The table of the lists.
    pub table_meta: String,
    /// What the connection is called in `pg_stat_activity`; `nginx-session` when left out.
    pub application: Option<String>,
}

impl PostgresConfig {
    /// The port of a server without one.
    pub const PORT: u16 = 5432;
    /// The table of the records when nothing is said.
    pub const TABLE: &str = "sessions";
    /// The table of the lists when nothing is said.
    pub const TABLE_META: &str = "sessions_meta";
}

/// Records in PostgreSQL.
pub struct Postgres {
    pool: Pool<Dialer>,
    common: Common,
    reclaim: Arc<Reclaim>,
}

/// Bytes of a name that the server does not cut.
const LONGEST_NAME: usize = 63;

impl Postgres {
    /// Checks the configuration. No connection is made before the first operation.
    ///
    /// # Errors
    /// When a name or a certificate cannot be used.
    pub fn new(config: PostgresConfig) -> Result<Self, ConfigError> {
        let table = |name: &str| Ok(Table::parse(name, LONGEST_NAME)?.fold().quoted('"'));
        let statements = Statements::new(&table(&config.table)?, &table(&config.table_meta)?);
        Ok(Self {
            pool: Pool::new(Dialer::new(&config, statements)?, &config.common),
            common: config.common,
            reclaim: Arc::default(),
        })
    }

    fn name(&self, cookie: &str) -> String {
        column_name(&self.common, cookie)
    }

    async fn save(&self, write: &RecordWrite, deadline: Deadline) -> Result<(), Error> {
        let save = Save {
            name: self.name(&write.name_cookie),
            write: write.clone(),
            deadline,
        };
        self.pool.run(deadline, save).await?;
        if self.reclaim.is_due() {
            let before = write.now.saturating_sub(Reclaim::GRACE);
            tokio::spawn(reclaim(
                self.pool.clone(),
                self.reclaim.clone(),
                before,
                self.common.timeout,
            ));
        }
        Ok(())
    }
}

/// Works off what has expired, as long as nobody else needs the connections.
async fn reclaim(pool: Pool<Dialer>, reclaim: Arc<Reclaim>, before: u64, limit: Duration) {
    for _ in 0..Reclaim::BATCHES {
        let batch = pool.run(Deadline::after(limit), Batch { before }).await;
        if pool.is_busy() || batch.is_ok_and(|rows| rows < u64::from(Reclaim::BATCH)) {
            break;
        }
        tokio::time::sleep(Reclaim::PAUSE).await;
    }
    reclaim.done();
}

impl Storage for Postgres {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        let get = Get {
            key: record.key.to_owned(),
            name: self.name(record.cookie),
            now,
        };
        Box::pin(self.pool.run(deadline, get))
    }

    fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()> {
        Box::pin(self.save(write, deadline))
    }

    fn delete<'a>(
        &'a self,
        record: RecordId<'a>,
        metadata: &'a [MetaEntry],
        _now: u64,
        deadline: Deadline,
    ) -> Answer<'a, ()> {
        let delete = Delete {
            key: record.key.to_owned(),
            name: self.name(record.cookie),
            lists: metadata.to_vec(),
            deadline,
        };
        Box::pin(self.pool.run(deadline, delete))
    }

    fn list<'a>(
        &'a self,
        list: ListId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, BTreeMap<String, u64>> {
        let list = List {
            entry: list.entry.clone(),
            name: self.name(list.cookie),
            now,
        };
        Box::pin(self.pool.run(deadline, list))
    }
}

/// Unix seconds as a parameter.
#[allow(clippy::cast_precision_loss)]
fn clock(time: u64) -> f64 {
    time as f64
}

struct Get {
    key: String,
    name: String,
    now: u64,
}

impl Job<Connection> for Get {
    type Output = Option<Vec<u8>>;

    async fn on(&self, connection: &mut Connection) -> Result<Self::Output, Trouble> {
        let rows = connection
            .rows(Kind::Get, &[&self.key, &self.name, &clock(self.now)])
            .await?;
        let data = rows.first().map(|row| row.try_get::<_, String>(0));
        Ok(data.transpose().map_err(bad_row)?.map(String::into_bytes))
    }
}

struct Save {
    name: String,
    write: RecordWrite,
    deadline: Deadline,
}

impl Save {
    /// The key of another record that this one takes the place of.
    fn replaced(&self) -> Option<&String> {
        let old = self.write.old_key.as_ref();
        old.filter(|old| **old != self.write.key)
    }
}

impl Job<Connection> for Save {
    type Output = ();

    async fn on(&self, connection: &mut Connection) -> Result<(), Trouble> {
        let write = &self.write;
        let old = self.replaced();
        let kind = if old.is_some() {
            Kind::Replace
        } else {
            Kind::Set
        };
        let record = connection.prepare(kind).await?;
        let left: Vec<_> = write.metadata.iter().chain(&write.withdrawn).collect();
        let changes = [
            Change::new(connection, Kind::Withdraw, left, old).await,
            Change::new(
                connection,
                Kind::Enlist,
                write.metadata.iter().collect(),
                Some(&write.key),
            )
            .await,
        ];

        let save = async {
            let expires = clock(write.now + u64::from(write.ttl));
            let stale = clock(write.now + u64::from(write.stale_ttl));
            let values: [&(dyn ToSql + Sync); 6] =
                [&write.key, &self.name, &write.value, &expires, &old, &stale];
            let number = if kind == Kind::Replace { 6 } else { 4 };
            connection.execute(&record, &values[..number]).await
        };
        // All is sent at once. The lists come second, as they need the record.
        let lists = change_lists(connection, &changes, self.deadline);
        let (saved, listed) = tokio::join!(save, lists);
        connection.settle(listed);
        saved.map(drop)
    }
}

struct Delete {
    key: String,
    name: String,
    lists: Vec<MetaEntry>,
    deadline: Deadline,
}

impl Job<Connection> for Delete {
    type Output = ();

    async fn on(&self, connection: &mut Connection) -> Result<(), Trouble> {
        let record = connection.prepare(Kind::Delete).await?;
        let lists = self.lists.iter().collect();
        let changes = [Change::new(connection, Kind::Withdraw, lists, Some(&self.key)).await];
        let delete = async {
            let values: [&(dyn ToSql + Sync); 2] = [&self.key, &self.name];
            connection.execute(&record, &values).await
        };
        let lists = change_lists(connection, &changes, self.deadline);
        let (deleted, listed) = tokio::join!(delete, lists);
        connection.settle(listed);
        deleted.map(drop)
    }
}

/// A key that lists are to have, or to have no longer.
struct Change<'a> {
    statement: Statement,
    audiences: Vec<&'a str>,
    subjects: Vec<&'a str>,
    key: &'a str,
}

impl<'a> Change<'a> {
    /// None when there is nothing to change, or no way to: lists that cannot be kept are no reason to fail.
    async fn new(
        connection: &mut Connection,
        kind: Kind,
        lists: Vec<&'a MetaEntry>,
        key: Option<&'a String>,
    ) -> Option<Self> {
        let key = key.filter(|_| !lists.is_empty())?;
        Some(Self {
            statement: connection.prepare(kind).await.ok()?,
            audiences: lists.iter().map(|list| list.audience.as_str()).collect(),
            subjects: lists.iter().map(|list| list.subject.as_str()).collect(),
            key,
        })
    }
}

/// False when the time was over before the server answered.
async fn change_lists(
    connection: &Connection,
    changes: &[Option<Change<'_>>],
    deadline: Deadline,
) -> bool {
    let changes = changes.iter().flatten().map(|change| async move {
        let values: [&(dyn ToSql + Sync); 3] = [&change.audiences, &change.subjects, &change.key];
        // What fails here ends with the record.
        let _ = connection.execute(&change.statement, &values).await;
    });
    timeout_at(deadline.instant().into(), join_all(changes))
        .await
        .is_ok()
}

struct List {
    entry: MetaEntry,
    name: String,
    now: u64,
}

impl Job<Connection> for List {
    type Output = BTreeMap<String, u64>;

    async fn on(&self, connection: &mut Connection) -> Result<Self::Output, Trouble> {
        let MetaEntry { audience, subject } = &self.entry;
        let rows = connection
            .rows(
                Kind::List,
                &[audience, subject, &self.name, &clock(self.now)],
            )
            .await?;
        let session = |row: &Row| {
            let expires = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
            Ok((row.try_get(0)?, expires))
        };
        rows.iter()
            .map(session)
            .collect::<Result<_, _>>()
            .map_err(bad_row)
    }
}

/// Some rows that expired before a time.
struct Batch {
    before: u64,
}

impl Job<Connection> for Batch {
    type Output = u64;

    async fn on(&self, connection: &mut Connection) -> Result<u64, Trouble> {
        let statement = connection.prepare(Kind::Reclaim).await?;
        let number = i64::from(Reclaim::BATCH);
        connection
            .execute(&statement, &[&clock(self.before), &number])
            .await
    }
}
