//! A cluster of three nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storage::redis::{RedisConfig, Topology};

use crate::common::redis::{RedisCluster, RedisServer};
use crate::common::{free_port, wait_until};
use crate::support::{eventually, get, key, kind, open, server, set, single, soon, within};

/// The first node is one that is not there.
pub fn config(cluster: &RedisCluster) -> RedisConfig {
    RedisConfig {
        topology: Topology::Cluster {
            nodes: vec![server(free_port()), server(cluster.nodes[0].port)],
        },
        ..single(0)
    }
}

fn keys() -> impl Iterator<Item = String> {
    (0..30).map(|nth| format!("{nth:043}"))
}

#[tokio::test]
async fn a_node_that_is_away_takes_only_its_records_along() {
    let mut cluster = RedisCluster::start();
    let storage = open(config(&cluster));
    for key in keys() {
        set(&storage, &key, "v").await.unwrap();
    }
    cluster.nodes[2].stop();
    let (mut there, mut away) = (0, 0);
    for key in keys() {
        let got = get(&storage, &key, within(1000)).await;
        if cluster.node_of(&format!("sid:{key}")) == 2 {
            away += 1;
            assert_eq!(kind(got), "unavailable");
        } else {
            there += 1;
            assert_eq!(got.unwrap().as_deref(), Some("v"));
        }
    }
    assert!(there > 0 && away > 0, "{there} {away}");
    // With the others, all are away.
    for node in &mut cluster.nodes {
        node.stop();
    }
    let late = open(config(&cluster));
    for storage in [&storage, &late] {
        assert_eq!(kind(get(storage, &key('k'), soon()).await), "unavailable");
    }
    for node in &mut cluster.nodes {
        node.start_again();
    }
    for key in keys() {
        eventually(Duration::from_secs(5), || set(&storage, &key, "v")).await;
        eventually(Duration::from_secs(5), || set(&late, &key, "v")).await;
    }
}

#[tokio::test]
async fn a_server_that_is_no_node_says_so() {
    let alone = RedisServer::start(&[]);
    let mut config = single(0);
    config.topology = Topology::Cluster {
        nodes: vec![server(alone.port)],
    };
    let error = get(&open(config), &key('k'), soon()).await.unwrap_err();
    assert!(error.to_string().contains("node of a cluster"), "{error}");
}

#[tokio::test]
async fn a_replica_takes_over() {
    let mut cluster = RedisCluster::start();
    let replica = cluster.replica_of(1);
    let storage = open(config(&cluster));
    for key in keys() {
        set(&storage, &key, "v").await.unwrap();
    }
    wait_until("the replica has the records", || {
        replica.command::<u32>("DBSIZE") == cluster.nodes[1].command::<u32>("DBSIZE")
    });
    cluster.nodes[1].stop();
    // Without waiting for the others' votes.
    let () = replica.command("CLUSTER FAILOVER TAKEOVER");
    for key in keys() {
        let got = eventually(Duration::from_secs(3), || get(&storage, &key, soon())).await;
        assert_eq!(got.as_deref(), Some("v"));
    }
}

/// The slot is moved there and back while its record, and one that comes and goes, are used: `ASK` and `MOVED` are followed.
#[tokio::test]
async fn a_slot_moves_under_load() {
    let cluster = Arc::new(RedisCluster::start());
    let storage = Arc::new(open(config(&cluster)));
    let kept = key('k');
    set(&storage, &kept, "v").await.unwrap();
    let from = cluster.node_of(&format!("sid:{kept}"));
    let alone = open(single(cluster.nodes[(from + 1) % 3].port));
    let error = get(&alone, &kept, soon()).await.unwrap_err();
    assert!(error.to_string().contains("node lines"), "{error}");
    let slot: u16 = cluster.nodes[0].command(&format!("CLUSTER KEYSLOT sid:{kept}"));

    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (storage, stop, kept) = (storage.clone(), stop.clone(), kept.clone());
        async move {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                let got = get(&storage, &kept, soon()).await.unwrap();
                assert_eq!(got.as_deref(), Some("v"));
                set(&storage, &kept, "v").await.unwrap();
                rounds += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            rounds
        }
    });
    let moving = tokio::task::spawn_blocking({
        let cluster = cluster.clone();
        move || {
            for _ in 0..5 {
                move_slot(&cluster, slot, from, (from + 1) % 3);
                move_slot(&cluster, slot, (from + 1) % 3, from);
            }
        }
    });
    moving.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(load.await.unwrap() > 10);
}

fn move_slot(cluster: &RedisCluster, slot: u16, from: usize, to: usize) {
    let pause = || std::thread::sleep(Duration::from_millis(20));
    let (source, target) = (&cluster.nodes[from], &cluster.nodes[to]);
    let () = target.command(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", source.id()));
    let () = source.command(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", target.id()));
    pause();
    loop {
        let names: Vec<String> = source.command(&format!("CLUSTER GETKEYSINSLOT {slot} 10"));
        if names.is_empty() {
            break;
        }
        for name in names {
            let () = source.command(&format!("MIGRATE 127.0.0.1 {} {name} 0 1000", target.port));
        }
    }
    pause();
    let owner = target.id();
    for node in [target, source] {
        let () = node.command(&format!("CLUSTER SETSLOT {slot} NODE {owner}"));
    }
    pause();
}
