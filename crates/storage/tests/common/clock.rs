//! The time a storage goes by, when it is not exact.

// Each test file uses some of it.
#![allow(dead_code)]

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage::conformance::Time;

use crate::common::now;

/// That of the system, for servers whose clock ticks in seconds: the suite waits two seconds more than it must, and one is enough.
pub struct Ticking;

impl Time for Ticking {
    fn now(&self) -> u64 {
        now()
    }

    fn pass(&self, seconds: u64) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        let time = Duration::from_secs(seconds.saturating_sub(1)) + Duration::from_millis(100);
        Box::pin(tokio::time::sleep(time))
    }
}

/// One that the test moves.
#[derive(Clone, Default)]
pub struct Made(Arc<AtomicU64>);

impl Made {
    pub fn at(now: u64) -> Self {
        Self(Arc::new(now.into()))
    }
}

impl Time for Made {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn pass(&self, seconds: u64) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        self.0.fetch_add(seconds, Ordering::SeqCst);
        Box::pin(ready(()))
    }
}
