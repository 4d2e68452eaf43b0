//! What is left of a token's time.

use crate::header::Header;
use crate::policy::{Kind, Timeouts};

/// 400 days in seconds: neither a record nor a cookie lives longer.
pub const MAX_AGE_LIMIT: u32 = 34_560_000;

/// Seconds until a record ends, 1 to [`MAX_AGE_LIMIT`]: what is left of the rolling and the absolute timeout.
#[must_use]
pub fn record_ttl(times: &Timeouts, kind: Kind, header: &Header, now: u64) -> u32 {
    let rolling = left(times.rolling_of(kind), header.saved(), now);
    let absolute = left(times.absolute_of(kind), header.created, now);
    clamp([rolling, absolute].into_iter().flatten().min())
}

/// Seconds a remember cookie is kept by the browser; the same limits as its record's, so that both end together.
#[must_use]
pub fn remember_lifetime(times: &Timeouts, header: &Header, now: u64) -> u32 {
    record_ttl(times, Kind::Remember, header, now)
}

/// Seconds left of each limit; negative once it has passed, none where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Of the idling timeout, since the last save or touch.
    pub idling: Option<i64>,
    /// Of the rolling timeout, since the last save.
    pub rolling: Option<i64>,
    /// Of the absolute timeout, since creation.
    pub absolute: Option<i64>,
    /// The smallest of them.
    pub timeout: Option<i64>,
}

impl Remaining {
    pub(crate) fn of(times: &Timeouts, header: &Header, now: u64) -> Self {
        Self::new(
            left(times.idling, header.used(), now),
            left(times.rolling, header.saved(), now),
            left(times.absolute, header.created, now),
        )
    }

    /// Of a session that is being made.
    pub(crate) fn at_first(times: &Timeouts) -> Self {
        let all = |limit| left(limit, 0, 0);
        Self::new(all(times.idling), all(times.rolling), all(times.absolute))
    }

    fn new(idling: Option<i64>, rolling: Option<i64>, absolute: Option<i64>) -> Self {
        Self {
            idling,
            rolling,
            absolute,
            timeout: [idling, rolling, absolute].into_iter().flatten().min(),
        }
    }
}

/// Seconds from `since` to `now`; negative when the clock went back.
pub(crate) fn elapsed(since: u64, now: u64) -> i64 {
    let seconds = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    seconds(now).saturating_sub(seconds(since))
}

/// Whether more than `limit` seconds have passed; never with a limit of 0.
pub(crate) fn is_over(limit: u32, since: u64, now: u64) -> bool {
    limit != 0 && elapsed(since, now) > i64::from(limit)
}

fn left(limit: u32, since: u64, now: u64) -> Option<i64> {
    (limit != 0).then(|| i64::from(limit) - elapsed(since, now))
}

fn clamp(seconds: Option<i64>) -> u32 {
    let most = i64::from(MAX_AGE_LIMIT);
    u32::try_from(seconds.unwrap_or(most).clamp(1, most)).unwrap_or(MAX_AGE_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Flags;
    use crate::id::SessionId;

    fn header(created: u64, rolling_offset: u32) -> Header {
        Header {
            flags: Flags::empty(),
            id: SessionId::from_random([0; 32]),
            created,
            rolling_offset,
            data_size: 0,
            tag: [0; 16],
            idling_offset: 30,
            mac: [0; 16],
        }
    }

    #[test]
    fn a_record_shrinks_towards_the_absolute_timeout() {
        let times = Timeouts {
            rolling: 100,
            absolute: 250,
            ..Timeouts::default()
        };
        for (offset, ttl) in [(0, 100), (100, 100), (200, 50), (249, 1), (300, 1)] {
            let now = 1000 + u64::from(offset);
            assert_eq!(
                record_ttl(&times, Kind::Session, &header(1000, offset), now),
                ttl,
                "renewed after {offset} s"
            );
        }
        // An info save in the middle keeps the end of the record where it was.
        assert_eq!(
            record_ttl(&times, Kind::Session, &header(1000, 100), 1140),
            60
        );
    }

    #[test]
    fn without_limits_a_record_lives_400_days() {
        let times = Timeouts {
            rolling: 0,
            absolute: 0,
            ..Timeouts::default()
        };
        assert_eq!(
            record_ttl(&times, Kind::Session, &header(1000, 0), 2000),
            MAX_AGE_LIMIT
        );
        let times = Timeouts {
            rolling: u32::MAX,
            absolute: u32::MAX,
            ..times
        };
        assert_eq!(
            record_ttl(&times, Kind::Session, &header(1000, 0), 2000),
            MAX_AGE_LIMIT
        );
    }

    #[test]
    fn remaining_is_the_smallest_and_can_be_negative() {
        let times = Timeouts {
            idling: 100,
            rolling: 0,
            absolute: 60,
            ..Timeouts::default()
        };
        let left = Remaining::of(&times, &header(1000, 10), 1070);
        assert_eq!(
            left,
            Remaining {
                idling: Some(70),
                rolling: None,
                absolute: Some(-10),
                timeout: Some(-10)
            }
        );
    }

    #[test]
    fn a_limit_is_over_one_second_after_it() {
        assert!(!is_over(10, 100, 110));
        assert!(is_over(10, 100, 111));
        assert!(!is_over(0, 100, u64::MAX));
        assert!(!is_over(10, 100, 50));
    }
}
