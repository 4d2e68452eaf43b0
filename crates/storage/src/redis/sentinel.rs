//! Finds a master and its replicas by asking sentinels.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::batch::{Batch, Verb, Word};
use super::connection::{Connection, Login, Settings};
use super::fault;
use super::pipe::Failure;
use super::reply::Reply;
use crate::{Deadline, Error, Server};

/// The sentinels of a master.
pub(super) struct Sentinels {
    servers: Vec<Server>,
    name: String,
    login: Login,
    /// The one that was right last; it is asked first.
    last: AtomicUsize,
    /// Changes with each choice of a replica, so that workers and attempts differ.
    turn: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Wanted {
    Master,
    Replica,
}

impl Sentinels {
    pub(super) fn new(servers: Vec<Server>, name: String, login: Login) -> Self {
        Self {
            servers,
            name,
            login,
            last: AtomicUsize::new(0),
            turn: AtomicUsize::new(std::process::id() as usize),
        }
    }

    /// Connects to the master.
    pub(super) async fn master(
        &self,
        settings: &Settings,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        self.find(Wanted::Master, settings, deadline).await
    }

    /// Connects to a replica.
    pub(super) async fn replica(
        &self,
        settings: &Settings,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        self.find(Wanted::Replica, settings, deadline).await
    }

    async fn find(
        &self,
        wanted: Wanted,
        settings: &Settings,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        let count = self.servers.len();
        let first = self.last.load(Ordering::Relaxed);
        let mut result = Err(Error::Unavailable("there is no sentinel".to_owned()));
        for nth in 0..count {
            let at = (first + nth) % count;
            let others = u32::try_from(count - nth).unwrap_or(u32::MAX);
            let share = Deadline::after(deadline.left() / others);
            result = self
                .find_by(&self.servers[at], wanted, settings, share)
                .await;
            if result.is_ok() {
                self.last.store(at, Ordering::Relaxed);
                break;
            }
        }
        result
    }

    async fn find_by(
        &self,
        sentinel: &Server,
        wanted: Wanted,
        settings: &Settings,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        let server = {
            let connection = Connection::open(settings, &self.login, sentinel, deadline);
            let connection = connection.await.map_err(at_sentinel)?;
            let question = match wanted {
                Wanted::Master => "get-master-addr-by-name",
                Wanted::Replica => "replicas",
            };
            let words = [question, &self.name].map(Word::Text);
            let command = Batch::of(Verb::Sentinel, &words);
            let reply = ask(&connection, &command, deadline).await;
            match wanted {
                Wanted::Master => address(&reply.map_err(at_sentinel)?),
                Wanted::Replica => self.choose(&reply.map_err(at_sentinel)?),
            }
        };
        let server = server.ok_or_else(|| self.unknown(wanted))?;
        let connection = Connection::open(settings, &settings.login, &server, deadline).await?;
        check_role(&connection, wanted, deadline).await?;
        Ok(connection)
    }

    fn unknown(&self, wanted: Wanted) -> Error {
        let what = match wanted {
            Wanted::Master => "master",
            Wanted::Replica => "replica of",
        };
        Error::Unavailable(format!("a sentinel knows no {what} \"{}\"", self.name))
    }

    fn choose(&self, reply: &Reply) -> Option<Server> {
        let Reply::List(replicas) = reply else {
            return None;
        };
        let up: Vec<Server> = replicas.iter().filter_map(replica).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        up.get(turn % up.len().max(1)).cloned()
    }
}

fn at_sentinel(error: Error) -> Error {
    fault::from("sentinel", error)
}

async fn ask(connection: &Connection, command: &Batch, deadline: Deadline) -> Result<Reply, Error> {
    match connection.run(command, deadline).await {
        Ok(mut replies) => fault::answer(replies.pop().unwrap_or(Reply::Nil)),
        Err(Failure::Lost(error)) => Err(error),
        Err(Failure::Late) => Err(Error::Timeout),
    }
}

/// A sentinel may not have heard yet.
async fn check_role(
    connection: &Connection,
    wanted: Wanted,
    deadline: Deadline,
) -> Result<(), Error> {
    let reply = ask(connection, &Batch::of(Verb::Role, &[]), deadline).await;
    let role = match &reply {
        Ok(Reply::List(items)) => items.first().and_then(text),
        // A user who may not ask for it.
        Err(Error::Refused(_)) => return Ok(()),
        Ok(_) => None,
        Err(error) => return Err(error.clone()),
    };
    match (wanted, role) {
        (Wanted::Master, Some("master")) | (Wanted::Replica, Some("slave")) => Ok(()),
        _ => Err(Error::Unavailable(
            "a sentinel names a server of another role: there may be a failover".to_owned(),
        )),
    }
}

fn text(value: &Reply) -> Option<&str> {
    match value {
        Reply::Text(text) => std::str::from_utf8(text).ok(),
        Reply::Status(text) => Some(text),
        _ => None,
    }
}

/// Host and port.
fn address(reply: &Reply) -> Option<Server> {
    match reply {
        Reply::List(parts) => match parts.as_slice() {
            [host, port] => server(text(host)?, text(port)?),
            _ => None,
        },
        _ => None,
    }
}

fn server(host: &str, port: &str) -> Option<Server> {
    Some(Server::Tcp {
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

/// The address of a replica that is up, from a list of names and values.
fn replica(reply: &Reply) -> Option<Server> {
    let Reply::List(items) = reply else {
        return None;
    };
    let field = |name: &str| {
        let mut pairs = items.chunks_exact(2);
        pairs
            .find(|pair| text(&pair[0]) == Some(name))
            .and_then(|pair| text(&pair[1]))
    };
    let is_down = field("flags")?
        .split(',')
        .any(|flag| matches!(flag, "s_down" | "o_down" | "disconnected"));
    match is_down {
        true => None,
        false => server(field("ip")?, field("port")?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Text(text.as_bytes().to_vec())
    }

    fn replica_reply(flags: &str) -> Reply {
        let items = ["name", "x", "ip", "::1", "port", "7000", "flags", flags];
        Reply::List(items.map(bulk).to_vec())
    }

    #[test]
    fn replicas_that_are_down_are_left_out() {
        assert_eq!(replica(&replica_reply("slave")), server("::1", "7000"));
        for flags in ["slave,s_down", "s_down,slave,disconnected", "o_down"] {
            assert_eq!(replica(&replica_reply(flags)), None, "{flags}");
        }
    }

    #[test]
    fn addresses() {
        let reply = Reply::List(vec![bulk("10.0.0.1"), bulk("6379")]);
        assert_eq!(address(&reply), server("10.0.0.1", "6379"));
        assert_eq!(address(&Reply::Nil), None);
        assert_eq!(
            address(&Reply::List(vec![bulk("10.0.0.1"), bulk("x")])),
            None
        );
    }
}
