//! Connections that take turns, for protocols that do one thing at a time on a connection.
//!
//! Work runs in a task of its own: a request that goes away, or a client that panics at nonsense from the server, costs nobody
//! else a connection in an unknown state.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{timeout, timeout_at};

use crate::{Common, Deadline, Error};

/// Operations that may wait for a connection.
const QUEUE: usize = 1024;
/// A connection that was idle for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// The time to the next attempt after a failed one; it doubles up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// What failed while a connection was in use.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The work. The connection is as good as before.
    Failed(Error),
    /// The work, and doing it again may help.
    Again(Error),
    /// The connection.
    Lost(Error),
}

/// Work on a connection. It may be done twice, where a kept connection turned out to be dead.
pub(crate) trait Job<T>: Send + Sync + 'static {
    /// What it is done for.
    type Output: Send + 'static;

    /// Does it.
    fn on(&self, connection: &mut T) -> impl Future<Output = Result<Self::Output, Trouble>> + Send;
}

/// Makes connections.
pub(crate) trait Connector: Send + Sync + 'static {
    /// A connection, ready for work.
    type Connection: Send + 'static;

    /// Makes one. The pool limits the time.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Error>> + Send;

    /// Nothing is known to be wrong with it.
    fn is_open(connection: &Self::Connection) -> bool;
}

/// The connections of one worker to one server.
pub(crate) struct Pool<C: Connector>(Arc<Shared<C>>);

impl<C: Connector> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<C: Connector> {
    connector: C,
    size: usize,
    connect_timeout: Duration,
    state: Mutex<State<C>>,
}

struct State<C: Connector> {
    /// The one used last is at the end, and taken first.
    idle: VecDeque<Idle<C::Connection>>,
    waiting: VecDeque<oneshot::Sender<Result<Lease<C>, Error>>>,
    /// Connections that are idle, in use or being made.
    open: usize,
    /// Those being made.
    connecting: usize,
    /// Since the last attempt failed.
    outage: Option<Outage>,
}

struct Idle<T> {
    connection: T,
    since: Instant,
}

struct Outage {
    error: Error,
    retry_at: Instant,
    delay: Duration,
}

impl<C: Connector> Pool<C> {
    pub(crate) fn new(connector: C, common: &Common) -> Self {
        Self(Arc::new(Shared {
            connector,
            size: common.pool_size.max(1),
            connect_timeout: common.connect_timeout,
            state: Mutex::new(State {
                idle: VecDeque::new(),
                waiting: VecDeque::new(),
                open: 0,
                connecting: 0,
                outage: None,
            }),
        }))
    }

    /// Operations wait for a connection.
    pub(crate) fn is_busy(&self) -> bool {
        !self.0.lock().waiting.is_empty()
    }

    /// Does the job on a connection as soon as there is one.
    ///
    /// # Errors
    /// When there is none, the deadline passes, or the job fails.
    pub(crate) async fn run<J>(&self, deadline: Deadline, job: J) -> Result<J::Output, Error>
    where
        J: Job<C::Connection>,
    {
        let job = Arc::new(job);
        let result = match self.attempt(deadline, job.clone()).await {
            Err(Attempt::Again(_)) => self.attempt(deadline, job).await,
            result => result,
        };
        result.map_err(|(Attempt::Again(error) | Attempt::Failed(error))| error)
    }

    async fn attempt<J>(&self, deadline: Deadline, job: Arc<J>) -> Result<J::Output, Attempt>
    where
        J: Job<C::Connection>,
    {
        let lease = self.0.lease(deadline).await.map_err(Attempt::Failed)?;
        match tokio::spawn(lease.work(deadline, job)).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(Attempt::Failed(confused())),
            Err(_) => Err(Attempt::Failed(Error::Cancelled)),
        }
    }
}

/// How an attempt failed.
enum Attempt {
    Failed(Error),
    Again(Error),
}

fn confused() -> Error {
    Error::BadReply("it broke the rules of its protocol".into())
}

