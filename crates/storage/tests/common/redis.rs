//! Redis servers.

use std::path::PathBuf;
use std::process::Command;

use redis::{Client, Cmd, Connection, FromRedisValue};

use super::{Process, Scratch, free_port, wait_until};

/// A running server.
pub struct RedisServer {
    process: Option<Process>,
    scratch: Scratch,
    options: Vec<String>,
    pub port: u16,
}

impl RedisServer {
    /// Starts one with its own options besides a port of 127.0.0.1 and a Unix socket.
    pub fn start(options: &[&str]) -> Self {
        Self::start_with(|_| options.iter().map(ToString::to_string).collect())
    }

    /// Starts one that knows a user besides the default one.
    pub fn with_user(rules: &str) -> Self {
        let options: Vec<&str> = ["--user"].into_iter().chain(rules.split(' ')).collect();
        Self::start(&options)
    }

    /// Starts one whose options name files that are written first.
    pub fn start_with(options: impl FnOnce(&Scratch) -> Vec<String>) -> Self {
        let scratch = Scratch::new();
        let mut server = Self {
            process: None,
            options: options(&scratch),
            scratch,
            port: free_port(),
        };
        server.start_again();
        server
    }

    /// A sentinel of the master at `port`.
    pub fn sentinel(master: &str, port: u16, lines: &str) -> Self {
        Self::start_with(|scratch| {
            let file = scratch.write(
                "sentinel.conf",
                &format!(
                    "sentinel monitor {master} 127.0.0.1 {port} 1\n\
                     sentinel down-after-milliseconds {master} 300\n\
                     sentinel failover-timeout {master} 2000\n{lines}\n"
                ),
            );
            vec![file.display().to_string(), "--sentinel".into()]
        })
    }

    /// Starts it once more, on the same port.
    pub fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        // A file, if any, has to come first.
        let files = self
            .options
            .iter()
            .take_while(|option| !option.starts_with("--"));
        let (files, options) = self.options.split_at(files.count());
        command
            .args(files)
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.scratch.path())
            .arg("--unixsocket")
            .arg(self.socket())
            .args(options);
        self.process = Some(Process::start(&mut command, "redis-server"));
        wait_until("redis-server answers", || {
            let connection = self.client().get_connection();
            connection.is_ok_and(|mut connection| {
                let reply: redis::RedisResult<String> = redis::cmd("PING").query(&mut connection);
                // One that wants a password answers as well.
                reply.map_or_else(|error| error.code().is_some(), |_| true)
            })
        });
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("redis.sock")
    }

    fn client(&self) -> Client {
        let address = match self.options.contains(&"--port".to_owned()) {
            true => format!("redis+unix://{}", self.socket().display()),
            false => format!("redis://127.0.0.1:{}/", self.port),
        };
        Client::open(address).unwrap()
    }

    /// A connection to it, as the default user.
    pub fn connection(&self) -> Connection {
        self.client().get_connection().unwrap()
    }

    /// Does a command, given as words.
    pub fn command<T: FromRedisValue>(&self, words: &str) -> T {
        command(words).query(&mut self.connection()).unwrap()
    }
}

/// A command, given as words.
pub fn command(words: &str) -> Cmd {
    let mut command = Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command
}

/// Three masters and the slots shared among them.
pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub fn start() -> Self {
        let nodes: Vec<_> = (0..3).map(|_| Self::node()).collect();
        let slots = ["0 5460", "5461 10922", "10923 16383"];
        for (node, slots) in nodes.iter().zip(slots) {
            let () = node.command(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
        }
        for (epoch, node) in nodes.iter().enumerate() {
            let () = node.command(&format!("CLUSTER SET-CONFIG-EPOCH {}", epoch + 1));
        }
        for other in &nodes[1..] {
            let bus: u16 = other.option("--cluster-port").parse().unwrap();
            let () = nodes[0].command(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port));
        }
        wait_until("the cluster is up", || {
            nodes.iter().all(|node| {
                let info: String = node.command("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        });
        Self { nodes }
    }

    fn node() -> RedisServer {
        let bus = free_port().to_string();
        RedisServer::start(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "1000",
            "--cluster-require-full-coverage",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ])
    }

    /// A further node, which follows one of the masters.
    pub fn replica_of(&self, master: usize) -> RedisServer {
        let replica = Self::node();
        let bus = replica.option("--cluster-port");
        let () = self.nodes[0].command(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", replica.port));
        let id = self.nodes[master].id();
        wait_until("the replica knows its master", || {
            let nodes: String = replica.command("CLUSTER NODES");
            nodes.contains(&id) && nodes.matches(" master ").count() >= 3
        });
        let () = replica.command(&format!("CLUSTER REPLICATE {id}"));
        wait_until("the replica follows, and all know it", || {
            let info: String = replica.command("INFO replication");
            let is_known =
                |node: &RedisServer| node.command::<String>("CLUSTER NODES").contains(" slave ");
            info.contains("master_link_status:up") && self.nodes.iter().all(is_known)
        });
        replica
    }

    /// The node that serves a name.
    pub fn node_of(&self, name: &str) -> usize {
        let slot: u16 = self.nodes[0].command(&format!("CLUSTER KEYSLOT {name}"));
        usize::from(slot > 5460) + usize::from(slot > 10922)
    }
}

impl RedisServer {
    fn option(&self, name: &str) -> &str {
        let at = self.options.iter().position(|option| option == name);
        &self.options[at.unwrap() + 1]
    }

    /// Its id in a cluster.
    pub fn id(&self) -> String {
        self.command("CLUSTER MYID")
    }
}
