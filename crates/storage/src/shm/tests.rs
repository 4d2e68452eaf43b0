#![allow(clippy::unwrap_used)]

use std::cell::{Cell as Mutable, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::{Future, ready};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use super::cell::{Cell, Kind, NONE, member, named, record};
use super::*;
use crate::conformance::{self, Time};
use crate::{Answer, Deadline, ListId, Storage};

const NOW: u32 = 1_700_000_000;
const LRU: Limits = Limits {
    max_sessions: None,
    evict: true,
};
const OFF: Limits = Limits {
    max_sessions: None,
    evict: false,
};

/// Memory as a zone would give it.
struct Memory {
    header: Header,
    cells: Vec<Cell>,
    slots: Vec<u64>,
    buckets: Vec<u32>,
}

impl Memory {
    fn new(bytes: usize) -> Self {
        let geometry = Geometry::of(bytes).unwrap();
        assert!(geometry.bytes() <= bytes && geometry.bytes() + 128 > bytes);
        let mut memory = Self {
            header: Header::default(),
            cells: vec![Cell::default(); geometry.cells],
            slots: vec![0; geometry.slots],
            buckets: vec![0; geometry.buckets],
        };
        memory.store(LRU).region.format();
        memory
    }

    fn store(&mut self, limits: Limits) -> Store<'_> {
        let region = Region {
            header: &mut self.header,
            cells: &mut self.cells,
            slots: &mut self.slots,
            buckets: &mut self.buckets,
        };
        Store::new(region, limits)
    }
}

impl Store<'_> {
    /// All that must hold between two operations.
    fn check(&self) {
        let header = &*self.region.header;
        let mut seen = HashMap::new();
        for index in 0..header.fresh {
            for kind in [Kind::Value, Kind::Record, Kind::List, Kind::Member] {
                if self.cell(index).is(kind) {
                    *seen.entry(kind as u32).or_insert(0u32) += 1;
                }
            }
        }
        let count = |kind: Kind| seen.get(&(kind as u32)).copied().unwrap_or(0);
        assert_eq!(count(Kind::Record), header.records);
        assert_eq!(count(Kind::List), header.lists);
        assert_eq!(self.cells() - seen.values().sum::<u32>(), header.free);
        self.check_order_of_use();
        self.check_buckets();
        let (mut stale, mut cells, mut members) = (0, 0, 0);
        for at in 0..header.records as usize {
            let slot = self.region.slots[at];
            let index = slot as u32;
            let cell = self.cell(index);
            assert!(cell.is(Kind::Record));
            assert!(at == 0 || self.region.slots[(at - 1) / 2] <= slot);
            assert_eq!(cell.word(record::SLOT) as usize, at);
            assert_eq!(u64::from(cell.word(record::EXPIRES)), slot >> 32);
            assert!(self.entry(index, 0).is_some(), "a record is not whole");
            stale += cell.word(record::STALE);
            cells += self.value_cells(index);
            let lists = self
                .lists_of_record(index)
                .map_or(0, |(_, lists)| lists.len());
            members += lists;
        }
        assert_eq!(stale, header.stale);
        assert_eq!(cells as u32, count(Kind::Value));
        assert_eq!(members as u32, count(Kind::Member));
    }

    fn check_order_of_use(&self) {
        let (mut at, mut newer, mut found) = (self.region.header.newest, NONE, 0);
        while at != NONE {
            assert_eq!(self.cell(at).word(record::NEWER), newer);
            (newer, at, found) = (at, self.cell(at).word(record::OLDER), found + 1);
        }
        assert_eq!(
            (newer, found),
            (self.region.header.oldest, self.region.header.records)
        );
    }

    fn check_buckets(&self) {
        let mut members = 0;
        for index in 0..self.region.header.fresh {
            let cell = self.cell(index);
            for kind in [Kind::Record, Kind::List] {
                if cell.is(kind) {
                    assert_eq!(self.find(kind, &self.name(index)), Some(index));
                }
            }
            if cell.is(Kind::List) {
                let (mut at, mut before) = (cell.word(named::MEMBERS), NONE);
                assert_ne!(at, NONE, "an empty list stays");
                while at != NONE {
                    let place = self.cell(at);
                    assert!(place.is(Kind::Member));
                    assert_eq!(place.word(member::LIST), index);
                    assert_eq!(place.word(member::BEFORE), before);
                    (before, at, members) = (at, place.word(member::BEHIND), members + 1);
                }
            }
        }
        let places = (0..self.region.header.fresh).filter(|at| self.cell(*at).is(Kind::Member));
        assert_eq!(places.count(), members);
    }
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

