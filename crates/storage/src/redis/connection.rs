//! A connection to one server.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_rustls::TlsConnector;

use super::batch::{Batch, Verb, Word};
use super::pipe::{Failure, Pipe, Replies};
use super::reply::Reply;
use super::{commands, fault};
use crate::config::Secret;
use crate::runtime::{Address, Runtime, Stream, within};
use crate::{Common, ConfigError, Deadline, Error, Server, Tls};

/// Who we are to a server, and the database we use there.
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: i64,
}

/// How connections are made.
pub(super) struct Settings {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) connect_timeout: Duration,
    /// A connection on which nobody is answered for so long is given up.
    pub(super) patience: Duration,
    pub(super) login: Login,
    tls: Option<(TlsConnector, Tls)>,
    /// The addresses that names had last.
    addresses: Mutex<HashMap<(String, u16), Vec<SocketAddr>>>,
}

impl Settings {
    pub(super) fn new(
        runtime: Arc<dyn Runtime>,
        common: &Common,
        login: Login,
    ) -> Result<Self, ConfigError> {
        let tls = match &common.tls {
            None => None,
            Some(tls) => Some((Arc::new(tls.client_config()?).into(), tls.clone())),
        };
        Ok(Self {
            runtime,
            connect_timeout: common.connect_timeout,
            patience: (common.timeout / 2).min(Duration::from_millis(100)),
            login,
            tls,
            addresses: Mutex::default(),
        })
    }

    fn addresses_of(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let known = self.known();
        known.get(&(host.to_owned(), port)).cloned()
    }

    fn keep_addresses(&self, host: &str, port: u16, addresses: &[SocketAddr]) {
        self.known()
            .insert((host.to_owned(), port), addresses.to_vec());
    }

    /// What a panic left behind is still a map.
    fn known(&self) -> MutexGuard<'_, HashMap<(String, u16), Vec<SocketAddr>>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on which the commands of many tasks are under way. It ends when the last one drops it.
pub(super) struct Connection {
    pipe: Pipe,
}

impl Connection {
    /// Connects and logs in, by the deadline.
    pub(super) async fn open(
        settings: &Settings,
        login: &Login,
        server: &Server,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let runtime = &settings.runtime;
        let opening = async {
            let stream = match server {
                Server::Unix(path) => runtime
                    .connect(Address::Unix(path.clone()))
                    .await
                    .map_err(|error| fault::broken(&error))?,
                Server::Tcp { host, port } => {
                    let stream = tcp(settings, host, *port, deadline).await?;
                    match &settings.tls {
                        None => stream,
                        Some((connector, tls)) => encrypt(connector, tls, host, stream).await?,
                    }
                }
            };
            Self::over(stream, settings, login, deadline).await
        };
        match within(runtime.as_ref(), deadline, opening).await {
            Ok(result) => result.map_err(|error| fault::from(server, error)),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// Says who we are and which database we use, and hears that the server answers at all.
    async fn over(
        stream: Box<dyn Stream>,
        settings: &Settings,
        login: &Login,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let (pipe, driver) = Pipe::new(stream, &settings.runtime);
        let batch = login.commands();
        // Before the driver runs: a server may say at once why it does not want us.
        let replies = pipe.ask(&batch, deadline);
        settings.runtime.spawn(Box::pin(driver));
        match replies.await {
            Ok(replies) => logged_in(&batch, replies)?,
            Err(Failure::Lost(error)) => return Err(error),
            Err(Failure::Late) => return Err(Error::Timeout),
        }
        Ok(Self { pipe })
    }

    /// It is of no use any more.
    pub(super) fn is_closed(&self) -> bool {
        self.pipe.has_ended()
    }

    /// Sends commands and waits for their replies.
    pub(super) async fn run(&self, batch: &Batch, deadline: Deadline) -> Result<Replies, Failure> {
        let replies = self.pipe.run(batch, deadline).await?;
        commands::check(batch, &replies).map_err(Failure::Lost)?;
        Ok(replies)
    }

    /// How long nobody was answered on it.
    pub(super) fn silence(&self) -> Duration {
        self.pipe.silence()
    }
}

/// Connects to the first address of the name that answers. Each gets its share of the time.
async fn tcp(
    settings: &Settings,
    host: &str,
    port: u16,
    deadline: Deadline,
) -> Result<Box<dyn Stream>, Error> {
    let runtime = settings.runtime.as_ref();
    let addresses = addresses(settings, host, port, deadline).await?;
    let mut result = Err(Error::Timeout);
    for (nth, address) in addresses.iter().enumerate() {
        let others = u32::try_from(addresses.len() - nth).unwrap_or(u32::MAX);
        let share = Deadline::after(deadline.left() / others);
        let stream = runtime.connect(Address::Tcp(*address));
        result = match within(runtime, share, stream).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Err(fault::broken(&error)),
            Err(_) => Err(Error::Timeout),
        };
    }
    result
}

/// The addresses of a name; the last ones, when nobody can say in time which they are now.
async fn addresses(
    settings: &Settings,
    host: &str,
    port: u16,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let known = settings.addresses_of(host, port);
    let limit = match &known {
        Some(_) => Deadline::after(deadline.left() / 2),
        None => deadline,
    };
    let runtime = settings.runtime.as_ref();
    let found = within(runtime, limit, runtime.resolve(host.to_owned(), port)).await;
    match (found, known) {
        (Ok(Ok(addresses)), _) if !addresses.is_empty() => {
            settings.keep_addresses(host, port, &addresses);
            Ok(addresses)
        }
        (_, Some(known)) => Ok(known),
        (Ok(Ok(_)), None) => Err(Error::Unavailable(format!(
            "the name \"{host}\" has no address"
        ))),
        (Ok(Err(error)), None) => Err(Error::Unavailable(format!(
            "the name \"{host}\" has no address: {error}"
        ))),
        (Err(_), None) => Err(Error::Timeout),
    }
}

async fn encrypt(
    connector: &TlsConnector,
    tls: &Tls,
    host: &str,
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, Error> {
    let name = tls.server_name(host);
    let name = name.map_err(|error| Error::Refused(error.to_string()))?;
    let stream = connector.connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| fault::broken(&error))?))
}

