//! A storage in this process's memory: a double for tests, and the shortest reading of what a storage does.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use session::metadata::collection_name;
use session::record_name;

use crate::{Answer, Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Storage};

/// Records and lists by name.
#[derive(Default)]
pub struct Memory {
    records: Mutex<HashMap<String, Entry>>,
    lists: Mutex<HashMap<String, BTreeMap<String, u64>>>,
}

/// What a panic left behind is still a map.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Entry {
    value: Vec<u8>,
    expires: u64,
}

impl Memory {
    fn in_time<'a, T: Send + 'a>(deadline: Deadline, work: impl FnOnce() -> T) -> Answer<'a, T> {
        Box::pin(ready(if deadline.is_over() {
            Err(Error::Timeout)
        } else {
            Ok(work())
        }))
    }

    fn withdraw(&self, cookie: &str, entries: &[MetaEntry], key: &str) {
        let mut lists = lock(&self.lists);
        for entry in entries {
            if let Some(list) = lists.get_mut(&collection_name(None, cookie, entry, None)) {
                list.remove(key);
            }
        }
    }

    fn write(&self, write: &RecordWrite) {
        let RecordWrite {
            name_cookie: cookie,
            key,
            now,
            ..
        } = write;
        let expires = now + u64::from(write.ttl);
        let entry = Entry {
            value: write.value.clone().into_bytes(),
            expires,
        };
        lock(&self.records).insert(record_name(None, cookie, key, None), entry);
        for entry in &write.metadata {
            let mut lists = lock(&self.lists);
            lists
                .entry(collection_name(None, cookie, entry, None))
                .or_default()
                .insert(key.clone(), expires);
        }
        if let Some(old) = &write.old_key {
            if let Some(entry) = lock(&self.records).get_mut(&record_name(None, cookie, old, None))
            {
                entry.expires = entry.expires.min(now + u64::from(write.stale_ttl));
            }
            self.withdraw(cookie, &write.metadata, old);
            self.withdraw(cookie, &write.withdrawn, old);
        }
    }
}

impl Storage for Memory {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        Self::in_time(deadline, || {
            let records = lock(&self.records);
            let entry = records.get(&record_name(None, record.cookie, record.key, None));
            entry
                .filter(|entry| entry.expires > now)
                .map(|entry| entry.value.clone())
        })
    }

    fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()> {
        Self::in_time(deadline, || self.write(write))
    }

    fn delete<'a>(
        &'a self,
        record: RecordId<'a>,
        metadata: &'a [MetaEntry],
        _now: u64,
        deadline: Deadline,
    ) -> Answer<'a, ()> {
        Self::in_time(deadline, || {
            lock(&self.records).remove(&record_name(None, record.cookie, record.key, None));
            self.withdraw(record.cookie, metadata, record.key);
        })
    }

    fn list<'a>(
        &'a self,
        list: ListId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, BTreeMap<String, u64>> {
        Self::in_time(deadline, || {
            let lists = lock(&self.lists);
            let all = lists
                .get(&collection_name(None, list.cookie, list.entry, None))
                .into_iter()
                .flatten();
            all.filter(|(_, expires)| **expires > now)
                .map(|(key, expires)| (key.clone(), *expires))
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::conformance::{self, Time};

    struct Made(Cell<u64>);

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
    fn memory_keeps_the_rules() {
        let (memory, time) = (Memory::default(), Made(Cell::new(1_700_000_000)));
        let run = pin!(conformance::run(&memory, &time));
        let result = run.poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(result, Poll::Ready(Ok(())));
    }

    /// Forgets one rule, to see that the suite notices.
    struct Forgetful<'a>(&'a Memory, Edit);

    type Edit = fn(&mut RecordWrite);

    impl Storage for Forgetful<'_> {
        fn get<'a>(
            &'a self,
            record: RecordId<'a>,
            now: u64,
            deadline: Deadline,
        ) -> Answer<'a, Option<Vec<u8>>> {
            self.0.get(record, now, deadline)
        }

        fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()> {
            let mut other = write.clone();
            (self.1)(&mut other);
            Box::pin(async move { self.0.set(&other, deadline).await })
        }

        fn delete<'a>(
            &'a self,
            record: RecordId<'a>,
            metadata: &'a [MetaEntry],
            now: u64,
            deadline: Deadline,
        ) -> Answer<'a, ()> {
            self.0.delete(record, metadata, now, deadline)
        }

        fn list<'a>(
            &'a self,
            list: ListId<'a>,
            now: u64,
            deadline: Deadline,
        ) -> Answer<'a, BTreeMap<String, u64>> {
            self.0.list(list, now, deadline)
        }
    }

    #[test]
    fn the_suite_notices_each_broken_rule() {
        let broken: [(&str, Edit); 6] = [
            ("the ttl is ignored", |write| write.ttl = 1000),
            ("the old record lives on", |write| write.stale_ttl = 1000),
            ("the old record goes at once", |write| write.stale_ttl = 0),
            ("the old record stays listed", |write| write.old_key = None),
            ("nothing is listed", |write| write.metadata.clear()),
            ("nothing is withdrawn", |write| write.withdrawn.clear()),
        ];
        for (what, edit) in broken {
            let (memory, time) = (Memory::default(), Made(Cell::new(1_700_000_000)));
            let forgetful = Forgetful(&memory, edit);
            let run = pin!(conformance::run(&forgetful, &time));
            let result = run.poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(result, Poll::Ready(Err(_))), "{what}: {result:?}");
        }
    }
}
