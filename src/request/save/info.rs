//! Saving the info alone: the record changes, the token does not.

use session::Record;

use super::{fail, turn_to_save};
use crate::conf::{Backend, Settings, Work};
use crate::request::store::{self, RecordName};
use crate::request::wait::Waiter;

/// Only the info has changed: the record is written again, under its id.
pub async fn save_info(waiter: Waiter, settings: &'static Settings) {
    if let Some(_saving) = turn_to_save(waiter, settings).await {
        store_info(waiter, settings).await;
    }
}

/// Writes the record with the new info. The remember record follows.
async fn store_info(waiter: Waiter, settings: &'static Settings) {
    let (Some(backend), Some(session)) = (settings.backend.as_deref(), waiter.session(settings))
    else {
        return;
    };
    let policy = &settings.policy;
    let now = waiter.request().now();
    let remember_key = session.remember_record_key(policy);
    let Some(record) = session.info_record(policy, now) else {
        return;
    };
    let answer = store::set(backend, &record).await;
    store::note(waiter.request(), backend, Work::Write, &answer);
    if let Err(error) = answer {
        return fail(waiter, settings, backend, &error);
    }
    if let Some(session) = waiter.session(settings) {
        session.info_committed();
    }
    if let Some(key) = remember_key {
        save_remember_info(waiter, settings, backend, key).await;
    }
}

async fn save_remember_info(
    waiter: Waiter,
    settings: &'static Settings,
    backend: &Backend,
    key: String,
) {
    let policy = &settings.policy;
    let name = RecordName {
        cookie: policy.remember_cookie_name.as_str(),
        key,
    };
    let answer = store::get(backend, name, waiter.request().now()).await;
    store::note(waiter.request(), backend, Work::Read, &answer);
    let limit = session::record::size_limit(policy.max_data);
    let Ok(Some(Ok(record))) = answer.map(|value| value.map(|value| Record::parse(&value, limit)))
    else {
        return;
    };
    let write = waiter
        .session(settings)
        .and_then(|session| session.remember_info_record(policy, record, waiter.request().now()));
    if let Some(write) = write {
        let answer = store::set(backend, &write).await;
        store::note(waiter.request(), backend, Work::Write, &answer);
    }
}
