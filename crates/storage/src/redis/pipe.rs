//! A stream on which the commands of many tasks are under way.
//!
//! A server answers in the order in which it was asked, so all it takes is a queue of those who wait. All that is asked until
//! the stream is written goes in one write, and one read takes all replies that have come. redis-rs has a connection of this
//! kind too, with a channel there, one back, and a buffer for each command, and took longer on nginx's loop.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use ::redis::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::commands::Batch;
use super::fault;
use super::reply::{Decoder, Malformed};
use crate::runtime::{Runtime, Stream, Work, within};
use crate::{Deadline, Error};

/// Bytes that may wait to be written. Who has more waits until there are less.
const CROWDED: usize = 1 << 20;
/// Room that is kept for the next commands.
const KEPT: usize = 64 << 10;

/// Why commands have no reply.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The connection is of no use any more. What became of the commands is unknown.
    Lost(Error),
    /// The time is over.
    Late,
}

/// The replies to a batch.
pub(super) type Replies = Result<Vec<Value>, Failure>;

/// Where commands go in and replies come out. Dropping it closes the stream.
pub(super) struct Pipe {
    shared: Arc<Mutex<Shared>>,
    runtime: Arc<dyn Runtime>,
}

#[derive(Default)]
struct Shared {
    /// Commands to be written.
    unwritten: Vec<u8>,
    /// Those who wait for replies, in the order of their commands.
    asking: VecDeque<Asking>,
    /// Those who wait for less to be written.
    crowd: Vec<Waker>,
    driver: Option<Waker>,
    /// The driver waits for something to write.
    is_idle: bool,
    /// When the driver looks for those whose time is over.
    alarm: Option<Deadline>,
    is_alarm_new: bool,
    end: Option<Error>,
}

struct Asking {
    replies: Vec<Value>,
    missing: usize,
    deadline: Deadline,
    /// None once its time is over. Its replies still come.
    whom: Option<oneshot::Sender<Replies>>,
}

impl Pipe {
    /// Returns the driver too, which writes and reads; the pipe works while that is run.
    pub(super) fn new(stream: Box<dyn Stream>, runtime: &Arc<dyn Runtime>) -> (Self, Driver) {
        let pipe = Self {
            shared: Arc::default(),
            runtime: runtime.clone(),
        };
        let driver = Driver {
            stream,
            shared: pipe.shared.clone(),
            runtime: runtime.clone(),
            decoder: Decoder::new(),
            writing: Vec::new(),
            written: 0,
            is_flushed: true,
            sleep: None,
        };
        (pipe, driver)
    }

    /// Sends commands and waits for a reply to each.
    pub(super) async fn run(&self, batch: &Batch<'_>, deadline: Deadline) -> Replies {
        if self.is_crowded() {
            let room = within(self.runtime.as_ref(), deadline, self.room());
            Box::pin(room).await.map_err(|_| Failure::Late)?;
        }
        replies(self.ask(batch, deadline)).await
    }

    /// Has commands sent.
    pub(super) fn ask(&self, batch: &Batch<'_>, deadline: Deadline) -> oneshot::Receiver<Replies> {
        let (whom, replies) = oneshot::channel();
        let mut shared = lock(&self.shared);
        if let Some(end) = &shared.end {
            let _ = whom.send(Err(Failure::Lost(end.clone())));
            return replies;
        }
        for command in batch {
            command.write_packed_command(&mut shared.unwritten);
        }
        shared.asking.push_back(Asking {
            replies: Vec::with_capacity(batch.len()),
            missing: batch.len(),
            deadline,
            whom: Some(whom),
        });
        if shared.alarm.is_none_or(|alarm| deadline < alarm) {
            shared.alarm = Some(deadline);
            shared.is_alarm_new = true;
        }
        if mem::take(&mut shared.is_idle) || shared.is_alarm_new {
            wake(shared.driver.take());
        }
        replies
    }

    /// The other side has closed the stream, or nothing can be understood any more.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.shared).end.is_some()
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
        wake(shared.driver.take());
    }
}

