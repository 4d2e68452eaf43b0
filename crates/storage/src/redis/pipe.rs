//! A stream on which the commands of many tasks are under way.
//!
//! A server answers in the order in which it was asked, so all it takes is a queue of those who wait. What is asked in one turn
//! of the loop goes in one write, unless that is much, and one read takes all replies that have come. redis-rs has a connection of this
//! kind too, with a channel there, one back, and a buffer for each command, and took longer on nginx's loop.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::batch::Batch;
use super::fault;
use super::reply::{Decoder, Malformed, Reply};
use crate::runtime::{Runtime, Stream, Work, within};
use crate::{Deadline, Error};

/// Bytes that may wait to be written. Who has more waits until there are less.
const CROWDED: usize = 1 << 20;
/// So much is not kept until the end of the turn: the server can begin meanwhile, and when hundreds ask in one turn, the first
/// need not wait for the last.
const MUCH: usize = 64 << 10;
const MANY: usize = 64;
/// Room that is kept for the next commands.
const KEPT: usize = 2 * MUCH;

/// Why commands have no reply.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The connection is of no use any more. What became of the commands is unknown.
    Lost(Error),
    /// The time is over.
    Late,
}

/// The replies to a batch.
pub(super) type Replies = SmallVec<[Reply; 1]>;

type Outcome = Result<Replies, Failure>;

/// Where commands go in and replies come out. Dropping it closes the stream.
pub(super) struct Pipe {
    shared: Arc<Mutex<Shared>>,
    runtime: Arc<dyn Runtime>,
}

struct Shared {
    /// None once it has ended.
    stream: Option<Box<dyn Stream>>,
    /// Commands to be written; the first bytes of it may have been.
    commands: Vec<u8>,
    written: usize,
    is_flushed: bool,
    /// Batches that were taken since the last write.
    fresh: usize,
    /// The places of those who ask. They are used again, so nothing is allocated for most.
    places: Vec<Place>,
    free: Vec<usize>,
    /// The places that replies are still to come for, in the order of their commands.
    asked: VecDeque<usize>,
    /// Those who wait for less to be written.
    crowd: Vec<Waker>,
    driver: Option<Waker>,
    /// The driver waits for something to write.
    is_idle: bool,
    /// When the driver looks for those whose time is over.
    alarm: Option<Deadline>,
    is_alarm_new: bool,
    last_answer: Instant,
    end: Option<Error>,
}

/// Where the replies to a batch are gathered, and fetched.
struct Place {
    replies: Replies,
    missing: usize,
    deadline: Deadline,
    state: State,
}

enum State {
    /// Somebody waits, and is woken by this.
    Waiting(Option<Waker>),
    /// It is to be fetched. Replies may still come, if the time was over before.
    Done(Outcome),
    /// Nobody wants the replies any more.
    Left,
}

impl Pipe {
    /// Returns the driver too, which writes and reads; the pipe works while that is run.
    pub(super) fn new(stream: Box<dyn Stream>, runtime: &Arc<dyn Runtime>) -> (Self, Driver) {
        let pipe = Self {
            shared: Arc::new(Mutex::new(Shared::new(stream))),
            runtime: runtime.clone(),
        };
        let driver = Driver {
            shared: pipe.shared.clone(),
            runtime: runtime.clone(),
            decoder: Decoder::new(),
            gave_way: false,
            sleep: None,
        };
        (pipe, driver)
    }

    /// Sends commands and waits for a reply to each.
    pub(super) async fn run(&self, batch: &Batch, deadline: Deadline) -> Outcome {
        if self.is_crowded() {
            let room = within(self.runtime.as_ref(), deadline, self.room());
            Box::pin(room).await.map_err(|_| Failure::Late)?;
        }
        self.ask(batch, deadline).await
    }

    /// Has commands sent. What it returns waits for their replies.
    pub(super) fn ask(&self, batch: &Batch, deadline: Deadline) -> Asking<'_> {
        let place = lock(&self.shared).ask(batch, deadline);
        Asking { pipe: self, place }
    }

    /// The other side has closed the stream, or nothing can be understood any more.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.shared).end.is_some()
    }

    /// How long ago the last batch was answered.
    pub(super) fn silence(&self) -> Duration {
        lock(&self.shared).last_answer.elapsed()
    }

    fn is_crowded(&self) -> bool {
        lock(&self.shared).is_crowded()
    }

    async fn room(&self) {
        poll_fn(|context| {
            let mut shared = lock(&self.shared);
            if !shared.is_crowded() {
                return Poll::Ready(());
            }
            shared.crowd.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        let closed = || Error::Unavailable("the connection was closed".to_owned());
        shared.end.get_or_insert_with(closed);
        shared.wake_driver();
    }
}

/// Replies to come.
pub(super) struct Asking<'p> {
    pipe: &'p Pipe,
    /// None once they were fetched.
    place: Result<usize, Option<Failure>>,
}

