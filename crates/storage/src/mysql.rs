//! MySQL 5.7 and newer, MariaDB 10.4 and newer: tables `sessions (sid, name, data, exp)` and `sessions_meta (aud, sub, sid)`, see
//! `schema/mysql.sql`.
//!
//! Prepared statements, each of them a transaction of its own. Times are written and compared in the time zone of the connection,
//! as other readers and writers of the table do; it is left as the server has it.

mod connect;
mod error;
mod statements;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};
use tokio::time::timeout_at;

use crate::pool::{Job, Pool, Trouble};
use crate::sql::{Reclaim, Table, column_name};
use crate::{
    Answer, Common, ConfigError, Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Server,
    Storage,
};
use connect::{Connection, Dialer};
use error::trouble;
use statements::Statements;

/// What a `mysql` block says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlConfig {
    /// What it says as all blocks do.
    pub common: Common,
    /// Where the server listens.
    pub server: Server,
    /// The database.
    pub database: String,
    /// The table of the records, with its database or without.
    pub table: String,
    /// The table of the lists.
    pub table_meta: String,
    /// The character set of the connection; the client's own when left out.
    pub charset: Option<String>,
}

impl MysqlConfig {
    /// The port of a server without one.
    pub const PORT: u16 = 3306;
    /// The table of the records when nothing is said.
    pub const TABLE: &str = "sessions";
    /// The table of the lists when nothing is said.
    pub const TABLE_META: &str = "sessions_meta";
}

/// Records in MySQL or MariaDB.
pub struct Mysql {
    pool: Pool<Dialer>,
    common: Common,
    statements: Arc<Statements>,
    reclaim: Arc<Reclaim>,
}

/// Characters a name may have.
const LONGEST_NAME: usize = 64;

impl Mysql {
    /// Checks the configuration. No connection is made before the first operation.
    ///
    /// # Errors
    /// When a name or a certificate cannot be used.
    pub fn new(config: MysqlConfig) -> Result<Self, ConfigError> {
        let table = |name: &str| Ok(Table::parse(name, LONGEST_NAME)?.quoted('`'));
        let statements = Statements::new(table(&config.table)?, table(&config.table_meta)?);
        Ok(Self {
            pool: Pool::new(Dialer::new(&config)?, &config.common),
            common: config.common,
            statements: Arc::new(statements),
            reclaim: Arc::default(),
        })
    }

    fn name(&self, cookie: &str) -> String {
        column_name(&self.common, cookie)
    }

    async fn save(&self, write: &RecordWrite, deadline: Deadline) -> Result<(), Error> {
        let save = Save {
            statements: self.statements.clone(),
            name: self.name(&write.name_cookie),
            write: write.clone(),
            deadline,
        };
        self.pool.run(deadline, save).await?;
        if self.reclaim.is_due() {
            let batch = Batch {
                statements: self.statements.clone(),
                before: write.now.saturating_sub(Reclaim::GRACE),
            };
            let (pool, reclaim) = (self.pool.clone(), self.reclaim.clone());
            tokio::spawn(reclaim_rows(pool, reclaim, batch, self.common.timeout));
        }
        Ok(())
    }
}

/// Works off what has expired, as long as nobody else needs the connections.
async fn reclaim_rows(pool: Pool<Dialer>, reclaim: Arc<Reclaim>, batch: Batch, limit: Duration) {
    for _ in 0..Reclaim::BATCHES {
        let rows = pool.run(Deadline::after(limit), batch.clone()).await;
        if pool.is_busy() || rows.is_ok_and(|rows| rows < u64::from(Reclaim::BATCH)) {
            break;
        }
        tokio::time::sleep(Reclaim::PAUSE).await;
    }
    reclaim.done();
}

impl Storage for Mysql {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        let get = Get {
            statements: self.statements.clone(),
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
            statements: self.statements.clone(),
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
            statements: self.statements.clone(),
            entry: list.entry.clone(),
            name: self.name(list.cookie),
            now,
        };
        Box::pin(self.pool.run(deadline, list))
    }
}

struct Get {
    statements: Arc<Statements>,
    key: String,
    name: String,
    now: u64,
}

impl Job<Connection> for Get {
    type Output = Option<Vec<u8>>;

    async fn on(&self, connection: &mut Connection) -> Result<Self::Output, Trouble> {
        let values = (&self.key, &self.name, self.now);
        let row: Option<(Vec<u8>,)> = (connection.client)
            .exec_first(&*self.statements.get, values)
            .await
            .map_err(trouble)?;
        Ok(row.map(|(data,)| data))
    }
}