/// A connection on loan. Dropped before work began it goes back to the pool; dropped in the middle of it, it is closed.
struct Lease<C: Connector> {
    shared: Arc<Shared<C>>,
    connection: Option<C::Connection>,
    /// It has done work before.
    is_old: bool,
    in_use: bool,
}

impl<C: Connector> Lease<C> {
    async fn work<J>(mut self, deadline: Deadline, job: Arc<J>) -> Result<J::Output, Attempt>
    where
        J: Job<C::Connection>,
    {
        let (began, is_old) = (Instant::now(), self.is_old);
        let Some(connection) = self.connection.as_mut() else {
            return Err(Attempt::Failed(Error::Cancelled));
        };
        self.in_use = true;
        let result = timeout_at(deadline.instant().into(), job.on(connection)).await;
        self.in_use = !matches!(
            result,
            Ok(Ok(_) | Err(Trouble::Failed(_) | Trouble::Again(_)))
        );
        if self.in_use {
            // The others may well have met the same fate: all that are idle, or those that have been since this one was asked.
            let is_lost = matches!(result, Ok(Err(_)));
            self.shared
                .forget_idle(if is_lost { Instant::now() } else { began });
        }
        match result {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Trouble::Failed(error))) => Err(Attempt::Failed(error)),
            Ok(Err(Trouble::Again(error))) => Err(Attempt::Again(error)),
            Ok(Err(Trouble::Lost(error))) if is_old => Err(Attempt::Again(error)),
            Ok(Err(Trouble::Lost(error))) => Err(Attempt::Failed(error)),
            Err(_) => Err(Attempt::Failed(Error::Timeout)),
        }
    }
}

impl<C: Connector> Drop for Lease<C> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            match !self.in_use && C::is_open(&connection) {
                true => self.shared.take_back(connection),
                false => self.shared.closed(1),
            }
        }
    }
}

