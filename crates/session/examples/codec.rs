//! Makes and reads tokens on the command line, to compare this crate with another implementation of the format.
//!
//! ```text
//! echo '{"op":"decode", …}' | cargo run -q -p session --example codec
//! ```
//!
//! Standard input holds one JSON object, or several on a line each; standard output gets one line of JSON for each. The exit status
//! is 0 when every request could be understood, whatever the answer; otherwise standard error says what was wrong.
//!
//! # Both operations
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `op` | needed | `encode` or `decode` |
//! | `secret` | – | text of the current secret; its SHA-256 is the key material. This or `ikm` is needed |
//! | `ikm` | – | the key material itself: 64 hexadecimal digits |
//! | `fallbacks` | `[]` | older secrets, as texts |
//! | `kind` | `session` | `session` or `remember` |
//! | `place` | `cookie` | `cookie`: the payload is in the cookie. `server`: it is in a record |
//! | `cookie_name` | `session` | name of the cookie of this kind |
//! | `audience` | `default` | audience |
//! | `now` | needed | Unix seconds |
//! | `safety` | `Medium` | of a remember token: `None`, `Low`, `Medium`, `High`, `Very High` |
//! | `bind` | `[]` | what the token is bound to: any of `ip`, `scheme`, `user_agent`, `extra` |
//! | `address`, `scheme`, `user_agent` | `""` | the request's values for them |
//! | `extra` | `[]` | further values, as texts |
//! | `times` | all 0 | object of seconds, 0 is no limit: `idling`, `rolling`, `absolute`, `remember_rolling`, `remember_absolute`, `stale_ttl` |
//! | `compression_threshold` | 1024 | deflate JSON longer than this; 0 never |
//! | `max_data` | 1048576 | most bytes of JSON |
//! | `hash_storage_key`, `hash_subject`, `store_metadata`, `enforce_same_subject` | false | as the settings of these names |
//!
//! # encode
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `id` | needed | 64 hexadecimal digits |
//! | `data` | `{}` | object: this audience's data; a key with dots makes nested objects |
//! | `subject` | none | text |
//! | `info` | `{}` | object: this audience's info |
//! | `forget` | false | sets the flag |
//! | `created` | `now` | Unix seconds of the creation; `now` is the save |
//! | `touched` | – | Unix seconds of a touch after the save (session tokens only) |
//! | `others` | `[]` | further audiences, saved before this one: `{"audience", "subject", "data", "info"}` each |
//!
//! Answer: `{"ok":true, "cookies":[{"name","value"},…], "token", "key", "record", "ttl", "metadata":[{"audience","subject"}]}`.
//! `cookies` are those to set, `token` the whole as one text; `key` is the storage key, `record` the record's value, null with
//! `place` cookie. After a touch `cookies` and `token` are those of the touched token.
//!
//! # decode
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `cookie` | – | value of the Cookie header line, or a list of such values |
//! | `token` | – | instead of `cookie`: the whole token as one text |
//! | `record` | none | the record's value, with `place` server |
//!
//! Answer of a good token: `{"ok":true, "status", "has_audience", "id", "key", "header", "subject", "forget", "data", "info",
//! "remaining"}`. `status` is `open`, `remembered` or `new` (no such audience: `data` is empty then). `header` has `flags`,
//! `created`, `rolling_offset`, `data_size`, `idling_offset`; `remaining` has `idling`, `rolling`, `absolute`, `timeout`, null where
//! there is no limit.
//!
//! Answer of all else, of both operations: `{"ok":false, "status", "error"}`; `status` is the value of `$session_status`, or
//! `not-saved`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use session::{
    Bind, Binding, CipherKey, CookieName, Ikm, KeyIndex, KeyRing, KeySource, Kind, Place, Policy,
    Record, Refusal, Renew, Safety, SaveError, Sealed, Session, SessionId, State, Stretch,
    Timeouts, Token,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let request: Request = serde_json::from_str(&line)?;
        writeln!(output, "{}", request.answer()?)?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    op: Op,
    secret: Option<String>,
    ikm: Option<String>,
    #[serde(default)]
    fallbacks: Vec<String>,
    #[serde(default)]
    kind: KindWord,
    #[serde(default)]
    place: PlaceWord,
    #[serde(default = "session_word")]
    cookie_name: String,
    #[serde(default = "default_word")]
    audience: String,
    now: u64,
    #[serde(default = "medium_word")]
    safety: String,
    #[serde(default)]
    bind: Vec<BindWord>,
    #[serde(default)]
    address: String,
    #[serde(default)]
    scheme: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    extra: Vec<String>,
    #[serde(default)]
    times: Times,
    #[serde(default = "kilobyte")]
    compression_threshold: usize,
    #[serde(default = "megabyte")]
    max_data: usize,
    #[serde(default)]
    hash_storage_key: bool,
    #[serde(default)]
    hash_subject: bool,
    #[serde(default)]
    store_metadata: bool,
    #[serde(default)]
    enforce_same_subject: bool,
    // encode
    id: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
    subject: Option<String>,
    #[serde(default)]
    info: Map<String, Value>,
    #[serde(default)]
    forget: bool,
    created: Option<u64>,
    touched: Option<u64>,
    #[serde(default)]
    others: Vec<Other>,
    // decode
    cookie: Option<Lines>,
    token: Option<String>,
    record: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Encode,
    Decode,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    #[default]
    Session,
    Remember,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum PlaceWord {
    #[default]
    Cookie,
    Server,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum BindWord {
    Ip,
    Scheme,
    UserAgent,
    Extra,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Times {
    idling: u32,
    rolling: u32,
    absolute: u32,
    remember_rolling: u32,
    remember_absolute: u32,
    stale_ttl: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    audience: String,
    subject: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default)]
    info: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lines {
    One(String),
    Many(Vec<String>),
}

fn session_word() -> String {
    "session".to_owned()
}

fn default_word() -> String {
    "default".to_owned()
}

fn medium_word() -> String {
    "Medium".to_owned()
}

fn kilobyte() -> usize {
    1 << 10
}

fn megabyte() -> usize {
    1 << 20
}

impl Request {
    fn answer(&self) -> Result<Value> {
        let p = self.policy()?;
        let extra: Vec<&[u8]> = self.extra.iter().map(String::as_bytes).collect();
        let binding = Binding {
            address: self.address.as_bytes(),
            scheme: self.scheme.as_bytes(),
            user_agent: self.user_agent.as_bytes(),
            extra: &extra,
        };
        match self.op {
            Op::Encode => {
                let id = bytes32(self.id.as_deref().ok_or("encode needs an id")?)?;
                Ok(self.encode(&p, SessionId::from_random(id), &binding).unwrap_or_else(|error| {
                    json!({"ok": false, "status": "not-saved", "error": error.to_string()})
                }))
            }
            Op::Decode => Ok(self.decode(&p, &binding).unwrap_or_else(|refusal| {
                json!({"ok": false, "status": refusal.status(), "error": refusal.to_string()})
            })),
        }
    }

    fn policy(&self) -> Result<Policy> {
        let current = match (&self.ikm, &self.secret) {
            (Some(ikm), _) => Ikm::from_bytes(&bytes32(ikm)?)?,
            (None, Some(secret)) => Ikm::from_secret(secret.as_bytes()),
            (None, None) => return Err("a secret or an ikm is needed".into()),
        };
        let fallbacks = self
            .fallbacks
            .iter()
            .map(|secret| Ikm::from_secret(secret.as_bytes()))
            .collect();
        let (own, other) = (
            CookieName::parse(&self.cookie_name)?,
            CookieName::parse("unused-name")?,
        );
        let (cookie_name, remember_cookie_name) = match self.kind {
            KindWord::Session => (own, other),
            KindWord::Remember => (other, own),
        };
        let Times {
            idling,
            rolling,
            absolute,
            remember_rolling,
            remember_absolute,
            stale_ttl,
        } = self.times;
        Ok(Policy {
            cookie_name,
            remember_cookie_name,
            keys: Arc::new(KeyRing::new(current, fallbacks)),
            bind: Bind {
                ip: self.bind.contains(&BindWord::Ip),
                scheme: self.bind.contains(&BindWord::Scheme),
                user_agent: self.bind.contains(&BindWord::UserAgent),
                extra: self.bind.contains(&BindWord::Extra),
            },
            place: match self.place {
                PlaceWord::Cookie => Place::Cookie,
                PlaceWord::Server => Place::Server,
            },
            times: Timeouts {
                idling,
                rolling,
                absolute,
                remember_rolling,
                remember_absolute,
                stale_ttl,
                touch_threshold: 60,
                renew: Renew::Off,
            },
            safety: self.safety.parse::<Safety>()?,
            compression_threshold: self.compression_threshold,
            max_data: self.max_data,
            enforce_same_subject: self.enforce_same_subject,
            hash_storage_key: self.hash_storage_key,
            hash_subject: self.hash_subject,
            store_metadata: self.store_metadata,
        })
    }

    fn kind(&self) -> Kind {
        match self.kind {
            KindWord::Session => Kind::Session,
            KindWord::Remember => Kind::Remember,
        }
    }

    fn encode(
        &self,
        p: &Policy,
        id: SessionId,
        binding: &Binding<'_>,
    ) -> std::result::Result<Value, SaveError> {
        let mut session = self.saved_session(p, binding)?;
        let sealed = match self.kind() {
            Kind::Session => session.seal(p, id, binding, self.now)?,
            Kind::Remember => {
                let mut seal = |id: SessionId, now: u64| {
                    let key = derive(p.keys.remember_key(KeyIndex::CURRENT, &id, p.safety));
                    let sealed = session.seal_remember(p, id, &key, binding, now)?;
                    session.committed(&sealed);
                    Ok::<_, SaveError>(sealed)
                };
                if let Some(created) = self.created {
                    seal(SessionId::from_random([2; 32]), created)?;
                }
                seal(id, self.now)?
            }
        };
        let mut cookies: Vec<Value> = sealed
            .cookies()
            .iter()
            .map(|cookie| json!({"name": cookie.name, "value": cookie.value}))
            .collect();
        let mut token = sealed.token_text();
        if let Some(touched) = self.touched {
            session.committed(&sealed);
            let cookie = session.touch(p, binding, touched)?;
            cookies[0] = json!({"name": cookie.name, "value": cookie.value});
            token = session.token_text(p).unwrap_or_default();
        }
        Ok(json!({
            "ok": true,
            "cookies": cookies,
            "token": token,
            "key": sealed.id().storage_key(p.hash_storage_key),
            "record": sealed.record().map(|write| &write.value),
            "ttl": sealed.record().map(|write| write.ttl),
            "metadata": sealed.record().map(|write| {
                write.metadata.iter().map(|m| json!({"audience": m.audience, "subject": m.subject})).collect::<Vec<_>>()
            }),
        }))
    }

    /// The session with all its content, saved at its creation where that is not now.
    fn saved_session(
        &self,
        p: &Policy,
        binding: &Binding<'_>,
    ) -> std::result::Result<Session, SaveError> {
        let created = self.created.unwrap_or(self.now);
        let unlimited = Policy {
            times: Timeouts {
                idling: 0,
                rolling: 0,
                absolute: 0,
                ..p.times
            },
            ..p.clone()
        };
        let p = &Policy {
            enforce_same_subject: false,
            ..unlimited
        };
        let mut last: Option<Sealed> = None;
        let own = Other {
            audience: self.audience.clone(),
            subject: self.subject.clone(),
            data: self.data.clone(),
            info: self.info.clone(),
        };
        let needs_save = self.created.is_some() || !self.info.is_empty() || !self.others.is_empty();
        for (number, part) in self.others.iter().chain([&own]).enumerate() {
            let mut session = match &last {
                None => Session::new(&part.audience, None),
                Some(sealed) => reopen(p, sealed, binding, created, &part.audience),
            };
            session.set_subject(part.subject.as_deref());
            for (key, value) in &part.data {
                session.set(key, value.clone());
            }
            session.set_forget(self.forget);
            if number == self.others.len() && !needs_save {
                return Ok(session);
            }
            // Info is taken by a stored session only.
            let mut save =
                |session: &mut Session, step: u8| -> std::result::Result<(), SaveError> {
                    let scratch = SessionId::from_random([step; 32]);
                    let sealed = session.seal(p, scratch, binding, created)?;
                    session.committed(&sealed);
                    last = Some(sealed);
                    Ok(())
                };
            save(&mut session, 0)?;
            for (key, value) in &part.info {
                session.info_set(key, value.clone());
            }
            save(&mut session, 1)?;
            if number == self.others.len() {
                return Ok(session);
            }
        }
        unreachable!("the own part is the last one")
    }

    fn decode(&self, p: &Policy, binding: &Binding<'_>) -> std::result::Result<Value, Refusal> {
        let token = match (&self.token, &self.cookie) {
            (Some(text), _) => p.verify_text(self.kind(), text.as_bytes(), binding, self.now)?,
            (None, Some(Lines::One(line))) => {
                p.verify(self.kind(), &[line.as_bytes()], binding, self.now)?
            }
            (None, Some(Lines::Many(lines))) => {
                let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
                p.verify(self.kind(), &lines, binding, self.now)?
            }
            (None, None) => return Err(Refusal::Missing),
        };
        let record = match &self.record {
            Some(value) => Some(Record::parse(
                value.as_bytes(),
                session::record::size_limit(p.max_data),
            )?),
            None => None,
        };
        let (header, key) = (token.header().clone(), token.storage_key(p));
        let session = open(token, p, record.as_ref(), &self.audience)?;
        let remaining = session.remaining(p, self.now);
        Ok(json!({
            "ok": true,
            "status": match session.state() {
                State::New => "new",
                State::Open => "open",
                State::Remembered => "remembered",
                State::Ended => "ended",
            },
            "has_audience": session.has_audience(),
            "id": header.id.text(),
            "key": key,
            "header": {
                "flags": header.flags.bits(),
                "created": header.created,
                "rolling_offset": header.rolling_offset,
                "data_size": header.data_size,
                "idling_offset": header.idling_offset,
            },
            "subject": session.subject(),
            "forget": session.forget(),
            "data": session.data(),
            "info": session.info_map().cloned().unwrap_or_default(),
            "remaining": {
                "idling": remaining.idling,
                "rolling": remaining.rolling,
                "absolute": remaining.absolute,
                "timeout": remaining.timeout,
            },
        }))
    }
}

fn open(
    token: Token,
    p: &Policy,
    record: Option<&Record>,
    audience: &str,
) -> std::result::Result<Session, Refusal> {
    let stretched = token.stretch(p).map(Stretch::run);
    let session = token.open(p, stretched.as_ref(), record.cloned(), audience)?;
    Ok(*session)
}

/// Opens what this program just sealed.
fn reopen(p: &Policy, sealed: &Sealed, binding: &Binding<'_>, now: u64, audience: &str) -> Session {
    let record = sealed
        .record()
        .map(|write| Record::parse(write.value.as_bytes(), usize::MAX));
    let record = record.transpose().expect("the record was just made");
    p.verify_text(Kind::Session, sealed.token_text().as_bytes(), binding, now)
        .and_then(|token| open(token, p, record.as_ref(), audience))
        .expect("the token was just made")
}

fn derive(source: KeySource) -> CipherKey {
    match source {
        KeySource::Ready(key) => key,
        KeySource::Stretch(work) => work.run(),
    }
}

fn bytes32(hex: &str) -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return Err("64 hexadecimal digits are needed".into());
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16)?;
    }
    Ok(bytes)
}
