//! `session_backend NAME TYPE { … }`: a place where records are kept.

use core::cell::Cell;
use core::ffi::{c_char, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    NGX_OK, ngx_add_path, ngx_command_t, ngx_conf_t, ngx_int_t, ngx_path_t, ngx_pcalloc, ngx_str_t,
};
use storage::config::Secret;
use storage::dshm::{Dshm, DshmConfig};
use storage::file::{File, FileConfig};
use storage::memcached::{Memcached, MemcachedConfig};
use storage::mysql::{Mysql, MysqlConfig};
use storage::postgres::{Postgres, PostgresConfig};
use storage::redis::{Redis, RedisConfig, Role, Topology};
use storage::{Common, ConfigError, Server, Storage, Tls};
use zeroize::Zeroizing;

use super::Directives;
use super::command::{Arguments, ConfError, conf_log, fixed_name, once, read_block, utf8};
use crate::event::Loop;
use crate::guard::guard_conf;
use crate::shm::{ShmConfig, Zone};

/// A declared backend.
pub struct Backend {
    pub name: &'static str,
    /// Limit of one whole operation.
    pub timeout: Duration,
    pub store: Store,
    /// The same as `store` where nobody but us removes what has expired.
    pub files: Option<Arc<File>>,
    /// This worker's last read failed; the outage is in the log.
    not_reading: Cell<bool>,
    /// Its last write failed. A storage may be full, or a replica, and still be read.
    not_writing: Cell<bool>,
}

/// How a backend is reached.
pub enum Store {
    /// Shared memory of this nginx: at once.
    Shm(Zone),
    /// A client that lives on the event loop.
    OnLoop(Arc<dyn Storage>),
    /// Anything else: on the other thread.
    Remote(Arc<dyn Storage>),
}

impl Store {
    /// It is asked without waiting.
    pub fn is_at_hand(&self) -> bool {
        match self {
            Store::Shm(_) => true,
            Store::OnLoop(_) | Store::Remote(_) => false,
        }
    }
}

/// What was asked of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Read,
    Write,
}

impl Backend {
    /// Takes note of a failed operation; `true` when it is the first of an outage.
    pub fn went_down(&self, work: Work) -> bool {
        let known = self.not_reading.get() || self.not_writing.get();
        match work {
            Work::Read => self.not_reading.set(true),
            Work::Write => self.not_writing.set(true),
        }
        !known
    }

    /// Takes note of an operation that was answered; `true` when an outage is over. That something can be read says
    /// nothing of a storage that could be read all the time.
    pub fn came_up(&self, work: Work) -> bool {
        let over = match work {
            Work::Read => self.not_reading.get(),
            Work::Write => self.not_reading.get() || self.not_writing.get(),
        };
        if over {
            self.not_reading.set(false);
            self.not_writing.set(false);
        }
        over
    }
}

/// The types, by their names and synonyms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shm,
    File,
    Redis,
    Memcached,
    Postgres,
    Mysql,
    Dshm,
}

impl Kind {
    const NAMES: [(&'static str, Kind); 11] = [
        ("shm", Kind::Shm),
        ("file", Kind::File),
        ("redis", Kind::Redis),
        ("valkey", Kind::Redis),
        ("memcached", Kind::Memcached),
        ("memcache", Kind::Memcached),
        ("postgres", Kind::Postgres),
        ("postgresql", Kind::Postgres),
        ("mysql", Kind::Mysql),
        ("mariadb", Kind::Mysql),
        ("dshm", Kind::Dshm),
    ];

    fn parse(text: &[u8]) -> Result<Kind, ConfError> {
        let found = Kind::NAMES.iter().find(|(name, _)| name.as_bytes() == text);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<_> = Kind::NAMES
                .iter()
                .map(|(name, _)| format!("\"{name}\""))
                .collect();
            ConfError::invalid(text, format!("allowed are {}", names.join(", ")))
        })
    }

    /// The lines of this type's own.
    fn own_lines(self) -> &'static [&'static str] {
        match self {
            Kind::Shm => &["size", "max_sessions", "evict", "state"],
            Kind::File => &["path"],
            Kind::Redis => &[
                "server",
                "database",
                "sentinel",
                "master",
                "role",
                "sentinel_username",
                "sentinel_password",
                "node",
            ],
            Kind::Memcached | Kind::Dshm => &["server"],
            Kind::Postgres => &["server", "database", "table", "table_meta", "application"],
            Kind::Mysql => &["server", "database", "table", "table_meta", "charset"],
        }
    }

    /// Lines that all types have, and those of all that speak to a server.
    fn allows(self, name: &str) -> bool {
        const ALL: [&str; 2] = ["prefix", "suffix"];
        const REMOTE: [&str; 12] = [
            "connect_timeout",
            "timeout",
            "pool_size",
            "ssl",
            "ssl_verify",
            "ssl_trusted_certificate",
            "ssl_name",
            "ssl_certificate",
            "ssl_certificate_key",
            "username",
            "password",
            "password_file",
        ];
        let local = matches!(self, Kind::Shm | Kind::File);
        ALL.contains(&name)
            || self.own_lines().contains(&name)
            || (!local && REMOTE.contains(&name))
            || (self == Kind::File && name == "timeout")
    }
}

