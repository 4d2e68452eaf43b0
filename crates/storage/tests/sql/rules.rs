//! What is read and written.

use std::time::Duration;

use storage::config::Secret;
use storage::{Error, MetaEntry, RecordWrite, Storage, conformance};

use super::server::{Database, Dialect};
use crate::clock::Made;
use crate::common::now;
use crate::records::{get, key, list, set, soon, within, write};

async fn conforms(storage: &dyn Storage) {
    conformance::run(storage, &Made::at(now()))
        .await
        .expect("the rules are kept");
}

pub async fn keeps_the_rules(dialect: Dialect) {
    let database = Database::start(dialect);
    conforms(&*database.storage()).await;
    database.sql("DELETE FROM sessions");
    over_a_unix_socket(&database).await;
    in_other_tables(&database).await;
    without_names_that_are_no_identifiers(&database);
}

async fn over_a_unix_socket(database: &Database) {
    let dialect = database.dialect;
    if dialect == Dialect::Mysql {
        database.sql(
            "CREATE USER nginx@localhost IDENTIFIED BY 'x'; GRANT ALL ON app.* TO nginx@localhost",
        );
    }
    let storage = database.storage_with(|settings| {
        settings.server = database.socket();
        settings.common.password = Some(Secret::new("x".into()));
    });
    conforms(&*storage).await;
}

async fn in_other_tables(database: &Database) {
    let schema = match database.dialect {
        Dialect::Postgres => "public",
        Dialect::Mysql => "app",
    };
    let table = format!("{schema}.Order");
    database.make_tables(&["--table", &table, "--table-meta", "lists"]);
    // What exists is left alone.
    database.make_tables(&["--table", &table, "--table-meta", "lists"]);
    database.sql("DROP TABLE sessions_meta; DROP TABLE sessions");
    let storage = database.storage_with(|settings| {
        settings.table = table;
        settings.table_meta = "lists".into();
    });
    conforms(&*storage).await;
}

fn without_names_that_are_no_identifiers(database: &Database) {
    for name in ["", "a b", "a\"b", "a`b", "a;b", "a.b.c", "9a"] {
        let storage = database.try_storage(|settings| settings.table = name.into());
        assert!(storage.is_err(), "{name}");
        let storage = database.try_storage(|settings| settings.table_meta = name.into());
        assert!(storage.is_err(), "{name}");
    }
}

pub async fn prefixes_keep_tenants_apart(dialect: Dialect) {
    let database = Database::start(dialect);
    let with_prefix = |prefix: &str| {
        let prefix = Some(prefix.to_owned());
        database.storage_with(|settings| settings.common.prefix = prefix)
    };
    let (one, other, none) = (with_prefix("t1"), with_prefix("T1"), database.storage());
    let entry = MetaEntry::new("app", "ann", false);
    let listed = RecordWrite {
        metadata: vec![entry.clone()],
        ..write(&key('a'), "one")
    };
    one.set(&listed, soon()).await.expect("it is written");
    assert_eq!(get(&*one, &key('a')).await, Ok(Some("one".into())));
    assert_eq!(list(&*one, &entry).await, Ok(vec![key('a')]));
    for stranger in [&other, &none] {
        assert_eq!(get(&**stranger, &key('a')).await, Ok(None));
        assert_eq!(list(&**stranger, &entry).await, Ok(vec![]));
        let replaced = RecordWrite {
            old_key: Some(key('a')),
            stale_ttl: 0,
            ..write(&key('b'), "x")
        };
        stranger
            .set(&replaced, soon())
            .await
            .expect("it is written");
        let record = storage::RecordId {
            cookie: "sid",
            key: &key('a'),
        };
        stranger
            .delete(record, &[], now(), soon())
            .await
            .expect("nothing is to be removed");
        assert_eq!(
            get(&*one, &key('a')).await,
            Ok(Some("one".into())),
            "it is still there"
        );
    }
}