impl<C: Connector> Shared<C> {
    /// What a panic left behind still counts right: nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lease(self: &Arc<Self>, deadline: Deadline) -> Result<Lease<C>, Error> {
        if deadline.is_over() {
            return Err(Error::Timeout);
        }
        if let Some(connection) = self.pop_idle() {
            return Ok(self.lend(connection, true));
        }
        let turn = self.queue_up()?;
        match timeout_at(deadline.instant().into(), turn).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(_)) => Err(Error::Cancelled),
            Err(_) => Err(Error::Timeout),
        }
    }

    fn lend(self: &Arc<Self>, connection: C::Connection, is_old: bool) -> Lease<C> {
        Lease {
            shared: self.clone(),
            connection: Some(connection),
            is_old,
            in_use: false,
        }
    }

    fn pop_idle(&self) -> Option<C::Connection> {
        let mut state = self.lock();
        while let Some(Idle { connection, .. }) = state.idle.pop_back() {
            if C::is_open(&connection) {
                return Some(connection);
            }
            state.open -= 1;
        }
        None
    }

    fn queue_up(self: &Arc<Self>) -> Result<oneshot::Receiver<Result<Lease<C>, Error>>, Error> {
        let mut state = self.lock();
        if let Some(error) = state.hopeless() {
            return Err(error);
        }
        if state.waiting.len() >= QUEUE {
            state.waiting.retain(|turn| !turn.is_closed());
        }
        if state.waiting.len() >= QUEUE {
            return Err(Error::Unavailable(format!(
                "all connections are busy and {QUEUE} operations wait already; see its pool_size line"
            )));
        }
        let (turn, receiver) = oneshot::channel();
        state.waiting.push_back(turn);
        self.grow(&mut state);
        Ok(receiver)
    }

    /// Starts connections for the operations that wait; during an outage one at a time.
    fn grow(self: &Arc<Self>, state: &mut State<C>) {
        while state.connecting < state.waiting.len() && state.may_connect(self.size) {
            state.open += 1;
            state.connecting += 1;
            tokio::spawn(self.clone().connect());
        }
    }

    async fn connect(self: Arc<Self>) {
        let shared = self.clone();
        let limit = self.connect_timeout;
        let task = tokio::spawn(async move { timeout(limit, shared.connector.connect()).await });
        let result = match task.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Timeout),
            Err(error) if error.is_panic() => Err(confused()),
            Err(_) => Err(Error::Cancelled),
        };
        match result {
            Ok(connection) => self.connected(connection),
            Err(error) => self.failed(error),
        }
    }

    fn connected(self: &Arc<Self>, connection: C::Connection) {
        let mut state = self.lock();
        state.connecting -= 1;
        state.outage = None;
        self.hand_over(&mut state, connection, false);
        // Those that waited for this one attempt need not share its connection.
        self.grow(&mut state);
    }

    fn failed(&self, error: Error) {
        let mut state = self.lock();
        state.connecting -= 1;
        state.open -= 1;
        state.note_outage(error);
        state.give_up_if_hopeless();
    }

    fn take_back(self: &Arc<Self>, connection: C::Connection) {
        let mut state = self.lock();
        self.hand_over(&mut state, connection, true);
    }

    fn closed(self: &Arc<Self>, number: usize) {
        let mut state = self.lock();
        state.open -= number;
        self.grow(&mut state);
        state.give_up_if_hopeless();
    }

    /// To the first that still waits, or to those that are idle.
    fn hand_over(
        self: &Arc<Self>,
        state: &mut State<C>,
        mut connection: C::Connection,
        is_old: bool,
    ) {
        while let Some(turn) = state.waiting.pop_front() {
            match turn.send(Ok(self.lend(connection, is_old))) {
                Ok(()) => return,
                // Nobody waits there any more. The lease must not be dropped as it is: that would lock again.
                Err(Ok(mut lease)) => match lease.connection.take() {
                    Some(back) => connection = back,
                    None => return,
                },
                Err(Err(_)) => return,
            }
        }
        let since = Instant::now();
        state.idle.push_back(Idle { connection, since });
        while state.idle.len() > 1 && state.idle[0].since.elapsed() > IDLE {
            state.idle.pop_front();
            state.open -= 1;
        }
    }

    /// Closes what has been idle since `time` or longer.
    fn forget_idle(self: &Arc<Self>, time: Instant) {
        let mut state = self.lock();
        let fresh = state.idle.partition_point(|idle| idle.since <= time);
        let old: Vec<_> = state.idle.drain(..fresh).collect();
        drop(state);
        self.closed(old.len());
    }
}

impl<C: Connector> State<C> {
    /// As many at once as there are already: a burst of requests is no burst of log-ins, of which a server with few places left
    /// might refuse all.
    fn may_connect(&self, size: usize) -> bool {
        let at_once = (self.open - self.connecting).max(1);
        self.open < size
            && match &self.outage {
                None => self.connecting < at_once,
                Some(outage) => self.connecting == 0 && outage.retry_at <= Instant::now(),
            }
    }

    /// During an outage nobody waits but the one operation that tries again.
    fn hopeless(&self) -> Option<Error> {
        let outage = self.outage.as_ref()?;
        let nothing_left = self.open == self.connecting;
        let not_yet = self.connecting > 0 || outage.retry_at > Instant::now();
        (nothing_left && not_yet).then(|| outage.error.clone())
    }

    fn note_outage(&mut self, error: Error) {
        let now = Instant::now();
        let delay = match &self.outage {
            // One of several attempts that were under way at once.
            Some(outage) if outage.retry_at > now => return,
            Some(outage) => (outage.delay * 2).min(BACK_OFF.1),
            None => BACK_OFF.0,
        };
        self.outage = Some(Outage {
            error,
            retry_at: now + delay,
            delay,
        });
    }

    fn give_up_if_hopeless(&mut self) {
        if self.open > 0 {
            return;
        }
        if let Some(error) = self.hopeless() {
            for turn in self.waiting.drain(..) {
                // Who has gone needs no answer.
                let _ = turn.send(Err(error.clone()));
            }
        }
    }
}