/// The lines of one block, as they are read.
struct Lines {
    kind: Kind,
    prefix: Option<String>,
    suffix: Option<String>,
    connect_timeout: Option<Duration>,
    timeout: Option<Duration>,
    pool_size: Option<usize>,
    ssl: Option<bool>,
    ssl_verify: Option<bool>,
    ssl_trusted_certificate: Option<Vec<u8>>,
    ssl_name: Option<String>,
    ssl_certificate: Option<Vec<u8>>,
    ssl_certificate_key: Option<Zeroizing<Vec<u8>>>,
    username: Option<String>,
    password: Option<Secret>,
    server: Option<Server>,
    sentinels: Vec<Server>,
    nodes: Vec<Server>,
    master: Option<String>,
    role: Option<Role>,
    sentinel_username: Option<String>,
    sentinel_password: Option<Secret>,
    database: Option<String>,
    table: Option<String>,
    table_meta: Option<String>,
    application: Option<String>,
    charset: Option<String>,
    size: Option<usize>,
    max_sessions: Option<u64>,
    evict: Option<bool>,
    state: Option<PathBuf>,
    path: Option<(PathBuf, Vec<u8>)>,
}

impl Lines {
    fn new(kind: Kind) -> Lines {
        Lines {
            kind,
            prefix: None,
            suffix: None,
            connect_timeout: None,
            timeout: None,
            pool_size: None,
            ssl: None,
            ssl_verify: None,
            ssl_trusted_certificate: None,
            ssl_name: None,
            ssl_certificate: None,
            ssl_certificate_key: None,
            username: None,
            password: None,
            server: None,
            sentinels: Vec::new(),
            nodes: Vec::new(),
            master: None,
            role: None,
            sentinel_username: None,
            sentinel_password: None,
            database: None,
            table: None,
            table_meta: None,
            application: None,
            charset: None,
            size: None,
            max_sessions: None,
            evict: None,
            state: None,
            path: None,
        }
    }

    /// Reads one line.
    fn read(&mut self, name: &str, args: &Arguments) -> Result<(), ConfError> {
        if !self.kind.allows(name) {
            let own = self.kind.own_lines().join("\", \"");
            return Err(ConfError::wrong(format!(
                "is no line of this type of session_backend: its own are \"{own}\""
            )));
        }
        if args.all().is_empty() || (args.all().len() > 1 && name != "path") {
            return Err(ConfError::wrong("takes one value"));
        }
        let port = self.default_port();
        match name {
            "prefix" => once(&mut self.prefix, name_part(args)?),
            "suffix" => once(&mut self.suffix, name_part(args)?),
            "connect_timeout" => once(&mut self.connect_timeout, args.duration()?),
            "timeout" => once(&mut self.timeout, args.duration()?),
            "pool_size" => once(&mut self.pool_size, args.number(1..=1024)? as usize),
            "ssl" => once(&mut self.ssl, args.flag()?),
            "ssl_verify" => once(&mut self.ssl_verify, args.flag()?),
            "ssl_trusted_certificate" => once(&mut self.ssl_trusted_certificate, read_file(args)?),
            "ssl_name" => once(&mut self.ssl_name, text(args)?),
            "ssl_certificate" => once(&mut self.ssl_certificate, read_file(args)?),
            "ssl_certificate_key" => once(&mut self.ssl_certificate_key, read_file(args)?.into()),
            "username" => once(&mut self.username, text(args)?),
            "password" => once(&mut self.password, Secret::new(text(args)?)),
            "password_file" => once(&mut self.password, read_password(args)?),
            "server" => once(&mut self.server, server(args, port)?),
            "sentinel" => {
                self.sentinels.push(server(args, 26379)?);
                Ok(())
            }
            "node" => {
                self.nodes.push(server(args, port)?);
                Ok(())
            }
            "master" => once(&mut self.master, text(args)?),
            "role" => {
                let role = args.one_of(&[("master", Role::Master), ("slave", Role::Slave)])?;
                once(&mut self.role, role)
            }
            "sentinel_username" => once(&mut self.sentinel_username, text(args)?),
            "sentinel_password" => once(&mut self.sentinel_password, Secret::new(text(args)?)),
            "database" => once(&mut self.database, text(args)?),
            "table" => once(&mut self.table, text(args)?),
            "table_meta" => once(&mut self.table_meta, text(args)?),
            "application" => once(&mut self.application, text(args)?),
            "charset" => once(&mut self.charset, text(args)?),
            "size" => once(&mut self.size, args.size()?),
            "max_sessions" => once(&mut self.max_sessions, args.number(1..=u64::MAX)?),
            "evict" => once(
                &mut self.evict,
                args.one_of(&[("lru", true), ("off", false)])?,
            ),
            "state" => once(&mut self.state, args.full_path()?.into()),
            _ => once(&mut self.path, folder(args)?),
        }
    }