fn logged_in(batch: &Batch, replies: Replies) -> Result<(), Error> {
    commands::check(batch, &replies)?;
    for reply in replies {
        match reply {
            // A user who may not PING is known to the server.
            Reply::Error(error) if error.code() != "NOPERM" => {
                return Err(fault::refused_at_login(&error));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Login {
    fn commands(&self) -> Batch {
        let mut batch = Batch::default();
        let password = self.password.as_ref().map_or("", Secret::expose);
        let password = Word::Text(password);
        match &self.username {
            Some(username) => batch.push(Verb::Auth, &[Word::Text(username), password]),
            None if self.password.is_some() => batch.push(Verb::Auth, &[password]),
            None => {}
        }
        if let Ok(database @ 1..) = u64::try_from(self.database) {
            batch.push(Verb::Select, &[Word::Number(database)]);
        }
        batch.push(Verb::Ping, &[]);
        batch
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::runtime::{Tokio, Work};

    /// A resolver that knows a name until it is told to forget it.
    struct Resolver {
        fails: AtomicBool,
        hangs: AtomicBool,
    }

    impl Runtime for Resolver {
        fn connect(&self, to: Address) -> Work<io::Result<Box<dyn Stream>>> {
            Tokio.connect(to)
        }

        fn resolve(&self, _: String, port: u16) -> Work<io::Result<Vec<SocketAddr>>> {
            if self.hangs.load(Ordering::Relaxed) {
                return Box::pin(std::future::pending());
            }
            let fails = self.fails.load(Ordering::Relaxed);
            Box::pin(async move {
                match fails {
                    true => Err(io::Error::other("no name server answers")),
                    false => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
                }
            })
        }

        fn spawn(&self, work: Work<()>) {
            Tokio.spawn(work);
        }

        fn sleep(&self, until: Deadline) -> Work<()> {
            Tokio.sleep(until)
        }
    }

    #[tokio::test]
    async fn the_last_addresses_of_a_name_are_good_while_nobody_knows_others() {
        let resolver = Arc::new(Resolver {
            fails: AtomicBool::new(true),
            hangs: AtomicBool::new(false),
        });
        let login = Login {
            username: None,
            password: None,
            database: 0,
        };
        let settings = Settings::new(resolver.clone(), &Common::default(), login).unwrap();
        let find = || {
            addresses(
                &settings,
                "name",
                7,
                Deadline::after(Duration::from_millis(200)),
            )
        };
        let Err(Error::Unavailable(text)) = find().await else {
            panic!("an address of a name that nobody knows");
        };
        assert!(text.contains("no name server answers"), "{text}");
        resolver.hangs.store(true, Ordering::Relaxed);
        assert_eq!(find().await, Err(Error::Timeout));
        resolver.hangs.store(false, Ordering::Relaxed);
        resolver.fails.store(false, Ordering::Relaxed);
        let found = find().await.unwrap();
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 7))]);
        resolver.fails.store(true, Ordering::Relaxed);
        assert_eq!(find().await.as_ref(), Ok(&found));
        resolver.hangs.store(true, Ordering::Relaxed);
        assert_eq!(find().await.as_ref(), Ok(&found));
    }
}
