//! The file storage on real folders.

#[path = "common/clock.rs"]
mod clock;
mod common;
#[path = "common/records.rs"]
mod records;

use std::fs::{self, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clock::Made;
use common::{Process, Scratch, now, wait_until};
use records::{get, get_by, key, list, set, soon, within, write};
use storage::file::{File, FileConfig, Swept};
use storage::{Error, ListId, MetaEntry, RecordId, RecordWrite, Storage, conformance};

fn at(path: &Path) -> FileConfig {
    FileConfig {
        path: path.into(),
        ..FileConfig::default()
    }
}

fn flat(path: &Path) -> File {
    File::new(at(path)).expect("the lines are right")
}

/// All files below a folder, in order.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Records and what is left of them; not the lock.
fn names(path: &Path) -> Vec<String> {
    let all = files(path).into_iter();
    let names = all.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    names.filter(|name| !name.ends_with(".lock")).collect()
}

fn set_expiry(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = fs::File::open(path).expect("it is there");
    let set = file.set_times(FileTimes::new().set_modified(time));
    set.expect("the time can be set");
}

#[tokio::test]
async fn it_keeps_the_rules() {
    for (levels, prefix, suffix) in [
        (vec![], None, None),
        (vec![1, 2], Some("p"), None),
        (vec![2, 2, 1], Some("p"), Some("s")),
    ] {
        let scratch = Scratch::new();
        let config = FileConfig {
            path: scratch.path().join("made/when/needed"),
            levels,
            prefix: prefix.map(str::to_owned),
            suffix: suffix.map(str::to_owned),
        };
        let storage = File::new(config.clone()).expect("the lines are right");
        let result = conformance::run(&storage, &Made::at(now())).await;
        assert_eq!(result, Ok(()), "{config:?}");
    }
}

#[tokio::test]
async fn files_are_as_the_reference_library_expects_them_but_private() {
    let scratch = Scratch::new();
    let path = scratch.path().join("sessions");
    let config = FileConfig {
        levels: vec![1, 2],
        prefix: Some("p".into()),
        suffix: Some("s".into()),
        ..at(&path)
    };
    let storage = File::new(config).expect("the lines are right");
    let listed = RecordWrite {
        metadata: vec![MetaEntry::new("aud", "../ann", false)],
        ..write(&key('a'), "value")
    };
    storage.set(&listed, soon()).await.expect("it is stored");

    let record = path.join(format!("A/aa/p_sid_{}.s", key('a')));
    assert_eq!(fs::read_to_string(&record).ok(), Some("value".into()));
    let metadata = fs::metadata(&record).expect("it is there");
    assert_eq!(metadata.mtime(), (listed.now + 100).cast_signed());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    let list = path.join("u/W5/p_sid_YXVk:Li4vYW5u.s");
    let metadata = fs::metadata(&list).expect("it is there");
    assert_eq!(metadata.mtime(), (listed.now + 100).cast_signed());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    for folder in ["", "A", "A/aa", "u/W5"] {
        let mode = fs::metadata(path.join(folder))
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o700, "{folder}");
    }
    assert_eq!(names(&path).len(), 2, "{:?}", names(&path));
}

#[tokio::test]
async fn files_of_the_reference_library_are_read() {
    let scratch = Scratch::new();
    let storage = flat(scratch.path());
    let record = scratch.write(&format!("sid_{}", key('a')), "value");
    set_expiry(&record, now() + 100);
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("value".into())));
    set_expiry(&record, now());
    assert_eq!(get(&storage, &key('a')).await, Ok(None));

    let text = format!("{a}:_____wA;{b}:_____wA;{a};", a = key('a'), b = key('b'));
    let list_file = scratch.write("sid_YXVk:YW5u", &text);
    set_expiry(&list_file, now() + 100);
    let ann = MetaEntry::new("aud", "ann", false);
    assert_eq!(list(&storage, &ann).await, Ok(vec![key('b')]));
    fs::write(&list_file, "broken").expect("it can be written");
    set_expiry(&list_file, now() + 100);
    assert!(matches!(
        list(&storage, &ann).await,
        Err(Error::BadReply(_))
    ));
}