    fn default_port(&self) -> u16 {
        match self.kind {
            Kind::Memcached => 11211,
            Kind::Postgres => 5432,
            Kind::Mysql => 3306,
            Kind::Dshm => 4321,
            Kind::Shm | Kind::File | Kind::Redis => 6379,
        }
    }

    fn common(&self) -> Result<Common, ConfError> {
        let default = Common::default();
        Ok(Common {
            prefix: self.prefix.clone(),
            suffix: self.suffix.clone(),
            connect_timeout: self.connect_timeout.unwrap_or(default.connect_timeout),
            timeout: self.timeout.unwrap_or(default.timeout),
            pool_size: self.pool_size.unwrap_or(default.pool_size),
            tls: self.tls()?,
            username: self.username.clone(),
            password: self.password.clone(),
        })
    }

    fn tls(&self) -> Result<Option<Tls>, ConfError> {
        if !self.ssl.unwrap_or(false) {
            return Ok(None);
        }
        let identity = match (&self.ssl_certificate, &self.ssl_certificate_key) {
            (None, None) => None,
            (Some(chain), Some(key)) => Some((chain.clone(), key.clone())),
            _ => {
                return Err(ConfError::wrong(
                    "needs both \"ssl_certificate\" and \"ssl_certificate_key\", or neither",
                ));
            }
        };
        Ok(Some(Tls {
            verify: self.ssl_verify.unwrap_or(true),
            trusted: self.ssl_trusted_certificate.clone(),
            name: self.ssl_name.clone(),
            identity,
        }))
    }

    fn server(&self) -> Server {
        let host = "127.0.0.1".to_owned();
        self.server.clone().unwrap_or(Server::Tcp {
            host,
            port: self.default_port(),
        })
    }

    fn required(&self, value: &Option<String>, name: &str) -> Result<String, ConfError> {
        value
            .clone()
            .ok_or_else(|| ConfError::wrong(format!("needs a line \"{name}\"")))
    }

    fn redis(&self) -> Result<RedisConfig, ConfError> {
        let topology = match (
            self.server.is_some(),
            self.sentinels.is_empty(),
            self.nodes.is_empty(),
        ) {
            (_, true, true) => Topology::Single(self.server()),
            (false, false, true) => Topology::Sentinel {
                sentinels: self.sentinels.clone(),
                master: self.required(&self.master, "master")?,
                role: self.role.unwrap_or(Role::Master),
                username: self.sentinel_username.clone(),
                password: self.sentinel_password.clone(),
            },
            (false, true, false) => Topology::Cluster {
                nodes: self.nodes.clone(),
            },
            _ => {
                return Err(ConfError::wrong(
                    "takes lines of one kind: \"server\", \"sentinel\" or \"node\"",
                ));
            }
        };
        let database = match self.database.as_deref() {
            None => 0,
            Some(number) => number
                .parse()
                .ok()
                .filter(|number| *number >= 0)
                .ok_or_else(|| {
                    ConfError::wrong(format!("has database \"{number}\": allowed is a number"))
                })?,
        };
        Ok(RedisConfig {
            common: self.common()?,
            topology,
            database,
        })
    }