/// The statements of lua-resty-session 4.1, which knows neither prefix nor suffix.
fn of_the_reference(dialect: Dialect, key: &str, expires: u64) -> [String; 3] {
    let clock = |time: u64| match dialect {
        Dialect::Postgres => format!("TO_TIMESTAMP({time}) AT TIME ZONE 'UTC'"),
        Dialect::Mysql => format!("FROM_UNIXTIME({time})"),
    };
    [
        format!(
            "INSERT INTO sessions (sid, name, data, exp) VALUES ('{key}', 'sid', 'theirs', {})",
            clock(expires)
        ),
        format!(
            "SELECT data FROM sessions WHERE sid = '{key}' AND exp >= {}",
            clock(now())
        ),
        format!(
            "SELECT COUNT(*) FROM sessions WHERE sid = '{key}' AND exp = {}",
            clock(expires)
        ),
    ]
}

pub async fn shares_its_tables_with_the_reference_library(dialect: Dialect) {
    let database = Database::start(dialect);
    // Far from the time zone of UTC.
    database.sql(match dialect {
        Dialect::Postgres => "ALTER DATABASE app SET timezone = 'Asia/Tokyo'",
        Dialect::Mysql => "SET GLOBAL time_zone = '+09:00'",
    });
    let storage = database.storage();
    let expires = now() + 100;

    let [insert, _, _] = of_the_reference(dialect, &key('a'), expires);
    database.sql(&insert);
    database.sql(&format!(
        "INSERT INTO sessions_meta (aud, sub, sid) VALUES ('YXBw', 'YW5u', '{}')",
        key('a')
    ));
    assert_eq!(get(&*storage, &key('a')).await, Ok(Some("theirs".into())));
    let entry = MetaEntry::new("app", "ann", false);
    let theirs = storage::ListId {
        cookie: "sid",
        entry: &entry,
    };
    let listed = storage
        .list(theirs, now(), soon())
        .await
        .expect("it is read");
    assert_eq!(
        listed.into_iter().collect::<Vec<_>>(),
        [(key('a'), expires)]
    );
    let [insert, _, _] = of_the_reference(dialect, &key('o'), now() - 1);
    database.sql(&insert);
    assert_eq!(
        get(&*storage, &key('o')).await,
        Ok(None),
        "what has expired there has expired here"
    );

    let write = RecordWrite {
        metadata: vec![entry],
        ttl: 100,
        now: expires - 100,
        ..write(&key('b'), "ours")
    };
    storage.set(&write, soon()).await.expect("it is written");
    let [_, select, same] = of_the_reference(dialect, &key('b'), expires);
    assert_eq!(database.sql(&select), "ours");
    assert_eq!(
        database.sql(&same),
        "1",
        "with the expiry it would have written"
    );
    let again = RecordWrite { ttl: 200, ..write };
    storage.set(&again, soon()).await.expect("it is written");
    assert_eq!(database.sql(&same), "0", "a write moves the expiry");
    let row = format!("SELECT name FROM sessions WHERE sid = '{}'", key('b'));
    assert_eq!(database.sql(&row), "sid");
    let row = format!(
        "SELECT COUNT(*) FROM sessions_meta WHERE aud = 'YXBw' AND sub = 'YW5u' AND sid = '{}'",
        key('b')
    );
    assert_eq!(database.sql(&row), "1");
}

pub async fn lists_that_cannot_be_kept_fail_nothing(dialect: Dialect) {
    let database = Database::start(dialect);
    database.sql("DROP TABLE sessions_meta");
    let storage = database.storage();
    let entry = MetaEntry::new("app", "ann", false);
    set(&*storage, &key('a'), "old")
        .await
        .expect("it is written");
    let write = RecordWrite {
        metadata: vec![entry.clone()],
        withdrawn: vec![MetaEntry::new("app", "bob", false)],
        old_key: Some(key('a')),
        ..write(&key('b'), "new")
    };
    storage
        .set(&write, soon())
        .await
        .expect("the session is safe");
    assert_eq!(get(&*storage, &key('b')).await, Ok(Some("new".into())));
    let listed = list(&*storage, &entry).await;
    assert!(
        matches!(&listed, Err(Error::Refused(text)) if text.contains("sessions_meta")),
        "{listed:?}"
    );
}

