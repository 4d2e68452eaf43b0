//! Redis and Valkey: one server, a master found by sentinels, or a cluster.
//!
//! A worker keeps one connection to each server it needs and sends the commands of all its requests over it; `pool_size` is
//! never reached.
//!
//! The user needs the rights that lua-resty-session needs: `GET`, `SET`, `UNLINK`, `EXPIRE`, `TTL`, `ZADD`, `ZREM`, `ZRANGE`,
//! `ZREMRANGEBYSCORE`, in a cluster `CLUSTER SLOTS` and `ASKING`. `PING`, `MULTI`, `EXEC` and `ROLE` are used where allowed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Secret;
use crate::runtime::{Runtime, Tokio};
use crate::{
    Answer, Common, ConfigError, Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Server,
    Storage,
};
use batch::{Batch, Names, Verb};
use cluster::Cluster;
use commands::{Save, Transaction};
use connection::{Login, Settings};
use link::{Link, Target};
use pipe::Replies;
use reply::Reply;
use sentinel::Sentinels;

mod batch;
mod cluster;
mod commands;
mod connection;
mod fault;
mod link;
mod pipe;
mod reply;
mod sentinel;
mod slots;

/// A backend of type `redis`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// What all servers have in common.
    pub common: Common,
    /// Which servers, and how they are found.
    pub topology: Topology,
    /// The number of the database; 0 in a cluster.
    pub database: i64,
}

/// How the server of a record is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// It is this one.
    Single(Server),
    /// Sentinels know it.
    Sentinel {
        /// Where they listen.
        sentinels: Vec<Server>,
        /// The name they know the master by.
        master: String,
        /// Where records are read.
        role: Role,
        /// Who we are to the sentinels.
        username: Option<String>,
        /// How we prove it to them.
        password: Option<Secret>,
    },
    /// It depends on the record's name.
    Cluster {
        /// Some nodes; they know the others.
        nodes: Vec<Server>,
    },
}

/// Where records are read. They are written at the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// At the master.
    Master,
    /// At a replica; at the master what no replica has. A record that was replaced or deleted may be read until the replica
    /// has heard of it.
    Slave,
}

/// The storage.
pub struct Redis {
    names: Names,
    servers: Servers,
    /// The server has the options of `EXPIRE` that came with Redis 7, as far as we know.
    expire_has_options: AtomicBool,
    /// The server lets us use `MULTI`, as far as we know.
    multi_is_allowed: AtomicBool,
}

enum Servers {
    One {
        master: Arc<Link>,
        replica: Option<Arc<Link>>,
    },
    Many(Cluster),
}

impl Redis {
    /// Takes the configuration; connects to nobody yet.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or its certificates cannot be used.
    pub fn new(config: RedisConfig) -> Result<Self, ConfigError> {
        Self::on(Arc::new(Tokio), config)
    }

    /// The same, with connections on another loop than tokio's.
    ///
    /// # Errors
    /// As above.
    pub fn on(runtime: Arc<dyn Runtime>, config: RedisConfig) -> Result<Self, ConfigError> {
        check(&config)?;
        let RedisConfig {
            common,
            topology,
            database,
        } = config;
        let login = Login {
            username: common.username.clone(),
            password: common.password.clone(),
            database,
        };
        let settings = Arc::new(Settings::new(runtime, &common, login)?);
        Ok(Self {
            names: Names {
                prefix: common.prefix,
                suffix: common.suffix,
            },
            servers: Servers::new(topology, &settings),
            expire_has_options: AtomicBool::new(true),
            multi_is_allowed: AtomicBool::new(true),
        })
    }

    async fn read(
        &self,
        record: RecordId<'_>,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, Error> {
        in_time(deadline)?;
        let get = commands::get(self.names.record(record.cookie, record.key));
        if let Some(replica) = self.replica() {
            // In a box, since most have no replica, and need no room for this.
            if let Ok(Some(value)) = Box::pin(read_at(replica, &get, deadline)).await {
                return Ok(Some(value));
            }
        }
        commands::record(first(self.run_all(&get, deadline).await?)?)
    }

