//! Dates as the Expires attribute has them: whatever order and delimiters servers write (RFC 6265bis, 5.1.1).

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// Unix seconds of a cookie date, 0 for one before 1970; none for what is no date.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    let mut found = Found::default();
    text.split(|&b| is_delimiter(b))
        .filter(|token| !token.is_empty())
        .for_each(|token| found.take(token));
    found.seconds()
}

/// What the tokens of a date have told so far. The first that fits each field counts.
#[derive(Default)]
struct Found {
    time: Option<[u32; 3]>,
    day: Option<u32>,
    month: Option<u32>,
    year: Option<u32>,
}

impl Found {
    fn take(&mut self, token: &[u8]) {
        if self.time.is_none() {
            self.time = time(token);
            if self.time.is_some() {
                return;
            }
        }
        if self.day.is_none() {
            self.day = number(token, 1, 2);
            if self.day.is_some() {
                return;
            }
        }
        if self.month.is_none() {
            self.month = month(token);
            if self.month.is_some() {
                return;
            }
        }
        if self.year.is_none() {
            self.year = number(token, 2, 4);
        }
    }

    fn seconds(&self) -> Option<u64> {
        let [hour, minute, second] = self.time?;
        let (day, month) = (self.day?, self.month?);
        let year = match self.year? {
            short @ 70..=99 => short + 1900,
            short @ 0..=69 => short + 2000,
            year => year,
        };
        let exists = year >= 1601
            && (1..=days_in(month, year)).contains(&day)
            && hour <= 23
            && minute <= 59
            && second <= 59;
        if !exists {
            return None;
        }
        let time = i64::from(hour * 3600 + minute * 60 + second);
        let seconds = days_since_1970(year, month, day) * 86_400 + time;
        Some(u64::try_from(seconds).unwrap_or(0))
    }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2F | 0x3B..=0x40 | 0x5B..=0x60 | 0x7B..=0x7E)
}

/// Hours, minutes and seconds, of one or two digits each.
fn time(token: &[u8]) -> Option<[u32; 3]> {
    let mut parts = token.splitn(3, |&b| b == b':');
    let mut whole = || {
        let part = parts.next()?;
        number(part, 1, 2).filter(|_| part.iter().all(u8::is_ascii_digit))
    };
    let (hour, minute) = (whole()?, whole()?);
    Some([hour, minute, number(parts.next()?, 1, 2)?])
}

fn month(token: &[u8]) -> Option<u32> {
    let name = token.get(..3)?.to_ascii_lowercase();
    (1..).zip(MONTHS).find(|(_, m)| *m == name).map(|(n, _)| n)
}

/// A number of `least` to `most` digits, behind which anything but a digit may follow.
fn number(token: &[u8], least: usize, most: usize) -> Option<u32> {
    let digits = token.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(least..=most).contains(&digits) {
        return None;
    }
    let value = |sum, digit: &u8| sum * 10 + u32::from(digit - b'0');
    Some(token[..digits].iter().fold(0, value))
}

fn days_in(month: u32, year: u32) -> u32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar. The year is counted from March, so that a leap day is its last.
fn days_since_1970(year: u32, month: u32, day: u32) -> i64 {
    let (year, month) = match month {
        1 | 2 => (i64::from(year) - 1, i64::from(month) + 9),
        _ => (i64::from(year), i64::from(month) - 3),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + i64::from(day) - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_write_dates_in_many_ways() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "6 nov 94 8:49:37",
            "1994 06 november 08:49:37garbage",
            "08:49:37 06 1994 NOVEMBER",
            "Sun, 06-Nov-1994 08:49:37 UTC+0100",
            "06;Nov@1994~08:49:37",
            "06 Nov 1994 08:49:37 07 Dec 1995 10:11:12",
            "06th Nov 1994x 08:49:37",
            "\t06\tNov\t1994\t08:49:37\t",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn years_and_days_are_those_of_the_calendar() {
        for (text, expected) in [
            ("1 Jan 1970 00:00:00", 0),
            ("1 Jan 70 00:00:01", 1),
            ("31 Dec 1969 23:59:59", 0),
            ("1 Jan 1601 00:00:00", 0),
            ("29 Feb 2000 00:00:00", 951_782_400),
            ("1 Mar 2000 00:00:00", 951_868_800),
            ("28 Feb 2100 23:59:59", 4_107_542_399),
            ("1 Mar 2100 00:00:00", 4_107_542_400),
            ("1 Jan 69 00:00:00", 3_124_224_000),
            ("31 Dec 99 23:59:59", 946_684_799),
            ("31 Dec 9999 23:59:59", 253_402_300_799),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "tomorrow",
            "Sun, 06 Nov 1994",
            "Nov 1994 08:49:37",
            "06 1994 08:49:37",
            "06 Nov 08:49:37",
            "06 Nov 1600 08:49:37",
            "06 Nov 19945 08:49:37",
            "06 Nov 194 08:49:37",
            "00 Nov 1994 08:49:37",
            "32 Oct 1994 08:49:37",
            "31 Nov 1994 08:49:37",
            "29 Feb 1900 08:49:37",
            "29 Feb 2023 08:49:37",
            "06 Nov 1994 24:00:00",
            "06 Nov 1994 08:60:00",
            "06 Nov 1994 08:49:60",
            "06 Nov 1994 08:49",
            "06 Nov 1994 08:49:370",
            "06 Nov 1994 008:49:37",
            "06 Nov 1994 08:4x:37",
            "006 Nov 1994 08:49:37",
            "06 No 1994 08:49:37",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
