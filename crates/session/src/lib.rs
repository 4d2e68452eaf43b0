//! What a session is.
//!
//! A session lives at the client as a token (a cookie, or several) and, with server storage, as a record. This crate makes and
//! reads both, and knows every rule about their time, keys, binding and audiences. Time is an argument, in Unix seconds; random
//! bytes are an argument; nothing here reads, writes or waits.
//!
//! The way of a request: [`Policy::verify`] finds the token, [`Token::open`] makes a [`Session`] of it, the session is read and
//! changed, [`Session::seal`] makes the next token, and when that is safely stored [`Session::committed`] tells the session so.

#![forbid(unsafe_code)]

pub mod base64url;
pub mod binding;
pub mod chunks;
pub mod cookie;
mod entry;
pub mod header;
pub mod id;
pub mod jar;
pub mod keys;
pub mod known;
mod lazy;
pub mod metadata;
pub mod patch;
pub mod payload;
pub mod policy;
pub mod query;
pub mod record;
pub mod refusal;
mod scan;
pub mod session;
pub mod token;
pub mod ttl;
mod wiped;

pub use binding::{Bind, Binding};
pub use chunks::chunk_names;
pub use cookie::Cookie;
pub use cookie::request::{Hidden, cookie_pairs, hide_cookies};
pub use cookie::response::{
    Attributes, Lifetime, Priority, SameSite, expire_cookie, set_cookie, set_cookie_name,
};
pub use header::{Flags, HEADER_SIZE, HEADER_TEXT_SIZE, Header};
pub use id::SessionId;
pub use jar::{JAR_KEY, Jar, JarError, Origin};
pub use keys::{
    CipherKey, Ikm, KeyError, KeyIndex, KeyRing, KeySource, Safety, SafetyError, Stretch,
};
pub use metadata::{MetaEntry, MetadataError, collection_name, file_collection_name};
pub use patch::{MergePatch, PatchError};
pub use policy::{CookieName, CookieNameError, Kind, Place, Policy, Renew, Timeouts};
pub use query::{arguments, hide_arguments, hide_arguments_in_uri};
pub use record::{Record, RecordError, file_record_name, record_name};
pub use refusal::{ContentError, FormatError, Refusal};
pub use session::{Logout, Rebased, RecordWrite, Refresh, SaveError, Sealed, Session, State};
pub use token::Token;
pub use ttl::{MAX_AGE_LIMIT, Remaining};