impl Future for Asking<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Ok(place) = self.place {
            let outcome = ready!(lock(&self.pipe.shared).fetch(place, context));
            self.place = Err(None);
            return Poll::Ready(outcome);
        }
        let fetched = Failure::Lost(Error::Cancelled);
        let place = mem::replace(&mut self.place, Err(None));
        Poll::Ready(Err(place.err().flatten().unwrap_or(fetched)))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Ok(place) = self.place {
            lock(&self.pipe.shared).leave(place);
        }
    }
}

impl Shared {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream: Some(stream),
            commands: Vec::new(),
            written: 0,
            is_flushed: true,
            fresh: 0,
            places: Vec::new(),
            free: Vec::new(),
            asked: VecDeque::new(),
            crowd: Vec::new(),
            driver: None,
            is_idle: false,
            alarm: None,
            is_alarm_new: false,
            last_answer: Instant::now(),
            end: None,
        }
    }

    fn is_crowded(&self) -> bool {
        self.end.is_none() && self.unwritten() >= CROWDED
    }

    fn unwritten(&self) -> usize {
        self.commands.len() - self.written
    }

    fn wake_driver(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// Takes commands to be written. Returns the place where the replies will be.
    fn ask(&mut self, batch: &Batch, deadline: Deadline) -> Result<usize, Option<Failure>> {
        if let Some(end) = &self.end {
            return Err(Some(Failure::Lost(end.clone())));
        }
        self.commands.extend_from_slice(batch.bytes());
        let place = self.place(batch.len(), deadline);
        self.asked.push_back(place);
        if self.alarm.is_none_or(|alarm| deadline < alarm) {
            self.alarm = Some(deadline);
            self.is_alarm_new = true;
        }
        if mem::take(&mut self.is_idle) || self.is_alarm_new {
            self.wake_driver();
        }
        self.fresh += 1;
        if self.fresh >= MANY || self.unwritten() >= MUCH {
            self.write_early();
        }
        Ok(place)
    }

    fn place(&mut self, missing: usize, deadline: Deadline) -> usize {
        let place = Place {
            replies: Replies::with_capacity(missing),
            missing,
            deadline,
            state: State::Waiting(None),
        };
        match self.free.pop() {
            Some(free) => {
                self.places[free] = place;
                free
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        }
    }

    fn fetch(&mut self, at: usize, context: &Context<'_>) -> Poll<Outcome> {
        let place = &mut self.places[at];
        if let State::Waiting(waker) = &mut place.state {
            match waker {
                Some(waker) if waker.will_wake(context.waker()) => {}
                waker => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        match self.leave(at) {
            State::Done(outcome) => Poll::Ready(outcome),
            State::Waiting(_) | State::Left => Poll::Ready(Err(Failure::Lost(Error::Cancelled))),
        }
    }

    /// Nobody comes to this place any more.
    fn leave(&mut self, at: usize) -> State {
        let place = &mut self.places[at];
        let state = mem::replace(&mut place.state, State::Left);
        if place.missing == 0 {
            self.free.push(at);
        }
        state
    }

    /// Gives a reply to whom it is for.
    fn deliver(&mut self, reply: Reply) -> Result<(), Error> {
        let Some(at) = self.asked.front().copied() else {
            return Err(unasked(&reply));
        };
        let place = &mut self.places[at];
        place.replies.push(reply);
        place.missing -= 1;
        if place.missing == 0 {
            self.asked.pop_front();
            let replies = mem::take(&mut self.places[at].replies);
            self.settle(at, Ok(replies));
        }
        Ok(())
    }

    /// Tells who waits at a place, or is to come there, how it went.
    fn settle(&mut self, at: usize, outcome: Outcome) {
        let place = &mut self.places[at];
        match &mut place.state {
            State::Waiting(waker) => {
                let waker = waker.take();
                place.state = State::Done(outcome);
                wake(waker);
            }
            State::Done(_) => {}
            State::Left if place.missing == 0 => self.free.push(at),
            State::Left => {}
        }
    }

    /// Tells those whose time is over. Returns when the next one's will be.
    fn tell_late(&mut self) -> Option<Deadline> {
        let mut next: Option<Deadline> = None;
        for nth in 0..self.asked.len() {
            let at = self.asked[nth];
            let deadline = self.places[at].deadline;
            if deadline.is_over() {
                self.settle(at, Err(Failure::Late));
            } else {
                next = Some(next.map_or(deadline, |next| next.min(deadline)));
            }
        }
        next
    }

    /// Writes what it can. The rest is for the driver, and so is an error.
    fn write_early(&mut self) {
        let Some(driver) = self.driver.clone() else {
            return;
        };
        if let Poll::Ready(Err(_)) = self.poll_write(&mut Context::from_waker(&driver)) {
            driver.wake();
        }
    }

    /// Writes all commands.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fresh = 0;
        let written = self.poll_write_commands(context);
        self.forget_written();
        ready!(written)?;
        if let Some(stream) = self.stream.as_mut().filter(|_| !self.is_flushed) {
            ready!(Pin::new(stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_commands(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        while self.written < self.commands.len() {
            let rest = &self.commands[self.written..];
            match ready!(Pin::new(&mut *stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
            self.is_flushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Makes room for commands to come.
    fn forget_written(&mut self) {
        if self.unwritten() == 0 {
            self.commands.clear();
            self.commands.shrink_to(KEPT);
            self.written = 0;
        } else if self.written >= CROWDED {
            self.commands.drain(..self.written);
            self.written = 0;
        }
        if !self.is_crowded() {
            self.crowd.drain(..).for_each(Waker::wake);
        }
    }

    fn end(&mut self, error: &Error) {
        let error = self.end.get_or_insert_with(|| error.clone()).clone();
        for at in mem::take(&mut self.asked) {
            self.places[at].missing = 0;
            self.settle(at, Err(Failure::Lost(error.clone())));
        }
        self.commands = Vec::new();
        self.written = 0;
        self.stream = None;
        self.crowd.drain(..).for_each(Waker::wake);
    }
}

/// A server may say why it does not want us before it is asked anything.
fn unasked(reply: &Reply) -> Error {
    match reply {
        Reply::Error(error) => fault::refused(error),
        _ => Error::BadReply("replies that nobody asked for".to_owned()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What a panic left behind is still a state.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes commands and reads replies, until one side closes the stream.
pub(super) struct Driver {
    shared: Arc<Mutex<Shared>>,
    runtime: Arc<dyn Runtime>,
    decoder: Decoder,
    /// It has let others run before it writes.
    gave_way: bool,
    sleep: Option<Work<()>>,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let ended = self.go_on(context);
        let mut shared = lock(&self.shared);
        match ended {
            Ok(()) if shared.end.is_none() => Poll::Pending,
            Ok(()) => {
                shared.end(&Error::Cancelled);
                Poll::Ready(())
            }
            Err(error) => {
                shared.end(&error);
                Poll::Ready(())
            }
        }
    }
}

impl Driver {
    fn go_on(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        let shared = self.shared.clone();
        let mut shared = lock(&shared);
        match &mut shared.driver {
            Some(driver) => driver.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        let mut has_delivered = false;
        while let Poll::Ready(read) = self.poll_read(&mut shared, context) {
            self.deliver(&mut shared, read.map_err(|error| fault::broken(&error))?)?;
            has_delivered = true;
        }
        // Those who have their replies may ask again at once: then that goes in one write with what others ask.
        self.gave_way = has_delivered && !self.gave_way;
        if self.gave_way {
            context.waker().wake_by_ref();
        } else if let Poll::Ready(written) = shared.poll_write(context) {
            written.map_err(|error| fault::broken(&error))?;
            shared.is_idle = true;
        }
        self.mind_deadlines(&mut shared, context);
        Ok(())
    }

    fn poll_read(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut shared.stream else {
            return Poll::Pending;
        };
        let mut buffer = ReadBuf::new(self.decoder.room());
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        let count = buffer.filled().len();
        Poll::Ready(Ok(count))
    }

    fn deliver(&mut self, shared: &mut Shared, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Err(Error::Unavailable("it closed the connection".to_owned()));
        }
        self.decoder.filled(count);
        let no_reply = |Malformed| Error::BadReply("it is not Redis, or was cut off".to_owned());
        let unanswered = shared.asked.len();
        while let Some(reply) = self.decoder.next().map_err(no_reply)? {
            shared.deliver(reply)?;
        }
        if shared.asked.len() < unanswered {
            shared.last_answer = Instant::now();
        }
        Ok(())
    }

    /// The deadlines of all have one timer, which mostly goes off when nobody's time is over: most replies come long before,
    /// and then nobody has had to set a timer and take it back.
    fn mind_deadlines(&mut self, shared: &mut Shared, context: &mut Context<'_>) {
        if mem::take(&mut shared.is_alarm_new) {
            self.sleep = shared.alarm.map(|alarm| self.runtime.sleep(alarm));
        }
        while let Some(sleep) = &mut self.sleep {
            if sleep.as_mut().poll(context).is_pending() {
                break;
            }
            shared.alarm = shared.tell_late();
            self.sleep = shared.alarm.map(|alarm| self.runtime.sleep(alarm));
        }
    }
}
