//! The dshm storage against a stand-in for the server: no registry has it. The stand-in speaks the protocol as the server's
//! source does, and its time is the test's.

#[path = "common/clock.rs"]
mod clock;
mod common;
#[path = "common/parrot.rs"]
mod parrot;
#[path = "common/records.rs"]
mod records;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clock::Made;
use common::proxy::{Fault, Proxy};
use common::{free_port, now};
use parrot::Parrot;
use records::{get, get_by, key, list, recovers, set, soon, within, write};
use storage::conformance::{self, Time};
use storage::dshm::{Dshm, DshmConfig};
use storage::{Common, Error, MetaEntry, RecordWrite, Server, Storage};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A value, and Unix seconds of its end if it has one.
type Value = (String, Option<u64>);

/// A server with a clock of its own.
struct StandIn {
    port: u16,
    clock: Made,
    values: Arc<Mutex<HashMap<String, Value>>>,
    _tasks: JoinSet<()>,
}

impl StandIn {
    async fn start() -> Self {
        Self::start_on(free_port()).await
    }

    async fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.expect("the port is free");
        let clock = Made::at(now());
        let values: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let (time, shared) = (clock.clone(), values.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone(), time.clone()));
            }
        });
        Self {
            port,
            clock,
            values,
            _tasks: tasks,
        }
    }

    /// A stored value as it is, and the seconds it has left.
    fn stored(&self, name: &str) -> Option<(String, u64)> {
        let values = self.values.lock().expect("no test panics here");
        let (value, end) = values.get(name)?;
        let left = end.expect("nothing of ours lives for ever") - self.clock.now();
        Some((value.clone(), left))
    }

    fn store(&self, name: &str, value: &str, ttl: u64) {
        let end = self.clock.now() + ttl;
        let mut values = self.values.lock().expect("no test panics here");
        values.insert(name.to_owned(), (value.to_owned(), Some(end)));
    }
}

