//! How many may work at once, and how many may wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Deadline, Error};

/// Operations that wait for a place at most. More than that only wait for their deadline.
const QUEUE: usize = 1024;

/// A place at work, given back when dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// Lets so many in at once; the others wait in order of arrival.
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// When the deadline comes first, or too many wait already.
    pub(crate) async fn enter(&self, deadline: Deadline) -> Result<Place, Error> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::among(&self.waiting)?;
        let place = self.places.clone().acquire_owned();
        match tokio::time::timeout_at(deadline.instant().into(), place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Error::Cancelled),
            Err(_) => Err(Error::Timeout),
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(count: &'a AtomicUsize) -> Result<Self, Error> {
        let waiting = Self(count);
        match count.fetch_add(1, Ordering::Relaxed) < QUEUE {
            true => Ok(waiting),
            false => Err(Error::Unavailable(format!(
                "all connections are busy and {QUEUE} operations wait for one"
            ))),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_others_wait_in_order_until_their_deadline() {
        let gate = Gate::new(1);
        let place = gate.enter(Deadline::after(Duration::ZERO)).await.unwrap();
        let short = Deadline::after(Duration::from_millis(10));
        assert_eq!(gate.enter(short).await.map(drop), Err(Error::Timeout));
        let mut next = pin!(gate.enter(Deadline::after(Duration::from_secs(5))));
        assert!(
            next.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        drop(place);
        assert!(next.await.is_ok());
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_those_who_leave_make_room() {
        let gate = Gate::new(1);
        let long = Deadline::after(Duration::from_secs(60));
        let _place = gate.enter(long).await.unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut queue: Vec<_> = (0..QUEUE).map(|_| Box::pin(gate.enter(long))).collect();
        for waiting in &mut queue {
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        let mut refused = pin!(gate.enter(long));
        let Poll::Ready(Err(Error::Unavailable(text))) = refused.as_mut().poll(&mut context) else {
            panic!("one too many was let in");
        };
        assert!(text.contains("all connections are busy"), "{text}");
        drop(queue.pop());
        assert!(pin!(gate.enter(long)).poll(&mut context).is_pending());
    }
}