    async fn save(&self, write: &RecordWrite, deadline: Deadline) -> Result<(), Error> {
        in_time(deadline)?;
        let save = Save::new(&self.names, write)?;
        if save.is_all() || !self.saves_at_once() {
            return Box::pin(self.save_in_turn(save, deadline)).await;
        }
        // In one transaction: when the record is refused, for want of memory say, the old one must keep its life.
        let transaction = save.transaction();
        let replies = self.run_all(&transaction, deadline).await?;
        match self.saved_at_once(&transaction, replies)? {
            true => Ok(()),
            false => Box::pin(self.save_in_turn(save, deadline)).await,
        }
    }

    fn saves_at_once(&self) -> bool {
        matches!(self.servers, Servers::One { .. })
            && self.expire_has_options.load(Ordering::Relaxed)
            && self.multi_is_allowed.load(Ordering::Relaxed)
    }

    /// False when the transaction did not work for another reason than the record, and the save has to be done in turn.
    fn saved_at_once(&self, transaction: &Batch, replies: Replies) -> Result<bool, Error> {
        let executed = Transaction::read(replies)?.executed(&self.multi_is_allowed);
        let Some(executed) = executed else {
            return Ok(false);
        };
        let mut replies = executed.into_iter();
        commands::done(first(&mut replies)?)?;
        // Before it come MULTI and the record's own.
        let verbs = transaction.verbs().skip(2);
        Ok(self.understood(verbs, replies.map(Ok)))
    }

    /// Whether the server knew all options; remembers it when not.
    fn understood(
        &self,
        verbs: impl Iterator<Item = Verb>,
        replies: impl IntoIterator<Item = Result<Reply, Error>>,
    ) -> bool {
        let lacks = commands::lacks_expire_options(verbs, replies);
        if lacks {
            self.expire_has_options.store(false, Ordering::Relaxed);
        }
        !lacks
    }

    /// The record first, the rest when that is there.
    async fn save_in_turn(&self, save: Save<'_>, deadline: Deadline) -> Result<(), Error> {
        commands::done(first(self.run_all(&save.record(), deadline).await?)?)?;
        // From here on the session is safe, so no failure is one of the save.
        if save.is_all() {
            return Ok(());
        }
        if self.expire_has_options.load(Ordering::Relaxed) {
            let rest = save.rest();
            let replies = self.run(&rest, deadline).await;
            if self.understood(rest.verbs(), replies) {
                return Ok(());
            }
        }
        let lives = self.run(&save.lives(), deadline).await;
        self.run(&save.rest_for_lives(&lives), deadline).await;
        Ok(())
    }

    async fn remove(
        &self,
        record: RecordId<'_>,
        metadata: &[MetaEntry],
        now: u64,
        deadline: Deadline,
    ) -> Result<(), Error> {
        in_time(deadline)?;
        let commands = commands::delete(&self.names, record, metadata, now);
        let replies = self.run(&commands, deadline).await;
        commands::counted(replies.into_iter().next().unwrap_or_else(no_reply)?)
    }

    async fn sessions(
        &self,
        list: ListId<'_>,
        now: u64,
        deadline: Deadline,
    ) -> Result<BTreeMap<String, u64>, Error> {
        in_time(deadline)?;
        let list = commands::list(self.names.list(list.cookie, list.entry), now);
        if let Some(replica) = self.replica() {
            let replies = replica.run(&list, half(deadline)).await;
            if let Ok(sessions) = replies.and_then(first).and_then(commands::listed) {
                return Ok(sessions);
            }
        }
        commands::listed(first(self.run_all(&list, deadline).await?)?)
    }

    fn replica(&self) -> Option<&Arc<Link>> {
        match &self.servers {
            Servers::One { replica, .. } => replica.as_ref(),
            Servers::Many(_) => None,
        }
    }