pub async fn nobody_waits_for_an_old_record_that_is_locked(dialect: Dialect) {
    let database = Database::start(dialect);
    let storage = database.storage();
    set(&*storage, &key('a'), "old")
        .await
        .expect("it is written");
    let locked = format!(
        "SELECT 1 FROM sessions WHERE sid = '{}' FOR UPDATE",
        key('a')
    );
    let mut holder = database.session(&match dialect {
        Dialect::Postgres => format!("BEGIN; {locked}; SELECT pg_sleep(30)"),
        Dialect::Mysql => format!("BEGIN; {locked}; SELECT SLEEP(30)"),
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let write = RecordWrite {
        old_key: Some(key('a')),
        ..write(&key('b'), "new")
    };
    let saved = storage.set(&write, within(700)).await;
    holder.kill().expect("it runs");
    holder.wait().expect("it ends");
    assert_eq!(saved, Ok(()), "the session is safe");
    assert_eq!(get(&*storage, &key('b')).await, Ok(Some("new".into())));
}

pub async fn what_has_expired_is_reclaimed(dialect: Dialect) {
    let database = Database::start(dialect);
    let rows = |expires: u64, prefix: &str| match dialect {
        Dialect::Postgres => format!(
            "INSERT INTO sessions SELECT '{prefix}' || n, 'sid', 'x', TO_TIMESTAMP({expires}) AT TIME ZONE 'UTC' \
             FROM generate_series(1, 450) AS n"
        ),
        Dialect::Mysql => format!(
            "INSERT INTO sessions SELECT CONCAT('{prefix}', seq), 'sid', 'x', FROM_UNIXTIME({expires}) FROM seq_1_to_450"
        ),
    };
    database.sql(&rows(now() - 1000, "old"));
    database.sql(&rows(now() + 1000, "new"));
    let storage = database.storage();
    set(&*storage, &key('a'), "x").await.expect("it is written");
    let mut left = String::new();
    for _ in 0..100 {
        left = database.sql("SELECT COUNT(*) FROM sessions");
        if left == "451" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left, "451", "what has not expired stays");
    nothing_is_searched_without_an_index(&database);
}

fn nothing_is_searched_without_an_index(database: &Database) {
    let dialect = database.dialect;
    let plans: Vec<String> = match dialect {
        Dialect::Postgres => ["sid = ANY (ARRAY(SELECT sid FROM sessions WHERE exp < now() ORDER BY exp LIMIT 100))", "sid = 'x'"]
            .iter()
            .map(|condition| format!("SET enable_seqscan = off; EXPLAIN DELETE FROM sessions WHERE {condition}"))
            .chain(["SET enable_seqscan = off; EXPLAIN DELETE FROM sessions_meta WHERE sid = 'x'".into()])
            .collect(),
        Dialect::Mysql => vec![
            "EXPLAIN DELETE FROM sessions WHERE exp < FROM_UNIXTIME(1) ORDER BY exp LIMIT 100".into(),
            "EXPLAIN UPDATE sessions SET exp = exp WHERE sid = _utf8mb4'x' AND CAST(name AS BINARY) = CAST('x' AS BINARY)".into(),
        ],
    };
    for statement in plans {
        let plan = database.sql(&statement);
        let by_index = match dialect {
            Dialect::Postgres => !plan.contains("Seq Scan"),
            Dialect::Mysql => {
                plan.contains("range") && (plan.contains("exp") || plan.contains("PRIMARY"))
            }
        };
        assert!(by_index, "{statement}: {plan}");
    }
}

pub async fn large_records_are_kept_or_refused(dialect: Dialect) {
    let database = Database::start(dialect);
    let storage = database.storage();
    let large = "x".repeat(3 << 20);
    set(&*storage, &key('a'), &large)
        .await
        .expect("3 MB are kept");
    assert_eq!(
        get(&*storage, &key('a'))
            .await
            .map(|value| value.map(|value| value.len())),
        Ok(Some(3 << 20))
    );
    if dialect == Dialect::Mysql {
        let refused = set(&*storage, &key('a'), &"x".repeat(17 << 20)).await;
        assert!(
            matches!(refused, Err(Error::TooLarge { .. })),
            "{refused:?}"
        );
    }
}