fn key_text(number: u64) -> String {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    base64url::encode(key)
}

fn write(number: u64, value: &str) -> RecordWrite {
    RecordWrite {
        name_cookie: "sid".into(),
        key: key_text(number),
        value: value.into(),
        ttl: 100,
        old_key: None,
        stale_ttl: 10,
        metadata: Vec::new(),
        withdrawn: Vec::new(),
        now: NOW.into(),
    }
}

fn name(number: u64) -> Name {
    let key = key_text(number);
    let id = RecordId {
        cookie: "sid",
        key: &key,
    };
    Names::default().record(id)
}

fn put(store: &mut Store<'_>, write: &RecordWrite) -> Result<(), Error> {
    let done = store.set(&Names::default().write(write));
    store.check();
    done
}

fn has(store: &mut Store<'_>, number: u64) -> bool {
    store.get(&name(number), NOW).is_some()
}

/// The storage as the conformance suite wants it.
struct Zone(Mutex<Memory>);

impl Zone {
    fn with<'a, T: Send + 'a>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(&mut Store<'_>) -> Result<T, Error>,
    ) -> Answer<'a, T> {
        if deadline.is_over() {
            return Box::pin(ready(Err(Error::Timeout)));
        }
        let mut memory = self.0.lock().unwrap();
        let mut store = memory.store(LRU);
        let result = work(&mut store);
        store.check();
        Box::pin(ready(result))
    }
}

impl Storage for Zone {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        let name = Names::default().record(record);
        self.with(deadline, |store| Ok(store.get(&name, seconds(now))))
    }

    fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()> {
        self.with(deadline, |store| store.set(&Names::default().write(write)))
    }

    fn delete<'a>(
        &'a self,
        record: RecordId<'a>,
        _metadata: &'a [MetaEntry],
        _now: u64,
        deadline: Deadline,
    ) -> Answer<'a, ()> {
        let name = Names::default().record(record);
        self.with(deadline, |store| {
            store.delete(&name);
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        list: ListId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, BTreeMap<String, u64>> {
        let name = Names::default().list(list.cookie, list.entry);
        self.with(deadline, |store| Ok(store.list(&name, seconds(now))))
    }
}

struct Made(Mutable<u64>);

impl Time for Made {
    fn now(&self) -> u64 {
        self.0.get()
    }

    fn pass(&self, seconds: u64) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        self.0.set(self.0.get() + seconds);
        Box::pin(ready(()))
    }
}

#[test]
fn shared_memory_keeps_the_rules() {
    let (zone, time) = (
        Zone(Mutex::new(Memory::new(1 << 20))),
        Made(Mutable::new(NOW.into())),
    );
    let run = pin!(conformance::run(&zone, &time));
    let result = run.poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(result, Poll::Ready(Ok(())));
}

#[test]
fn the_parts_fit_into_any_size() {
    assert_eq!(Geometry::of(1000), None);
    for bytes in [6_000, 28_672, 60_001, 1 << 20, 32 << 20] {
        let geometry = Geometry::of(bytes).unwrap();
        assert!(geometry.bytes() <= bytes, "{geometry:?}");
        assert!(geometry.cells * 64 > bytes * 7 / 8, "{geometry:?}");
    }
}

#[test]
fn a_small_session_takes_at_most_400_bytes() {
    let bytes = 32 << 20;
    let mut memory = Memory::new(bytes);
    let mut store = memory.store(OFF);
    let entry = MetaEntry::new("default", "ann", true);
    let value = format!("[\"{}\"]", "x".repeat(110));
    let mut sessions = 0u64;
    let listed = |number| RecordWrite {
        metadata: vec![entry.clone()],
        ..write(number, &value)
    };
    while store
        .set(&Names::default().write(&listed(sessions)))
        .is_ok()
    {
        sessions += 1;
    }
    let each = bytes as u64 / sessions;
    assert!(each <= 290, "{each} bytes a session");
}