    /// A single server is asked on the loop. Who has to find out whom to ask has connections to several servers, and does
    /// that on the other thread.
    fn redis_store(&self) -> Result<Store, ConfError> {
        let wrong = |error: ConfigError| ConfError::wrong(error.to_string());
        let config = self.redis()?;
        Ok(match config.topology {
            Topology::Single(_) => {
                let redis = Redis::on(Arc::new(Loop), config).map_err(wrong)?;
                Store::OnLoop(Arc::new(redis))
            }
            _ => Store::Remote(Arc::new(Redis::new(config).map_err(wrong)?)),
        })
    }

    /// Makes the client; connections are made by the first operation.
    fn server_store(&self) -> Result<Store, ConfError> {
        let wrong = |error: ConfigError| ConfError::wrong(error.to_string());
        let database = || self.required(&self.database, "database");
        let table = |name: &Option<String>, default: &str| {
            name.clone().unwrap_or_else(|| default.to_owned())
        };
        Ok(Store::Remote(match self.kind {
            Kind::Redis => return self.redis_store(),
            Kind::Memcached => {
                let config = MemcachedConfig {
                    common: self.common()?,
                    server: self.server(),
                };
                Arc::new(Memcached::new(config).map_err(wrong)?)
            }
            Kind::Dshm => {
                let config = DshmConfig {
                    common: self.common()?,
                    server: self.server(),
                };
                Arc::new(Dshm::new(config).map_err(wrong)?)
            }
            Kind::Postgres => {
                let config = PostgresConfig {
                    common: self.common()?,
                    server: self.server(),
                    database: database()?,
                    table: table(&self.table, "sessions"),
                    table_meta: table(&self.table_meta, "sessions_meta"),
                    application: self.application.clone(),
                };
                Arc::new(Postgres::new(config).map_err(wrong)?)
            }
            Kind::Mysql => {
                let config = MysqlConfig {
                    common: self.common()?,
                    server: self.server(),
                    database: database()?,
                    table: table(&self.table, "sessions"),
                    table_meta: table(&self.table_meta, "sessions_meta"),
                    charset: self.charset.clone(),
                };
                Arc::new(Mysql::new(config).map_err(wrong)?)
            }
            Kind::Shm | Kind::File => self.files()?,
        }))
    }

    fn files(&self) -> Result<Arc<File>, ConfError> {
        let Some((path, levels)) = self.path.clone() else {
            return Err(ConfError::wrong("needs a line \"path\""));
        };
        let config = FileConfig {
            path,
            levels,
            prefix: self.prefix.clone(),
            suffix: self.suffix.clone(),
        };
        File::new(config)
            .map(Arc::new)
            .map_err(|error| ConfError::wrong(error.to_string()))
    }

    fn shm(&self, name: &str) -> ShmConfig {
        ShmConfig {
            name: name.to_owned(),
            size: self.size.unwrap_or(32 << 20),
            max_sessions: self.max_sessions,
            evict: self.evict.unwrap_or(true),
            state: self.state.clone(),
            prefix: self.prefix.clone(),
            suffix: self.suffix.clone(),
        }
    }
}

/// A prefix or suffix becomes part of keys and file names.
fn name_part(args: &Arguments) -> Result<String, ConfError> {
    let part = fixed_name(args.first())?;
    match part
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    {
        true => Ok(part.to_owned()),
        false => Err(ConfError::invalid(
            args.first(),
            "allowed are letters, digits and any of -_.:",
        )),
    }
}

fn text(args: &Arguments) -> Result<String, ConfError> {
    match utf8(args.first())? {
        "" => Err(ConfError::invalid(b"", "the value cannot be empty")),
        text => Ok(text.to_owned()),
    }
}

fn server(args: &Arguments, default_port: u16) -> Result<Server, ConfError> {
    Server::parse(utf8(args.first())?, default_port)
        .map_err(|error| ConfError::wrong(error.to_string()))
}

fn read_file(args: &Arguments) -> Result<Vec<u8>, ConfError> {
    let path = args.full_path()?;
    fs::read(&path).map_err(|error| ConfError::wrong(format!("\"{path}\" cannot be read: {error}")))
}

/// The first line of the file.
fn read_password(args: &Arguments) -> Result<Secret, ConfError> {
    let bytes = Zeroizing::new(read_file(args)?);
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    match core::str::from_utf8(line.trim_ascii_end()) {
        Ok("") | Err(_) => Err(ConfError::wrong(
            "names a file whose first line is no password",
        )),
        Ok(password) => Ok(Secret::new(password.to_owned())),
    }
}

