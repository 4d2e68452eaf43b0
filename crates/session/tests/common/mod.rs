//! What the tests share.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use session::{
    Bind, Binding, CookieName, Ikm, KeyIndex, KeyRing, KeySource, Kind, Place, Policy, Record,
    Refusal, Safety, Sealed, Session, SessionId, Stretch, Timeouts, Token,
};

pub const NOW: u64 = 1_700_000_000;
pub const UNBOUND: Binding<'static> = Binding {
    address: b"",
    scheme: b"",
    user_agent: b"",
    extra: &[],
};

pub fn ring(secret: &str) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(
        Ikm::from_secret(secret.as_bytes()),
        Vec::new(),
    ))
}

pub fn policy(place: Place) -> Policy {
    Policy {
        cookie_name: CookieName::parse("sid").unwrap(),
        remember_cookie_name: CookieName::parse("remember").unwrap(),
        keys: ring("secret"),
        bind: Bind::default(),
        place,
        times: Timeouts::default(),
        safety: Safety::None,
        compression_threshold: 1024,
        max_data: 1 << 20,
        enforce_same_subject: false,
        hash_storage_key: false,
        hash_subject: false,
        store_metadata: false,
    }
}

pub fn id(byte: u8) -> SessionId {
    SessionId::from_random([byte; 32])
}

/// The Cookie header line that a client with these cookies sends.
pub fn line(sealed: &Sealed) -> String {
    sealed
        .cookies()
        .iter()
        .map(|c| format!("{}={}", c.name, c.value))
        .collect::<Vec<_>>()
        .join("; ")
}

pub fn record(sealed: &Sealed) -> Option<Record> {
    sealed
        .record()
        .map(|write| Record::parse(write.value.as_bytes(), usize::MAX).unwrap())
}

pub fn derive(source: KeySource) -> session::CipherKey {
    match source {
        KeySource::Ready(key) => key,
        KeySource::Stretch(work) => work.run(),
    }
}

pub fn open_token(
    token: Token,
    p: &Policy,
    record: Option<&Record>,
    audience: &str,
) -> Result<Session, Refusal> {
    let stretched = token.stretch(p).map(Stretch::run);
    let session = token.open(p, stretched.as_ref(), record.cloned(), audience)?;
    Ok(*session)
}

/// Verifies and opens what was sealed.
pub fn reopen(
    p: &Policy,
    sealed: &Sealed,
    binding: &Binding<'_>,
    now: u64,
) -> Result<Session, Refusal> {
    let token = p.verify(sealed.kind(), &[line(sealed).as_bytes()], binding, now)?;
    open_token(token, p, record(sealed).as_ref(), "default")
}

pub fn seal_remember(session: &Session, p: &Policy, id: SessionId, now: u64) -> Sealed {
    let key = derive(p.keys.remember_key(KeyIndex::CURRENT, &id, p.safety));
    session.seal_remember(p, id, &key, &UNBOUND, now).unwrap()
}

pub fn verify(p: &Policy, kind: Kind, line: &str, now: u64) -> Result<Token, Refusal> {
    p.verify(kind, &[line.as_bytes()], &UNBOUND, now)
}