#[tokio::test]
async fn nothing_on_the_disk_is_touched_for_a_name_that_is_none() {
    let scratch = Scratch::new();
    let path = scratch.path().join("sessions");
    let storage = flat(&path);
    for (cookie, key) in [
        ("sid", "../../../../../../../../../../../etc/passwd"),
        ("sid", "short"),
        ("../sid", &key('a')),
    ] {
        let record = RecordId { cookie, key };
        let write = RecordWrite {
            name_cookie: cookie.into(),
            ..write(key, "x")
        };
        let refused = [
            storage.get(record, now(), soon()).await.map(drop),
            storage.set(&write, soon()).await,
            storage.delete(record, &[], now(), soon()).await,
        ];
        for result in refused {
            assert!(
                matches!(result, Err(Error::Refused(_))),
                "{cookie} {key}: {result:?}"
            );
        }
    }
    let entry = MetaEntry {
        audience: "..".into(),
        subject: "/etc/passwd".into(),
    };
    let list = ListId {
        cookie: "sid",
        entry: &entry,
    };
    let result = storage.list(list, now(), soon()).await;
    assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_not_a_file_is_not_read() {
    let scratch = Scratch::new();
    let storage = flat(scratch.path());
    let name = |letter| scratch.path().join(format!("sid_{}", key(letter)));
    let made = Command::new("mkfifo").arg(name('a')).status();
    assert!(made.is_ok_and(|status| status.success()));
    symlink("/etc/passwd", name('b')).expect("a link can be made");
    for letter in ['a', 'b'] {
        let result = get(&storage, &key(letter)).await;
        assert!(
            matches!(result, Err(Error::BadReply(_))),
            "{letter}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_no_absent_record() {
    let scratch = Scratch::new();
    let file = scratch.write("file", "");
    let storage = flat(&file.join("sessions"));
    assert!(get(&storage, &key('a')).await.is_err());
    assert!(set(&storage, &key('a'), "x").await.is_err());
    let record = RecordId {
        cookie: "sid",
        key: &key('a'),
    };
    assert!(storage.delete(record, &[], now(), soon()).await.is_err());
}

#[tokio::test]
async fn a_reader_never_sees_half_a_record() {
    let scratch = Scratch::new();
    let storage = Arc::new(flat(scratch.path()));
    let value = |letter: char| letter.to_string().repeat(200_000);
    set(&*storage, &key('k'), &value('a'))
        .await
        .expect("it is stored");
    let writer = {
        let storage = storage.clone();
        tokio::spawn(async move {
            for round in 0..100 {
                let letter = if round % 2 == 0 { 'b' } else { 'a' };
                set(&*storage, &key('k'), &value(letter)).await?;
            }
            Ok::<_, Error>(())
        })
    };
    let mut seen = [0, 0];
    while !writer.is_finished() {
        let read = get(&*storage, &key('k')).await.expect("it is read");
        let read = read.expect("it is always there");
        match read {
            _ if read == value('a') => seen[0] += 1,
            _ if read == value('b') => seen[1] += 1,
            _ => panic!("{} characters from {:?}", read.len(), read.chars().next()),
        }
    }
    assert_eq!(writer.await.expect("it ends"), Ok(()));
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    assert_eq!(names(scratch.path()).len(), 1);
}

#[tokio::test]
async fn lists_that_several_processes_change_lose_nobody() {
    let scratch = Scratch::new();
    let ann = MetaEntry::new("aud", "ann", false);
    let keys: Vec<String> = ('a'..='p').map(key).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for key in keys.clone() {
        let (storage, metadata) = (flat(scratch.path()), vec![ann.clone()]);
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
    assert_eq!(list(&flat(scratch.path()), &ann).await, Ok(keys));
}

#[tokio::test]
async fn a_process_that_sits_on_the_lists_stops_no_save() {
    let scratch = Scratch::new();
    let lock = scratch.write(".session-lists.lock", "");
    let sitting = scratch.path().join("sitting");
    let mut command = Command::new("flock");
    command
        .arg(&lock)
        .args(["sh", "-c", "touch \"$0\"; exec sleep 60"])
        .arg(&sitting);
    let _process = Process::start(&mut command, "util-linux");
    wait_until("the lock is taken", || sitting.exists());
    let storage = flat(scratch.path());
    let listed = RecordWrite {
        metadata: vec![MetaEntry::new("aud", "ann", false)],
        ..write(&key('a'), "x")
    };
    let began = Instant::now();
    assert_eq!(storage.set(&listed, within(400)).await, Ok(()));
    assert!(began.elapsed() < Duration::from_millis(400));
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("x".into())));
}

#[tokio::test]
async fn a_deadline_that_passes_while_others_work_is_a_timeout() {
    let scratch = Scratch::new();
    let storage = flat(scratch.path());
    assert_eq!(
        get_by(&storage, &key('a'), within(0)).await,
        Err(Error::Timeout)
    );
}

async fn sweep(storage: &File, now: u64, budget: usize) -> Swept {
    let swept = storage.sweep(now, budget, soon()).await;
    swept.expect("the folder can be read")
}

#[tokio::test]
async fn the_sweeper_removes_what_has_expired_and_is_ours() {
    let scratch = Scratch::new();
    let storage = |prefix: &str| {
        let config = FileConfig {
            prefix: Some(prefix.into()),
            levels: vec![1],
            ..at(scratch.path())
        };
        File::new(config).expect("the lines are right")
    };
    let (ours, theirs) = (storage("ours"), storage("theirs"));
    let ann = MetaEntry::new("aud", "ann", false);
    let brief = |letter| RecordWrite {
        ttl: 1,
        metadata: vec![ann.clone()],
        ..write(&key(letter), "x")
    };
    ours.set(&brief('a'), soon()).await.expect("it is stored");
    theirs.set(&brief('b'), soon()).await.expect("it is stored");
    set(&ours, &key('c'), "lives").await.expect("it is stored");
    let foreign = [
        "A/notes.txt",
        "A/ours_sid_short",
        "ours_sid",
        "A/.session-x.tmp",
    ];
    for name in foreign {
        set_expiry(&scratch.write(name, ""), 1);
    }
    set_expiry(
        &scratch.write("A/.session-1-2.tmp", "half a reco"),
        now() - 61,
    );
    scratch.write("A/.session-1-3.tmp", "just begun");
    fs::create_dir(scratch.path().join(format!("A/ours_sid_{}", key('d')))).expect("it is made");
    let elsewhere = scratch.write("elsewhere", "");
    set_expiry(&elsewhere, 1);
    let link = scratch.path().join(format!("A/ours_sid_{}", key('e')));
    symlink(&elsewhere, &link).expect("a link can be made");

    // Not before the minute that clocks may differ, or a save take, has passed.
    assert_eq!(
        sweep(&ours, now() + 30, 1000).await.removed,
        1,
        "{:?}",
        names(scratch.path())
    );
    let swept = sweep(&ours, now() + 70, 1000).await;
    assert_eq!(
        (swept.removed, swept.finished),
        (3, true),
        "{:?}",
        names(scratch.path())
    );

    let mut left = names(scratch.path());
    left.sort();
    let mut expected: Vec<String> = foreign.iter().map(|name| name.replace("A/", "")).collect();
    expected.extend([
        "elsewhere".into(),
        format!("ours_sid_{}", key('c')),
        format!("ours_sid_{}", key('e')),
        format!("theirs_sid_{}", key('b')),
        "theirs_sid_YXVk:YW5u".into(),
    ]);
    expected.sort();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn the_sweeper_goes_in_steps() {
    let scratch = Scratch::new();
    let storage = flat(scratch.path());
    for number in 0..25 {
        let brief = RecordWrite {
            ttl: 1,
            ..write(&format!("{number:0>42}A"), "x")
        };
        storage.set(&brief, soon()).await.expect("it is stored");
    }
    let later = now() + 100;
    let mut steps = Vec::new();
    loop {
        let swept = sweep(&storage, later, 10).await;
        steps.push((swept.seen, swept.removed));
        if swept.finished {
            break;
        }
    }
    assert_eq!(steps, [(10, 10), (10, 10), (5, 5)]);
    let again = sweep(&storage, later, 10).await;
    assert_eq!(
        again,
        Swept {
            finished: true,
            ..Swept::default()
        }
    );
}

/// What the two tests below run in a place where there is no room.
#[tokio::test]
#[ignore = "needs a place without room; the tests of a full disk run it there"]
async fn in_a_place_without_room() {
    let path = PathBuf::from(std::env::var_os(PLACE).expect("it is run by another test"));
    let storage = flat(&path);
    set(&storage, &key('a'), "old")
        .await
        .expect("there is room for this");
    let large = "x".repeat(1 << 20);
    assert_eq!(set(&storage, &key('a'), &large).await, Err(Error::Full));
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("old".into())));
    assert_eq!(set(&storage, &key('b'), &large).await, Err(Error::Full));
    assert_eq!(get(&storage, &key('b')).await, Ok(None));
    assert_eq!(names(&path).len(), 1, "{:?}", names(&path));
    assert_eq!(set(&storage, &key('a'), "new").await, Ok(()));
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("new".into())));
}

