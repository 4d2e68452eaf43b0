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

use ::redis::{Cmd, Value};

use crate::config::Secret;
use crate::runtime::{Runtime, Tokio};
use crate::{
    Answer, Common, ConfigError, Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Server,
    Storage,
};
use cluster::Cluster;
use commands::{Batch, Names, Save, Transaction};
use connection::{Login, Settings};
use link::{Link, Target};
use sentinel::Sentinels;

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

    async fn read(&self, name: &str, deadline: Deadline) -> Result<Option<Vec<u8>>, Error> {
        let get = commands::get(name);
        if let Some(Ok(reply)) = self.ask_replica(&get, deadline).await {
            if let Ok(Some(value)) = commands::record(reply) {
                return Ok(Some(value));
            }
        }
        commands::record(self.run_one(&get, deadline).await?)
    }

    async fn save(&self, write: &RecordWrite, deadline: Deadline) -> Result<(), Error> {
        let save = Save::new(&self.names, write)?;
        if save.is_all() {
            return commands::done(self.run_one(save.record(), deadline).await?);
        }
        if self.saves_at_once() && self.save_at_once(&save, deadline).await? {
            return Ok(());
        }
        Box::pin(self.save_in_turn(&save, deadline)).await
    }

    fn saves_at_once(&self) -> bool {
        self.expire_has_options.load(Ordering::Relaxed)
            && self.multi_is_allowed.load(Ordering::Relaxed)
    }

    /// In one transaction: when the record is refused, for want of memory say, the old one must keep its life. False when
    /// that did not work for another reason than the record, and the save has to be done in turn.
    async fn save_at_once(&self, save: &Save, deadline: Deadline) -> Result<bool, Error> {
        let Servers::One { master, .. } = &self.servers else {
            return Ok(false);
        };
        let replies = master.run(&save.transaction(), deadline).await?;
        let Some(mut replies) = Transaction::read(replies)?.executed(&self.multi_is_allowed) else {
            return Ok(false);
        };
        let rest = replies.split_off(1);
        commands::done(first(replies)?)?;
        Ok(self.understood(save, rest.into_iter().map(Ok)))
    }

    /// Whether the server knew all options; remembers it when not.
    fn understood(
        &self,
        save: &Save,
        rest: impl IntoIterator<Item = Result<Value, Error>>,
    ) -> bool {
        let lacks = save.rest_lacks_expire_options(rest);
        if lacks {
            self.expire_has_options.store(false, Ordering::Relaxed);
        }
        !lacks
    }

    /// The record first, the rest when that is there.
    async fn save_in_turn(&self, save: &Save, deadline: Deadline) -> Result<(), Error> {
        commands::done(self.run_one(save.record(), deadline).await?)?;
        // From here on the session is safe, so no failure is one of the save.
        if self.expire_has_options.load(Ordering::Relaxed) {
            let replies = self.run(&save.rest(), deadline).await;
            if self.understood(save, replies) {
                return Ok(());
            }
        }
        let lives = self.run(&refs(&save.lives()), deadline).await;
        self.run(&refs(&save.rest_for_lives(&lives)), deadline)
            .await;
        Ok(())
    }

    async fn remove(
        &self,
        name: &str,
        record: RecordId<'_>,
        metadata: &[MetaEntry],
        now: u64,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let commands = commands::delete(&self.names, name, record, metadata, now);
        commands::counted(first_of(self.run(&refs(&commands), deadline).await)?)
    }

    async fn sessions(
        &self,
        name: &str,
        now: u64,
        deadline: Deadline,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let list = commands::list(name, now);
        if let Some(Ok(reply)) = self.ask_replica(&list, deadline).await {
            if let Ok(sessions) = commands::listed(reply) {
                return Ok(sessions);
            }
        }
        commands::listed(self.run_one(&list, deadline).await?)
    }

    /// None when there is none to be asked. It gets half of the time, so that the master can still be asked.
    async fn ask_replica(&self, command: &Cmd, deadline: Deadline) -> Option<Result<Value, Error>> {
        let Servers::One {
            replica: Some(replica),
            ..
        } = &self.servers
        else {
            return None;
        };
        let half = Deadline::after(deadline.left() / 2);
        // In a box, since most have no replica, and need no room for this.
        let replies = Box::pin(replica.run(&[command], half)).await;
        Some(replies.and_then(first))
    }

    /// A reply to each command. Ends by the deadline.
    async fn run(&self, batch: &Batch<'_>, deadline: Deadline) -> Vec<Result<Value, Error>> {
        match &self.servers {
            _ if batch.is_empty() => Vec::new(),
            Servers::One { master, .. } => match master.run(batch, deadline).await {
                Ok(replies) => replies.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); batch.len()],
            },
            Servers::Many(cluster) => cluster.run(batch, deadline).await,
        }
    }

    async fn run_one(&self, command: &Cmd, deadline: Deadline) -> Result<Value, Error> {
        match &self.servers {
            Servers::One { master, .. } => first(master.run(&[command], deadline).await?),
            Servers::Many(cluster) => first_of(Box::pin(cluster.run(&[command], deadline)).await),
        }
    }
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

fn refs(commands: &[Cmd]) -> Vec<&Cmd> {
    commands.iter().collect()
}

fn first(replies: Vec<Value>) -> Result<Value, Error> {
    first_of(replies.into_iter().map(Ok))
}

fn first_of(replies: impl IntoIterator<Item = Result<Value, Error>>) -> Result<Value, Error> {
    let none = || Error::BadReply("no reply".to_owned());
    replies.into_iter().next().unwrap_or_else(|| Err(none()))
}

/// Does the work unless the deadline has passed. The work minds it by itself: a save must not fail any more once the record is
/// there.
async fn in_time<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match deadline.is_over() {
        true => Err(Error::Timeout),
        false => work.await,
    }
}

impl Storage for Redis {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        _now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        let name = self.names.record(record.cookie, record.key);
        Box::pin(in_time(deadline, async move {
            self.read(&name, deadline).await
        }))
    }

    fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()> {
        Box::pin(in_time(deadline, self.save(write, deadline)))
    }

    fn delete<'a>(
        &'a self,
        record: RecordId<'a>,
        metadata: &'a [MetaEntry],
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, ()> {
        let name = self.names.record(record.cookie, record.key);
        Box::pin(in_time(deadline, async move {
            self.remove(&name, record, metadata, now, deadline).await
        }))
    }

    fn list<'a>(
        &'a self,
        list: ListId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, BTreeMap<String, u64>> {
        let name = self.names.list(list.cookie, list.entry);
        Box::pin(in_time(deadline, async move {
            self.sessions(&name, now, deadline).await
        }))
    }
}