/// Waits for the replies to what was asked.
pub(super) async fn replies(replies: oneshot::Receiver<Replies>) -> Replies {
    replies
        .await
        .unwrap_or(Err(Failure::Lost(Error::Cancelled)))
}

impl Shared {
    fn is_crowded(&self) -> bool {
        self.end.is_none() && self.unwritten.len() >= CROWDED
    }

    /// Gives a reply to whom it is for.
    fn deliver(&mut self, reply: Value) -> Result<(), Error> {
        let Some(asking) = self.asking.front_mut() else {
            return Err(unasked(&reply));
        };
        asking.replies.push(reply);
        asking.missing -= 1;
        if asking.missing == 0 {
            if let Some(Asking {
                replies,
                whom: Some(whom),
                ..
            }) = self.asking.pop_front()
            {
                // Who does not want it any more has left.
                let _ = whom.send(Ok(replies));
            }
        }
        Ok(())
    }

    /// Tells those whose time is over. Returns when the next one's will be.
    fn tell_late(&mut self) -> Option<Deadline> {
        let mut next: Option<Deadline> = None;
        for asking in &mut self.asking {
            if asking.deadline.is_over() {
                if let Some(whom) = asking.whom.take() {
                    let _ = whom.send(Err(Failure::Late));
                }
            } else {
                next = Some(next.map_or(asking.deadline, |next| next.min(asking.deadline)));
            }
        }
        next
    }

    fn end(&mut self, error: &Error) {
        let error = self.end.get_or_insert_with(|| error.clone()).clone();
        for asking in self.asking.drain(..) {
            if let Some(whom) = asking.whom {
                let _ = whom.send(Err(Failure::Lost(error.clone())));
            }
        }
        self.unwritten = Vec::new();
        self.crowd.drain(..).for_each(Waker::wake);
    }
}

/// A server may say why it does not want us before it is asked anything.
fn unasked(reply: &Value) -> Error {
    match reply {
        Value::ServerError(error) => fault::refused(error),
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
    stream: Box<dyn Stream>,
    shared: Arc<Mutex<Shared>>,
    runtime: Arc<dyn Runtime>,
    decoder: Decoder,
    writing: Vec<u8>,
    written: usize,
    is_flushed: bool,
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
        while let Poll::Ready(read) = self.poll_read(context) {
            self.deliver(read.map_err(|error| fault::broken(&error))?)?;
        }
        while let Poll::Ready(written) = self.poll_write(context) {
            written.map_err(|error| fault::broken(&error))?;
            if !self.take_more() {
                break;
            }
        }
        self.mind_deadlines(context);
        Ok(())
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(self.decoder.room());
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let count = buffer.filled().len();
        Poll::Ready(Ok(count))
    }

    fn deliver(&mut self, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Err(Error::Unavailable("it closed the connection".to_owned()));
        }
        self.decoder.filled(count);
        let mut shared = lock(&self.shared);
        let no_reply = |Malformed| Error::BadReply("it is not Redis, or was cut off".to_owned());
        while let Some(reply) = self.decoder.next().map_err(no_reply)? {
            shared.deliver(reply)?;
        }
        Ok(())
    }

    /// Writes what was taken to be written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.writing.len() {
            let rest = &self.writing[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
            self.is_flushed = false;
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is to be written next. False when there is nothing; then who asks wakes us.
    fn take_more(&mut self) -> bool {
        self.written = 0;
        self.writing.clear();
        if self.writing.capacity() > KEPT {
            self.writing = Vec::new();
        }
        let mut shared = lock(&self.shared);
        mem::swap(&mut self.writing, &mut shared.unwritten);
        shared.crowd.drain(..).for_each(Waker::wake);
        shared.is_idle = self.writing.is_empty();
        !shared.is_idle
    }

    /// The deadlines of all have one timer, which mostly goes off when nobody's time is over: most replies come long before,
    /// and then nobody has had to set a timer and take it back.
    fn mind_deadlines(&mut self, context: &mut Context<'_>) {
        let mut shared = lock(&self.shared);
        if shared.driver.is_none() {
            shared.driver = Some(context.waker().clone());
        }
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