    /// A reply to each command. Ends by the deadline.
    async fn run(&self, batch: &Batch, deadline: Deadline) -> Vec<Result<Reply, Error>> {
        match &self.servers {
            _ if batch.is_empty() => Vec::new(),
            Servers::One { master, .. } => match master.run(batch, deadline).await {
                Ok(replies) => replies.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); batch.len()],
            },
            Servers::Many(cluster) => cluster.run(batch, deadline).await,
        }
    }

    /// The same; an error when one of them has no reply.
    async fn run_all(&self, batch: &Batch, deadline: Deadline) -> Result<Replies, Error> {
        match &self.servers {
            Servers::One { master, .. } => master.run(batch, deadline).await,
            // In a box: a cluster takes more room, which the others need not have.
            Servers::Many(cluster) => {
                let replies = Box::pin(cluster.run(batch, deadline)).await;
                replies.into_iter().collect()
            }
        }
    }
}

async fn read_at(
    replica: &Arc<Link>,
    get: &Batch,
    deadline: Deadline,
) -> Result<Option<Vec<u8>>, Error> {
    commands::record(first(replica.run(get, half(deadline)).await?)?)
}

/// A replica gets half of the time, so that the master can still be asked.
fn half(deadline: Deadline) -> Deadline {
    Deadline::after(deadline.left() / 2)
}

impl Servers {
    fn new(topology: Topology, settings: &Arc<Settings>) -> Self {
        let link = |target| Arc::new(Link::new(target, settings.clone()));
        match topology {
            Topology::Single(server) => Self::One {
                master: link(Target::Server(server)),
                replica: None,
            },
            Topology::Sentinel {
                sentinels,
                master,
                role,
                username,
                password,
            } => {
                let login = Login {
                    username,
                    password,
                    database: 0,
                };
                let sentinels = Arc::new(Sentinels::new(sentinels, master, login));
                Self::One {
                    master: link(Target::Master(sentinels.clone())),
                    replica: (role == Role::Slave).then(|| link(Target::Replica(sentinels))),
                }
            }
            Topology::Cluster { nodes } => Self::Many(Cluster::new(nodes, settings.clone())),
        }
    }
}

fn check(config: &RedisConfig) -> Result<(), ConfigError> {
    let wrong = |text: &str| Err(ConfigError::Wrong(text.to_owned()));
    let servers = match &config.topology {
        Topology::Single(server) => std::slice::from_ref(server),
        Topology::Sentinel { master, .. } if master.is_empty() => {
            return wrong("needs the name the sentinels know the master by");
        }
        Topology::Sentinel { sentinels, .. } => sentinels,
        Topology::Cluster { nodes } => nodes,
    };
    if servers.is_empty() {
        return wrong("needs at least one server");
    }
    if config.database < 0 {
        return wrong("must be 0 or more");
    }
    if config.database != 0 && matches!(config.topology, Topology::Cluster { .. }) {
        return wrong("must be 0 in a cluster: a cluster has one database");
    }
    let Some(tls) = &config.common.tls else {
        return Ok(());
    };
    for server in servers {
        match server {
            Server::Tcp { host, .. } => drop(tls.server_name(host)?),
            Server::Unix(_) => {
                return wrong("cannot be used with \"unix:\": Redis has TLS over TCP only");
            }
        }
    }
    Ok(())
}

fn first(replies: impl IntoIterator<Item = Reply>) -> Result<Reply, Error> {
    let first = replies.into_iter().next();
    first.map_or_else(no_reply, Ok)
}

fn no_reply() -> Result<Reply, Error> {
    Err(Error::BadReply("no reply".to_owned()))
}

/// Nothing is begun when the deadline has passed. From then on the work minds it by itself: a save must not fail any more once
/// the record is there.
fn in_time(deadline: Deadline) -> Result<(), Error> {
    match deadline.is_over() {
        true => Err(Error::Timeout),
        false => Ok(()),
    }
}

impl Storage for Redis {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        _now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(self.read(record, deadline))
    }

    fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()> {
        Box::pin(self.save(write, deadline))
    }

    fn delete<'a>(
        &'a self,
        record: RecordId<'a>,
        metadata: &'a [MetaEntry],
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, ()> {
        Box::pin(self.remove(record, metadata, now, deadline))
    }

    fn list<'a>(
        &'a self,
        list: ListId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, BTreeMap<String, u64>> {
        Box::pin(self.sessions(list, now, deadline))
    }
}