#[test]
fn a_full_memory_drops_what_was_not_used_for_the_longest_time() {
    let mut memory = Memory::new(60_000);
    let mut store = memory.store(LRU);
    let mut number = 0;
    while store.usage().evicted == 0 {
        store
            .set(&Names::default().write(&write(number, "value")))
            .unwrap();
        assert!(has(&mut store, 1) || number == 0, "the one in use stays");
        number += 1;
    }
    assert!(number > 300, "only {number} sessions fit");
    assert!(!has(&mut store, 0) && has(&mut store, 1) && has(&mut store, 2));
    for number in number..10_000 {
        let value = "x".repeat(number as usize % 700);
        store
            .set(&Names::default().write(&write(number, &value)))
            .unwrap();
        assert!(has(&mut store, number));
    }
    store.check();
    assert!(!has(&mut store, 1));
}

#[test]
fn what_has_expired_goes_before_what_lives() {
    let mut memory = Memory::new(60_000);
    let mut store = memory.store(LRU);
    let mut number = 0;
    while store.usage().bytes_free > 128 {
        let ttl = if number % 2 == 0 { 100 } else { 10 };
        put(
            &mut store,
            &RecordWrite {
                ttl,
                ..write(number, "x")
            },
        )
        .unwrap();
        number += 1;
    }
    for number in 1000..1000 + number / 2 {
        let later = RecordWrite {
            now: u64::from(NOW) + 50,
            ..write(number, "x")
        };
        put(&mut store, &later).unwrap();
    }
    assert_eq!(
        (store.usage().evicted, store.usage().expired),
        (0, number / 2)
    );
}

#[test]
fn a_full_memory_may_refuse() {
    let mut memory = Memory::new(60_000);
    let mut store = memory.store(OFF);
    let mut number = 0;
    while store
        .set(&Names::default().write(&write(number, &"x".repeat(100))))
        .is_ok()
    {
        number += 1;
    }
    let before = store.usage();
    assert_eq!(
        put(&mut store, &write(number, &"x".repeat(100))),
        Err(Error::Full)
    );
    let replacing = RecordWrite {
        old_key: Some(key_text(5)),
        stale_ttl: 1,
        ..write(number, &"x".repeat(100))
    };
    assert_eq!(put(&mut store, &replacing), Err(Error::Full));
    assert_eq!(store.usage(), before, "what fails changes nothing");
    put(&mut store, &write(5, &"y".repeat(120))).unwrap();
    assert!((0..number).all(|number| has(&mut store, number)));
    let later = RecordWrite {
        now: u64::from(NOW) + 101,
        ..write(number, "x")
    };
    put(&mut store, &later).unwrap();
}

#[test]
fn a_record_takes_half_the_memory_at_most() {
    let mut memory = Memory::new(60_000);
    let mut store = memory.store(LRU);
    let limit = store.region.cells.len() / 2 * 60;
    put(&mut store, &write(1, &"x".repeat(limit))).unwrap();
    put(&mut store, &write(1, &"y".repeat(limit))).unwrap();
    put(&mut store, &write(2, &"x".repeat(limit - 200))).unwrap();
    let size = limit + 1;
    let refused = put(&mut store, &write(3, &"x".repeat(size)));
    assert_eq!(refused, Err(Error::TooLarge { size, limit }));
    assert!(has(&mut store, 2));
}

