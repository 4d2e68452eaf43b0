//! Every way to a server keeps all rules of a storage. The suite mostly waits for records to expire, so all do at once.

use futures_util::future::join_all;
use storage::Server;
use storage::conformance;
use storage::redis::{Redis, RedisConfig, Role, Topology};

use crate::common::Exact;
use crate::common::proxy::{Fault, Proxy};
use crate::common::redis::{RedisCluster, RedisServer};
use crate::sentinel::Watched;
use crate::support::{open, password, single};
use crate::{cluster, tls};

async fn conforms((way, storage): (&str, Redis)) {
    let kept = conformance::run(&storage, &Exact).await;
    assert_eq!(kept, Ok(()), "{way}");
}

#[tokio::test]
async fn all_rules_are_kept() {
    let server = RedisServer::start(&[]);
    let socket = RedisServer::start(&["--port", "0"]);
    let encrypted = tls::start(|authority| authority.sign("127.0.0.1"));
    let watched = Watched::start("");
    let nodes = RedisCluster::start();
    let limited = like_the_reference_library();
    let old = OldServer::start().await;
    join_all(
        [
            ("one server", open(numbered(&server))),
            ("a Unix socket", open(over_socket(&socket))),
            ("TLS, a certificate and a user", open(encrypted.config())),
            ("sentinels", open(watched.config(Role::Master))),
            ("a cluster", open(cluster::config(&nodes))),
            ("a user with few rights", open(limited.1)),
            ("a server before Redis 7", open(single(old.proxy.port()))),
        ]
        .map(conforms),
    )
    .await;
    let keys: i64 = server.command("DBSIZE");
    assert_eq!(keys, 0, "database 0 is not used");
}

fn numbered(server: &RedisServer) -> RedisConfig {
    let mut config = single(server.port);
    config.common.prefix = Some("p".into());
    config.common.suffix = Some("s".into());
    config.database = 3;
    config
}

fn over_socket(server: &RedisServer) -> RedisConfig {
    RedisConfig {
        topology: Topology::Single(Server::Unix(server.socket())),
        ..single(0)
    }
}

/// A user who may do what the reference library does, and nothing else.
fn like_the_reference_library() -> (RedisServer, RedisConfig) {
    let server = RedisServer::with_user(
        "app on >hunter2 ~p:* +get +set +unlink +expire +ttl +zadd +zrem +zrange +zremrangebyscore",
    );
    let mut config = single(server.port);
    config.common.prefix = Some("p".into());
    password(&mut config, Some("app"), "hunter2");
    (server, config)
}

/// Before Redis 7, `EXPIRE` had no options: with one it has too many arguments, which is noticed when it is queued.
struct OldServer {
    _server: RedisServer,
    proxy: Proxy,
}

impl OldServer {
    async fn start() -> Self {
        let server = RedisServer::start(&[]);
        let proxy = Proxy::start(server.port).await;
        proxy.set(Fault::Replace(
            "*4\r\n$6\r\nEXPIRE\r\n",
            "*4\r\n$6\r\nEXPIRF\r\n",
        ));
        Self {
            _server: server,
            proxy,
        }
    }
}
