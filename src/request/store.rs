//! What a location's backend is asked, and how its answers are taken.

use core::future::Future;

use session::SessionId;
use storage::{Deadline, Error, MetaEntry, RecordId, RecordWrite};

use crate::conf::{Backend, Store, Work};
use crate::event::offload_async;
use crate::http::Request;

/// A record to read or remove.
pub struct RecordName {
    /// The cookie's name.
    pub cookie: &'static str,
    /// The storage key.
    pub key: String,
}

impl RecordName {
    pub fn id(&self) -> RecordId<'_> {
        RecordId {
            cookie: self.cookie,
            key: &self.key,
        }
    }
}

/// Asks on the other thread, where the clients of servers live.
async fn elsewhere<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    // In a box: who asks on the loop needs no room for it.
    Box::pin(offload_async(work))
        .await
        .unwrap_or_else(|error| Err(Error::Unavailable(error.to_string())))
}

/// The record's value; none when it is not there.
pub async fn get(
    backend: &Backend,
    record: RecordName,
    now: u64,
) -> Result<Option<Vec<u8>>, Error> {
    match &backend.store {
        Store::Shm(zone) => Ok(zone.get(record.id(), now)),
        Store::OnLoop(store) => {
            let deadline = Deadline::after(backend.timeout);
            store.get(record.id(), now, deadline).await
        }
        Store::Remote(store) => {
            let (store, deadline) = (store.clone(), Deadline::after(backend.timeout));
            elsewhere(async move { store.get(record.id(), now, deadline).await }).await
        }
    }
}

/// Writes a record.
pub async fn set(backend: &Backend, write: &RecordWrite) -> Result<(), Error> {
    match &backend.store {
        Store::Shm(zone) => zone.set(write),
        Store::OnLoop(store) => store.set(write, Deadline::after(backend.timeout)).await,
        Store::Remote(store) => {
            let (store, write) = (store.clone(), write.clone());
            let deadline = Deadline::after(backend.timeout);
            elsewhere(async move { store.set(&write, deadline).await }).await
        }
    }
}

/// Removes a record.
pub async fn delete(
    backend: &Backend,
    record: RecordName,
    metadata: Vec<MetaEntry>,
    now: u64,
) -> Result<(), Error> {
    match &backend.store {
        Store::Shm(zone) => {
            zone.delete(record.id(), &metadata, now);
            Ok(())
        }
        Store::OnLoop(store) => {
            let deadline = Deadline::after(backend.timeout);
            store.delete(record.id(), &metadata, now, deadline).await
        }
        Store::Remote(store) => {
            let (store, deadline) = (store.clone(), Deadline::after(backend.timeout));
            elsewhere(async move { store.delete(record.id(), &metadata, now, deadline).await })
                .await
        }
    }
}

/// Asks for a record that nobody has.
pub async fn probe(backend: &Backend) -> Result<(), Error> {
    let nobody = SessionId::from_random([0; 32]);
    let record = RecordName {
        cookie: "session",
        key: nobody.storage_key(false),
    };
    get(backend, record, 0).await.map(drop)
}

/// One line when an outage begins, one when it is over.
pub fn note<T>(request: Request<'_>, backend: &Backend, work: Work, answer: &Result<T, Error>) {
    match answer {
        Ok(_) => {
            if backend.came_up(work) {
                request_log!(NOTICE, request, "storage \"{}\" works again", backend.name);
            }
        }
        // The session's fault, not the storage's.
        Err(error @ Error::TooLarge { .. }) => {
            request_log!(ERR, request, "storage \"{}\": {error}", backend.name);
        }
        Err(error) => {
            if backend.went_down(work) {
                request_log!(ERR, request, "storage \"{}\": {error}", backend.name);
            }
        }
    }
}