#[test]
fn no_more_sessions_than_allowed() {
    for evict in [true, false] {
        let mut memory = Memory::new(60_000);
        let limits = Limits {
            max_sessions: Some(2),
            evict,
        };
        let mut store = memory.store(limits);
        put(&mut store, &write(1, "x")).unwrap();
        put(&mut store, &write(2, "x")).unwrap();
        // A replaced record does not count, and neither does writing a session again.
        let renewed = RecordWrite {
            old_key: Some(key_text(1)),
            ..write(11, "x")
        };
        put(&mut store, &renewed).unwrap();
        put(&mut store, &write(2, "y")).unwrap();
        assert!([1, 2, 11].into_iter().all(|number| has(&mut store, number)));
        assert!(has(&mut store, 11));
        let third = put(&mut store, &write(3, "x"));
        assert_eq!(third.is_ok(), evict);
        assert_eq!(has(&mut store, 2), !evict, "2 was used before 11");
        assert!(has(&mut store, 11));
        assert_eq!(store.usage().sessions, 2);
    }
}

#[test]
fn a_lower_limit_is_reached_step_by_step() {
    let mut memory = Memory::new(60_000);
    for number in 0..100 {
        put(&mut memory.store(LRU), &write(number, "x")).unwrap();
    }
    let mut store = memory.store(Limits {
        max_sessions: Some(10),
        evict: true,
    });
    put(&mut store, &write(100, "x")).unwrap();
    assert_eq!(store.usage().sessions, 85);
    (101..120).for_each(|number| put(&mut store, &write(number, "x")).unwrap());
    assert_eq!(store.usage().sessions, 10);
}

#[test]
fn expired_records_are_swept_in_small_portions() {
    let mut memory = Memory::new(60_000);
    let mut store = memory.store(LRU);
    for number in 0..50 {
        let ttl = 10 + number as u32;
        put(
            &mut store,
            &RecordWrite {
                ttl,
                ..write(number, "x")
            },
        )
        .unwrap();
    }
    assert_eq!(store.sweep(NOW + 9, 100), 0);
    assert_eq!(store.sweep(NOW + 29, 15), 15);
    assert_eq!(store.sweep(NOW + 29, 15), 5);
    store.check();
    assert_eq!((store.usage().records, store.usage().expired), (30, 20));
    let bytes_free = store.usage().bytes_free;
    store.sweep(NOW + 1000, 1000);
    assert!(store.usage().bytes_free > bytes_free);
    assert_eq!(store.usage().bytes_free, store.usage().bytes);
}

/// Any order of operations, beside plain maps that know the rules.
#[test]
fn any_order_of_operations_is_right() {
    for seed in 1..7 {
        let mut memory = Memory::new(1 << 20);
        let mut store = memory.store(LRU);
        let mut random = Random(seed * 0x9e37_79b9);
        let mut model: BTreeMap<u64, Expected> = BTreeMap::new();
        let mut now = NOW;
        for _ in 0..400 {
            let (number, old) = (random.below(40), random.below(40));
            match random.below(8) {
                0 => {
                    store.delete(&name(number));
                    model.remove(&number);
                }
                1 => now += random.below(10) as u32,
                2 => {
                    store.sweep(now, random.below(5) as usize);
                }
                _ => {
                    let made = RecordWrite {
                        ttl: random.below(60) as u32 + 1,
                        old_key: (old < 30 && old != number).then(|| key_text(old)),
                        stale_ttl: random.below(10) as u32,
                        metadata: some_lists(&mut random),
                        withdrawn: some_lists(&mut random),
                        now: now.into(),
                        ..write(number, &"v".repeat(random.below(500) as usize))
                    };
                    store.set(&Names::default().write(&made)).unwrap();
                    model.retain(|_, entry| entry.expires > now);
                    let entry = model.entry(number).or_default();
                    entry.value.clone_from(&made.value);
                    entry.expires = now + made.ttl;
                    entry.lists.extend(made.metadata.clone());
                    if let (Some(_), Some(entry)) = (&made.old_key, model.get_mut(&old)) {
                        entry.expires = entry.expires.min(now + made.stale_ttl);
                        let gone = made.metadata.iter().chain(&made.withdrawn);
                        for list in gone {
                            entry.lists.remove(list);
                        }
                    }
                }
            }
            store.check();
            for number in 0..40 {
                let live = model.get(&number).filter(|entry| entry.expires > now);
                let expected = live.map(|entry| entry.value.as_bytes().to_vec());
                assert_eq!(store.get(&name(number), now), expected);
            }
            for list in (0..5).map(list_of) {
                let on = model
                    .iter()
                    .filter(|(_, entry)| entry.lists.contains(&list));
                let live = on.filter(|(_, entry)| entry.expires > now);
                let expected = live.map(|(key, entry)| (key_text(*key), entry.expires.into()));
                let listed = store.list(&Names::default().list("sid", &list), now);
                assert_eq!(listed, expected.collect());
            }
        }
    }
}

