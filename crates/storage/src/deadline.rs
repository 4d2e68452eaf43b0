//! The end of an operation.

use std::time::{Duration, Instant};

/// When an operation is given up, connecting and waiting for a connection included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So much from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        // A time so long that the clock cannot express it is as good as a day.
        let now = Instant::now();
        Self(
            now.checked_add(time)
                .unwrap_or(now + Duration::from_secs(86_400)),
        )
    }

    /// What is left, zero when it has passed.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// It has passed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// The time itself.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes() {
        assert!(Deadline::after(Duration::ZERO).is_over());
        let minute = Deadline::after(Duration::from_secs(60));
        assert!(!minute.is_over() && minute.left() <= Duration::from_secs(60));
        assert!(!Deadline::after(Duration::MAX).is_over());
    }
}