struct Save {
    statements: Arc<Statements>,
    name: String,
    write: RecordWrite,
    deadline: Deadline,
}

impl Job<Connection> for Save {
    type Output = ();

    async fn on(&self, connection: &mut Connection) -> Result<(), Trouble> {
        let write = &self.write;
        connection.check_size(write.value.len())?;
        let expires = write.now + u64::from(write.ttl);
        (connection.client)
            .exec_drop(
                &*self.statements.set,
                (&write.key, &self.name, &write.value, expires),
            )
            .await
            .map_err(trouble)?;
        aside(connection, self.deadline, |connection| {
            self.follow_up(connection)
        })
        .await;
        Ok(())
    }
}

impl Save {
    /// The old record and the lists.
    async fn follow_up(&self, connection: &mut Connection) {
        let RecordWrite {
            key,
            metadata,
            withdrawn,
            ..
        } = &self.write;
        if let Some(old) = self.write.old_key.as_ref().filter(|old| *old != key) {
            let stale = self.write.now + u64::from(self.write.stale_ttl);
            let values = (stale, old, &self.name, stale);
            // What fails here ends with the record.
            let _ = connection
                .client
                .exec_drop(&*self.statements.expire, values)
                .await;
            let lists: Vec<_> = metadata.iter().chain(withdrawn).collect();
            withdraw(connection, &self.statements, &lists, old).await;
        }
        if !metadata.is_empty() {
            let statement = self.statements.enlist(metadata.len());
            let values = metadata
                .iter()
                .flat_map(|list| [&list.audience, &list.subject, key]);
            let _ = connection.client.exec_drop(statement, texts(values)).await;
        }
    }
}

/// Work whose failure is no failure of the operation, within its time.
async fn aside<'a, F: Future<Output = ()>>(
    connection: &'a mut Connection,
    deadline: Deadline,
    work: impl FnOnce(&'a mut Connection) -> F,
) {
    // A connection that is left in the middle of something knows so.
    let _ = timeout_at(deadline.instant().into(), work(connection)).await;
}

async fn withdraw(
    connection: &mut Connection,
    statements: &Statements,
    lists: &[&MetaEntry],
    key: &String,
) {
    if lists.is_empty() {
        return;
    }
    let pairs = lists
        .iter()
        .flat_map(|list| [&list.audience, &list.subject]);
    let values = texts(std::iter::once(key).chain(pairs));
    let _ = connection
        .client
        .exec_drop(statements.withdraw(lists.len()), values)
        .await;
}

fn texts<'a>(texts: impl Iterator<Item = &'a String>) -> Params {
    Params::Positional(texts.map(Value::from).collect())
}

struct Delete {
    statements: Arc<Statements>,
    key: String,
    name: String,
    lists: Vec<MetaEntry>,
    deadline: Deadline,
}

impl Job<Connection> for Delete {
    type Output = ();

    async fn on(&self, connection: &mut Connection) -> Result<(), Trouble> {
        (connection.client)
            .exec_drop(&*self.statements.delete, (&self.key, &self.name))
            .await
            .map_err(trouble)?;
        let lists: Vec<_> = self.lists.iter().collect();
        let work = |connection| withdraw(connection, &self.statements, &lists, &self.key);
        aside(connection, self.deadline, work).await;
        Ok(())
    }
}

struct List {
    statements: Arc<Statements>,
    entry: MetaEntry,
    name: String,
    now: u64,
}

impl Job<Connection> for List {
    type Output = BTreeMap<String, u64>;

    async fn on(&self, connection: &mut Connection) -> Result<Self::Output, Trouble> {
        let MetaEntry { audience, subject } = &self.entry;
        let values = (audience, subject, audience, subject, &self.name, self.now);
        let rows: Vec<(String, u64)> = (connection.client)
            .exec(&*self.statements.list, values)
            .await
            .map_err(trouble)?;
        Ok(rows.into_iter().collect())
    }
}

/// Some rows that expired before a time.
#[derive(Clone)]
struct Batch {
    statements: Arc<Statements>,
    before: u64,
}

impl Job<Connection> for Batch {
    type Output = u64;

    async fn on(&self, connection: &mut Connection) -> Result<u64, Trouble> {
        (connection.client)
            .exec_drop(&*self.statements.reclaim, (self.before, Reclaim::BATCH))
            .await
            .map_err(trouble)?;
        Ok(connection.client.affected_rows())
    }
}
