//! The way to a server: its connection, made when it is needed and made again when it is lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::batch::Batch;
use super::connection::{Connection, Settings};
use super::pipe::{Failure, Replies};
use super::reply::Reply;
use super::sentinel::Sentinels;
use crate::runtime::within;
use crate::{Deadline, Error, Server};

/// Who is at the other end.
pub(super) enum Target {
    /// This server.
    Server(Server),
    /// The master, as sentinels say.
    Master(Arc<Sentinels>),
    /// A replica, as sentinels say.
    Replica(Arc<Sentinels>),
}

/// The way to a server.
pub(super) struct Link {
    target: Target,
    settings: Arc<Settings>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// The attempt to connect that is under way; all who need the connection wait for it.
    attempt: Option<Attempt>,
    outage: Option<Outage>,
}

/// An attempt to connect.
type Attempt = watch::Receiver<Option<Outcome>>;

type Outcome = Result<Arc<Connection>, Error>;

/// The server is away.
struct Outage {
    error: Error,
    next_attempt: Instant,
    pause: Duration,
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

enum Way {
    Open(Arc<Connection>),
    Opening(Attempt),
    Closed(Error),
}

impl Link {
    pub(super) fn new(target: Target, settings: Arc<Settings>) -> Self {
        Self {
            target,
            settings,
            state: Mutex::default(),
        }
    }

    /// Sends commands and waits for a reply to each. Where the connection is lost meanwhile it does so once more over a new one:
    /// all our commands may be done twice.
    pub(super) async fn run(
        self: &Arc<Self>,
        batch: &Batch,
        deadline: Deadline,
    ) -> Result<Replies, Error> {
        let first = match self.try_once(batch, deadline).await {
            Try::Done(result) => return result,
            Try::Again(first) => first,
        };
        // In a box, like all that happens seldom: every request has room for what is not.
        match Box::pin(self.try_once(batch, deadline)).await {
            Try::Done(Err(Error::Timeout)) if !deadline.is_over() => first,
            Try::Done(result) | Try::Again(result) => result,
        }
    }

    async fn try_once(self: &Arc<Self>, batch: &Batch, deadline: Deadline) -> Try {
        let connection = match self.way() {
            Way::Open(connection) => connection,
            Way::Closed(error) => return Try::Done(Err(error)),
            Way::Opening(attempt) => match Box::pin(self.opened(attempt, deadline)).await {
                Ok(connection) => connection,
                Err(error) => return Try::Done(Err(error)),
            },
        };
        match connection.run(batch, deadline).await {
            Ok(replies) if replies.iter().any(is_demoted) => {
                self.discard(&connection);
                Try::Again(Ok(replies))
            }
            Ok(replies) => Try::Done(Ok(replies)),
            Err(Failure::Lost(error)) => {
                self.discard(&connection);
                Try::Again(Err(error))
            }
            Err(Failure::Late) => {
                if connection.silence() >= self.settings.patience {
                    self.discard(&connection);
                }
                Try::Done(Err(Error::Timeout))
            }
        }
    }

    /// There is a connection, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        let state = self.lock();
        state
            .connection
            .as_ref()
            .is_some_and(|connection| !connection.is_closed())
    }

    async fn opened(&self, mut attempt: Attempt, deadline: Deadline) -> Outcome {
        let outcome = attempt.wait_for(Option::is_some);
        let given_up = || Error::Unavailable("the attempt to connect was given up".to_owned());
        match within(self.settings.runtime.as_ref(), deadline, outcome).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(given_up())),
            Ok(Err(_)) => Err(given_up()),
            Err(_) => Err(Error::Timeout),
        }
    }

    fn way(self: &Arc<Self>) -> Way {
        let mut state = self.lock();
        if let Some(connection) = state
            .connection
            .take_if(|connection| connection.is_closed())
        {
            drop(connection);
        }
        if let Some(connection) = &state.connection {
            return Way::Open(connection.clone());
        }
        if let Some(attempt) = state.attempt_under_way() {
            // In an outage one waits to see whether it is over, the others need not.
            return match &state.outage {
                Some(outage) if outage.error == Error::Timeout => Way::Closed(Error::Timeout),
                _ => Way::Opening(attempt),
            };
        }
        match &state.outage {
            Some(outage) if Instant::now() < outage.next_attempt => {
                Way::Closed(outage.error.clone())
            }
            _ => Way::Opening(self.begin(&mut state)),
        }
    }

    /// Starts to connect. It goes on when the request that wanted it goes away.
    fn begin(self: &Arc<Self>, state: &mut State) -> Attempt {
        let (sender, attempt) = watch::channel(None);
        state.attempt = Some(attempt.clone());
        let link = self.clone();
        self.settings.runtime.spawn(Box::pin(async move {
            let outcome = link.connect().await.map(Arc::new);
            link.settle(&outcome);
            sender.send_replace(Some(outcome));
        }));
        attempt
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let deadline = Deadline::after(self.settings.connect_timeout);
        let settings = &self.settings;
        match &self.target {
            Target::Server(server) => {
                Connection::open(settings, &settings.login, server, deadline).await
            }
            Target::Master(sentinels) => sentinels.master(settings, deadline).await,
            Target::Replica(sentinels) => sentinels.replica(settings, deadline).await,
        }
    }

    fn settle(&self, outcome: &Outcome) {
        let mut state = self.lock();
        state.attempt = None;
        match outcome {
            Ok(connection) => {
                state.connection = Some(connection.clone());
                state.outage = None;
            }
            Err(error) => {
                let pause = match &state.outage {
                    Some(outage) => (outage.pause * 2).min(LONGEST_PAUSE),
                    None => FIRST_PAUSE,
                };
                state.outage = Some(Outage {
                    error: error.clone(),
                    next_attempt: Instant::now() + pause,
                    pause,
                });
            }
        }
    }

    /// Has the next one who needs a connection make another.
    fn discard(&self, connection: &Arc<Connection>) {
        let mut state = self.lock();
        if let Some(current) = &state.connection {
            if Arc::ptr_eq(current, connection) {
                state.connection = None;
            }
        }
    }

    /// What a panic left behind is still a state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn attempt_under_way(&self) -> Option<Attempt> {
        // Its task may have been dropped together with its runtime.
        let attempt = self.attempt.as_ref();
        attempt
            .filter(|attempt| attempt.has_changed().is_ok())
            .cloned()
    }
}

enum Try {
    Done(Result<Replies, Error>),
    /// Another connection may do better; this is the result when none does.
    Again(Result<Replies, Error>),
}

/// What was a master is a replica now; the master is found by connecting anew.
fn is_demoted(reply: &Reply) -> bool {
    match reply {
        Reply::Error(error) => error.code() == "READONLY",
        Reply::List(replies) => replies.iter().any(is_demoted),
        _ => false,
    }
}