const PLACE: &str = "STORAGE_TEST_PLACE";

/// Runs the test above after some lines of shell; whether it succeeded, and what was said.
fn run_without_room(shell: &mut Command, lines: &str, place: &Path) -> (bool, String) {
    let run = format!("{lines} && exec \"$0\" --ignored --exact in_a_place_without_room");
    let this = std::env::current_exe().expect("it has a name");
    let output = shell
        .arg("-c")
        .arg(run)
        .arg(this)
        .env(PLACE, place)
        .output();
    let output = output.expect("there is a shell");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn a_file_that_may_not_grow_keeps_the_old_record() {
    let scratch = Scratch::new();
    let lines = "trap '' XFSZ && ulimit -f 64";
    let (is_ok, text) = run_without_room(&mut Command::new("sh"), lines, scratch.path());
    assert!(is_ok && text.contains("1 passed"), "{text}");
}

#[test]
fn a_full_disk_keeps_the_old_record() {
    let scratch = Scratch::new();
    let lines = format!("mount -t tmpfs -o size=64k none \"${PLACE}\"");
    let namespace: &[&[&str]] = &[&["--mount"], &["--mount", "--user", "--map-root-user"]];
    let mut said = String::new();
    for options in namespace {
        let mut shell = Command::new("unshare");
        let (is_ok, text) =
            run_without_room(shell.args(*options).arg("sh"), &lines, scratch.path());
        if text.contains("running 1 test") {
            assert!(is_ok && text.contains("1 passed"), "{text}");
            return;
        }
        said += &text;
    }
    // A container may forbid mounts; the test of the limited file size is what remains there.
    eprintln!("no small disk can be mounted here: {said}");
}