/// `path folder [levels=1:2]`.
fn folder(args: &Arguments) -> Result<(PathBuf, Vec<u8>), ConfError> {
    let mut levels = Vec::new();
    for parameter in args.texts().skip(1) {
        let Some(list) = parameter
            .strip_prefix(b"levels=")
            .filter(|_| levels.is_empty())
        else {
            return Err(ConfError::unknown(parameter, "allowed is \"levels=\""));
        };
        for level in list.split(|byte| *byte == b':') {
            match level {
                b"1" => levels.push(1),
                b"2" => levels.push(2),
                _ => {
                    return Err(ConfError::invalid(
                        parameter,
                        "allowed are up to three of 1 and 2, as in \"levels=1:2\"",
                    ));
                }
            }
        }
        if levels.len() > 3 {
            return Err(ConfError::invalid(
                parameter,
                "allowed are up to three levels",
            ));
        }
    }
    Ok((args.full_path()?.into(), levels))
}

/// `session_backend NAME TYPE { … }`.
pub fn backend(_level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let name = fixed_name(args.first())?;
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        return Err(ConfError::invalid(
            args.first(),
            "allowed are letters, digits, \"_\" and \"-\"",
        ));
    }
    if name == "cookie" {
        return Err(ConfError::invalid(
            args.first(),
            "this is the name of the storage without a backend",
        ));
    }
    let cf = args.context();
    // SAFETY: the context is the one nginx handed to the directive, inside the http block.
    let main = unsafe { super::main_conf(cf) };
    if main.backends.iter().any(|other| other.name == name) {
        return Err(ConfError::wrong(format!("\"{name}\" is declared twice")));
    }
    let mut lines = Lines::new(Kind::parse(args.all()[1].as_bytes())?);
    // SAFETY: as above; `lines` outlives the parsing of the block.
    unsafe { read_block(cf, on_line, core::ptr::from_mut(&mut lines).cast()) }?;
    let mut files = None;
    let store = match lines.kind {
        Kind::Shm => {
            // SAFETY: as above.
            let zone = unsafe { crate::shm::declare(cf, lines.shm(name)) };
            Store::Shm(zone.map_err(|error| ConfError::wrong(error.to_string()))?)
        }
        Kind::File => {
            // SAFETY: as above.
            unsafe { add_path(cf, &lines) }?;
            let store = lines.files()?;
            files = Some(store.clone());
            Store::Remote(store)
        }
        _ => lines.server_store()?,
    };
    let timeout = lines.timeout.unwrap_or(Common::default().timeout);
    main.backends.push(Rc::new(Backend {
        name,
        timeout,
        store,
        files,
        not_reading: Cell::new(false),
        not_writing: Cell::new(false),
    }));
    Ok(())
}

/// Lets nginx make the folder at start, and give it to the workers' user.
///
/// # Safety
///
/// `cf` is live.
unsafe fn add_path(cf: *mut ngx_conf_t, lines: &Lines) -> Result<(), ConfError> {
    let Some((folder, _)) = &lines.path else {
        return Ok(());
    };
    let bytes = folder.as_os_str().as_bytes();
    let name = bytes.strip_suffix(b"/").unwrap_or(bytes);
    // SAFETY: by contract; nginx keeps the zeroed structure and the name, both in the configuration's pool.
    unsafe {
        let mut path = ngx_pcalloc((*cf).pool, size_of::<ngx_path_t>()).cast::<ngx_path_t>();
        let Some(name) = ngx_str_t::from_bytes((*cf).pool, name).filter(|_| !path.is_null()) else {
            return Err(ConfError::Logged);
        };
        (*path).name = name;
        if let Some(file) = (*cf).conf_file.as_ref() {
            (*path).conf_file = file.file.name.data;
            (*path).line = file.line;
        }
        match ngx_add_path(cf, &mut path) {
            rc if rc == NGX_OK as ngx_int_t => Ok(()),
            _ => Err(ConfError::Logged),
        }
    }
}

unsafe extern "C" fn on_line(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard_conf(|| {
        // SAFETY: nginx calls this with the live context; `read_block` passed the lines along.
        let (lines, args) = unsafe { (&mut *conf.cast::<Lines>(), Arguments::of(cf)) };
        let name = String::from_utf8_lossy(args.name()).into_owned();
        match lines.read(&name, &args) {
            Ok(()) => NGX_CONF_OK,
            Err(ConfError::Logged) => NGX_CONF_ERROR,
            Err(error) => {
                // SAFETY: as above.
                unsafe { conf_log(cf, &format!("\"{name}\" {error}")) };
                NGX_CONF_ERROR
            }
        }
    })
}