#[derive(Default)]
struct Expected {
    value: String,
    expires: u32,
    lists: BTreeSet<MetaEntry>,
}

fn list_of(number: u64) -> MetaEntry {
    MetaEntry::new("default", &format!("subject {number}"), true)
}

fn some_lists(random: &mut Random) -> Vec<MetaEntry> {
    let lists = 0..random.below(4);
    lists.map(|_| list_of(random.below(5))).collect()
}

/// A memory with sessions of all kinds.
fn filled() -> Memory {
    let mut memory = Memory::new(200_000);
    let mut store = memory.store(LRU);
    let mut random = Random(77);
    for number in 0..200 {
        let made = RecordWrite {
            ttl: 50 + number as u32,
            old_key: (number % 3 == 0 && number > 0).then(|| key_text(number - 1)),
            stale_ttl: 30,
            metadata: some_lists(&mut random),
            ..write(number, &"v".repeat(random.below(400) as usize))
        };
        store.set(&Names::default().write(&made)).unwrap();
    }
    memory
}

fn encode(entries: &[Entry], made: u64) -> Vec<u8> {
    let mut writer = state_file::Writer::new(made);
    entries.iter().for_each(|entry| writer.add(entry));
    assert_eq!(writer.records() as usize, entries.len());
    writer.finish()
}

fn everything(store: &Store<'_>, now: u32) -> Vec<Entry> {
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let (entries, next) = store.export(at, 50, now);
        all.extend(entries);
        from = next;
    }
    for entry in &mut all {
        if let Some((_, lists)) = &mut entry.listed {
            lists.sort();
        }
    }
    all.sort_by_key(|entry| entry.name);
    all
}

#[test]
fn what_is_exported_can_be_imported() {
    let mut from = filled();
    let entries = everything(&from.store(LRU), NOW + 60);
    assert!((100..200).contains(&entries.len()), "{}", entries.len());
    let file = encode(&entries, 1);
    let mut to = Memory::new(300_000);
    let mut store = to.store(LRU);
    let read = state_file::decode(&file).unwrap();
    assert_eq!(read.made, 1);
    let read = read.entries;
    assert_eq!(store.import(read.clone(), NOW + 60), entries.len());
    store.check();
    assert_eq!(everything(&store, NOW + 60), entries);
    assert_eq!(
        store.import(read, NOW + 60),
        0,
        "what is there stays as it is"
    );
}

#[test]
fn a_smaller_memory_takes_in_what_was_used_last() {
    let mut store_of = Memory::new(200_000);
    let mut store = store_of.store(LRU);
    for number in 0..500 {
        let now = u64::from(NOW) + number % 50;
        put(
            &mut store,
            &RecordWrite {
                now,
                ..write(number, "x")
            },
        )
        .unwrap();
    }
    let mut smaller = Memory::new(20_000);
    let mut smaller = smaller.store(LRU);
    smaller.import(everything(&store, NOW), NOW);
    smaller.check();
    let kept: Vec<_> = everything(&smaller, NOW)
        .iter()
        .map(|entry| entry.used)
        .collect();
    assert!(kept.len() > 100);
    assert!(kept.iter().all(|used| *used > NOW + 30), "{kept:?}");
}