async fn serve(stream: TcpStream, values: Arc<Mutex<HashMap<String, Value>>>, clock: Made) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        if !matches!(stream.read_until(b'\n', &mut line).await, Ok(1..)) {
            return;
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
        let answer = match words[..] {
            ["set", name, ttl, size] => match (ttl.parse::<u64>(), size.parse::<usize>()) {
                (Ok(ttl), Ok(size @ 1..)) => {
                    // The data has no end of line behind it.
                    let mut data = vec![0; size];
                    if stream.read_exact(&mut data).await.is_err() {
                        return;
                    }
                    let data = String::from_utf8_lossy(&data).into_owned();
                    let end = (ttl > 0).then(|| clock.now() + ttl);
                    let answer = value_answer(&data);
                    let mut values = values.lock().expect("no test panics here");
                    values.insert(name.to_owned(), (data, end));
                    answer
                }
                _ => "ERROR malformed_request\r\n".to_owned(),
            },
            ["quit"] => return,
            _ => answer(
                &words,
                &mut values.lock().expect("no test panics here"),
                clock.now(),
            ),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The answer to what comes in one line.
fn answer(words: &[&str], values: &mut HashMap<String, Value>, now: u64) -> String {
    values.retain(|_, (_, end)| end.is_none_or(|end| end > now));
    match *words {
        ["get", name] => match values.get(name) {
            Some((value, _)) => value_answer(value),
            None => "ERROR not_found\r\n".to_owned(),
        },
        ["touch", name, ttl] => match ttl.parse::<u64>() {
            Ok(ttl) => {
                if let Some((_, end)) = values.get_mut(name) {
                    *end = (ttl > 0).then_some(now + ttl);
                }
                "DONE\r\n".to_owned()
            }
            Err(_) => "ERROR malformed_request\r\n".to_owned(),
        },
        ["delete", name] => {
            values.remove(name);
            "DONE\r\n".to_owned()
        }
        _ => "ERROR malformed_request\r\n".to_owned(),
    }
}

fn value_answer(value: &str) -> String {
    // The server counts the units of UTF-16.
    format!(
        "LEN {}\r\n{value}\r\nDONE\r\n",
        value.encode_utf16().count()
    )
}

fn storage_at(port: u16, common: Common) -> Dshm {
    let host = "127.0.0.1".to_owned();
    let server = Server::Tcp { host, port };
    Dshm::new(DshmConfig { common, server }).expect("the lines are right")
}

fn plain(port: u16) -> Dshm {
    storage_at(port, Common::default())
}

#[tokio::test]
async fn it_keeps_the_rules() {
    let server = StandIn::start().await;
    let result = conformance::run(&plain(server.port), &server.clock).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn the_reference_client_finds_the_records_and_the_other_way_round() {
    let server = StandIn::start().await;
    let common = Common {
        prefix: Some("p".into()),
        suffix: Some("s".into()),
        ..Common::default()
    };
    let storage = storage_at(server.port, common);
    let ann = MetaEntry::new("aud", "ann", false);
    let listed = RecordWrite {
        metadata: vec![ann.clone()],
        ..write(&key('a'), r#"["A"]"#)
    };
    storage.set(&listed, soon()).await.expect("it is stored");
    let (value, left) = server
        .stored(&format!("p:sid:{}:s", key('a')))
        .expect("it is there");
    assert_eq!(left, 100);
    assert_eq!(value.trim_end_matches([' ', '\t']), r#"["A"]"#);
    let json: Vec<String> = serde_json::from_str(&value).expect("JSON readers skip blanks");
    assert_eq!(json, ["A"]);

    server.store(&format!("p:sid:{}:s", key('b')), r#"["B"]"#, 100);
    assert_eq!(get(&storage, &key('b')).await, Ok(Some(r#"["B"]"#.into())));
    let name = "p:sid:YXVk:YW5u:s";
    let (text, left) = server.stored(name).expect("it is there");
    assert_eq!((text.len(), left), (52, 100));
    server.store(name, &format!("{text}{}:_____wA;", key('b')), 100);
    assert_eq!(list(&storage, &ann).await, Ok(vec![key('a'), key('b')]));
}

#[tokio::test]
async fn a_record_of_the_reference_library_is_cut_as_well() {
    let server = StandIn::start().await;
    let storage = plain(server.port);
    let name = format!("sid:{}", key('o'));
    server.store(&name, "[]", 1000);
    let replacing = |new| RecordWrite {
        old_key: Some(key('o')),
        stale_ttl: 10,
        ..write(&key(new), "new")
    };
    storage
        .set(&replacing('a'), soon())
        .await
        .expect("it is stored");
    assert_eq!(server.stored(&name), Some(("[]".into(), 10)));
    server.clock.pass(6).await;
    storage
        .set(&replacing('b'), soon())
        .await
        .expect("it is stored");
    let left = server.stored(&name).map(|(_, left)| left);
    assert_eq!(
        left,
        Some(4),
        "a second replacement does not lengthen the life"
    );
}

#[tokio::test]
async fn a_stale_ttl_of_nothing_ends_the_old_record_at_once() {
    let server = StandIn::start().await;
    let storage = plain(server.port);
    set(&storage, &key('o'), "old").await.expect("it is stored");
    let replacing = RecordWrite {
        old_key: Some(key('o')),
        stale_ttl: 0,
        ..write(&key('a'), "new")
    };
    storage.set(&replacing, soon()).await.expect("it is stored");
    assert_eq!(get(&storage, &key('o')).await, Ok(None));
}

#[tokio::test]
async fn two_prefixes_on_one_server_are_two_storages() {
    let server = StandIn::start().await;
    let [one, two] = ["one", "two"].map(|prefix| {
        let prefix = Some(prefix.to_owned());
        storage_at(
            server.port,
            Common {
                prefix,
                ..Common::default()
            },
        )
    });
    set(&one, &key('a'), "one's").await.expect("it is stored");
    assert_eq!(get(&two, &key('a')).await, Ok(None));
}

#[tokio::test]
async fn a_list_that_one_worker_changes_often_loses_nobody() {
    let server = StandIn::start().await;
    let storage = Arc::new(plain(server.port));
    let ann = MetaEntry::new("aud", "ann", false);
    let keys: Vec<String> = ('a'..='p').map(key).collect();
    let mut tasks = JoinSet::new();
    for key in keys.clone() {
        let (storage, metadata) = (storage.clone(), vec![ann.clone()]);
        tasks.spawn(async move {
            let listed = RecordWrite {
                metadata,
                ..write(&key, "x")
            };
            storage.set(&listed, soon()).await
        });
    }
    assert!(
        tasks
            .join_all()
            .await
            .into_iter()
            .all(|result| result == Ok(()))
    );
    assert_eq!(list(&*storage, &ann).await, Ok(keys));
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_at_once_and_found_again() {
    let port = free_port();
    let storage = plain(port);
    let began = Instant::now();
    for _ in 0..100 {
        let result = get(&storage, &key('a')).await;
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    let _server = StandIn::start_on(port).await;
    assert!(recovers(&storage).await);
    assert_eq!(set(&storage, &key('a'), "x").await, Ok(()));
}

#[tokio::test]
async fn faults_of_the_network() {
    let server = StandIn::start().await;
    let mut proxy = Proxy::start(server.port).await;
    let storage = plain(proxy.port());
    assert_eq!(set(&storage, &key('a'), "value").await, Ok(()));

    for at in [1, 8, 20, 57] {
        proxy.set(Fault::Cut(at));
        let result = get(&storage, &key('a')).await;
        assert!(
            matches!(result, Err(Error::Unavailable(_))),
            "cut at {at}: {result:?}"
        );
        proxy.set(Fault::None);
        assert_eq!(get(&storage, &key('a')).await, Ok(Some("value".into())));
    }

    proxy.set(Fault::Hang);
    let began = Instant::now();
    assert_eq!(
        get_by(&storage, &key('a'), within(200)).await,
        Err(Error::Timeout)
    );
    proxy.set(Fault::Drip(1, Duration::from_millis(20)));
    assert_eq!(
        get_by(&storage, &key('a'), within(200)).await,
        Err(Error::Timeout)
    );
    assert!(began.elapsed() < Duration::from_millis(600));

    proxy.refuse().await;
    proxy.set(Fault::None);
    let result = get(&storage, &key('a')).await;
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    proxy.listen().await;
    assert!(recovers(&storage).await);
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("value".into())));
}

#[tokio::test]
async fn what_is_not_understood_is_no_absent_record() {
    for garbage in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "ERROR malformed_request\r\n",
        "LEN 5\r\nvalue\r\nLEN 5\r\n",
        "LEN 5\r\nvalues\r\nDONE\r\n",
        "LEN -1\r\n",
        "LEN 99999999999\r\n",
        "DONE\r\n",
    ] {
        let parrot = Parrot::saying(garbage).await;
        let result = get(&plain(parrot.port), &key('a')).await;
        assert!(
            matches!(result, Err(Error::BadReply(_))),
            "{garbage}: {result:?}"
        );
    }
}