/// Writes at random places, as a process does that dies: whatever is there, repairing ends, and leaves order.
#[test]
fn torn_memory_is_repaired() {
    let whole = everything(&filled().store(LRU), NOW);
    for seed in 1..20 {
        let mut memory = filled();
        memory.store(LRU).region.begin();
        let mut random = Random(seed * 7919);
        for _ in 0..random.below(20) {
            let (at, word) = (random.below(memory.cells.len() as u64), random.below(16));
            let with = [0, NONE, u32::MAX, random.below(5000) as u32][random.below(4) as usize];
            memory.cells[at as usize].set_word(word as usize, with);
        }
        let mut store = memory.store(LRU);
        assert!(store.region.is_torn());
        let kept = store.repair(NOW);
        assert!(!store.region.is_torn());
        store.check();
        assert!(kept + 45 > whole.len(), "{kept} of {} kept", whole.len());
        for entry in everything(&store, NOW) {
            let before = whole.iter().find(|other| other.name == entry.name).unwrap();
            assert_eq!(before.value, entry.value);
        }
        assert_eq!(store.usage().repaired, 1);
        put(&mut store, &write(5000, "x")).unwrap();
    }
}

#[test]
fn a_change_that_panics_leaves_the_mark() {
    let mut memory = filled();
    let torn = RefCell::new(memory.store(LRU));
    let work =
        std::panic::AssertUnwindSafe(|| torn.borrow_mut().change(|_| panic!("in the middle")));
    assert!(std::panic::catch_unwind(work).is_err());
    assert!(torn.into_inner().region.is_torn());
    assert_eq!(
        memory.store(LRU).repair(NOW),
        everything(&filled().store(LRU), NOW).len()
    );
}

#[test]
fn a_changed_state_file_is_refused() {
    let file = encode(&everything(&filled().store(LRU), NOW), 1);
    assert!(state_file::decode(&file).is_ok());
    let mut random = Random(3);
    for _ in 0..300 {
        let mut changed = file.clone();
        let at = random.below(file.len() as u64) as usize;
        changed[at] ^= 1 << random.below(8);
        assert!(
            state_file::decode(&changed).is_err_and(|error| error.is_damage()),
            "byte {at}"
        );
        assert!(state_file::decode(&file[..at]).is_err());
    }
    let mut longer = file.clone();
    longer.push(0);
    assert!(state_file::decode(&longer).is_err());
    assert!(state_file::decode(b"").is_err());
    assert!(state_file::decode(b"NGXSESS\x01").is_err());
    let mut newer = file;
    newer[7] = 2;
    assert!(matches!(
        state_file::decode(&newer),
        Err(state_file::StateError::Version(2))
    ));
}

#[test]
fn broken_records_with_a_right_checksum_are_refused() {
    let entries = everything(&filled().store(LRU), NOW);
    let file = encode(&entries, 1);
    for at in [24, 28 + 26, 28 + 27, 28 + 25] {
        let mut content = file[..file.len() - 32].to_vec();
        content[at] ^= 0x7f;
        content.extend_from_slice(&Sha256::digest(content.clone()));
        assert!(state_file::decode(&content).is_err(), "byte {at}");
    }
}

#[test]
fn the_state_file_is_replaced_at_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::env::temp_dir().join(format!("shm-state-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("sessions");
    assert!(state_file::load(&path).unwrap().is_none());
    let entries = everything(&filled().store(LRU), NOW);
    for _ in 0..2 {
        state_file::save(&path, &encode(&entries, 1)).unwrap();
        assert_eq!(state_file::load(&path).unwrap().unwrap().entries, entries);
    }
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let (cut_off, running) = (
        folder.join("sessions.4194999.0.tmp"),
        folder.join(format!("sessions.{}.99.tmp", std::process::id())),
    );
    let foreign = folder.join("sessions.notes.tmp");
    for path in [&cut_off, &running, &foreign] {
        std::fs::write(path, "x").unwrap();
    }
    state_file::remove_leftovers(&path);
    assert!(!cut_off.exists() && running.exists() && foreign.exists());
    std::fs::write(&path, "garbage").unwrap();
    assert!(state_file::load(&path).unwrap_err().is_damage());
    let aside = state_file::set_aside(&path).unwrap();
    assert_eq!(aside.file_name().unwrap(), "sessions.damaged");
    assert!(state_file::load(&path).unwrap().is_none());
    assert!(!state_file::load(&folder).unwrap_err().is_damage());
    let missing = folder.join("missing/sessions");
    assert!(state_file::save(&missing, b"x").is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
