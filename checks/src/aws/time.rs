//! Ages and spans in words that a tired person can read.

use jiff::{SignedDuration, Timestamp};

pub const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// `35 s`, `4 min`, `2 h 10 min`, `3 days`.
pub fn words(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{minutes} min"),
        7200..=172_799 if minutes % 60 == 0 => format!("{hours} h"),
        7200..=172_799 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} days"),
    }
}

/// `03:12 UTC`, the time of day to the minute.
pub fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(11..16).unwrap_or(&text))
}

pub fn minutes(count: i32) -> SignedDuration {
    SignedDuration::from_mins(i64::from(count))
}

pub fn seconds(count: i32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(count))
}

/// A moment and a span later; what lies beyond all calendars is the end of time.
pub fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    match at.checked_add(span) {
        Ok(later) => later,
        Err(_) => Timestamp::MAX,
    }
}

/// A moment and a span earlier.
pub fn before(at: Timestamp, span: SignedDuration) -> Timestamp {
    match at.checked_sub(span) {
        Ok(earlier) => earlier,
        Err(_) => Timestamp::MIN,
    }
}

/// How long ago it was; nothing is in the future.
pub fn age(now: Timestamp, at: Timestamp) -> SignedDuration {
    now.duration_since(at).max(SignedDuration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_span_is_told_in_the_units_that_it_is_felt_in() {
        for (span, told) in [
            (-5, "0 s"),
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (7259, "2 h"),
            (7260, "2 h 1 min"),
            (172_799, "47 h 59 min"),
            (172_800, "2 days"),
            (259_199, "2 days"),
        ] {
            assert_eq!(words(SignedDuration::from_secs(span)), told, "{span} s");
        }
    }

    #[test]
    fn a_clock_has_hours_and_minutes() {
        assert_eq!(clock(at("2026-11-22T03:12:59Z")), "03:12 UTC");
    }

    #[test]
    fn a_moment_beyond_all_calendars_is_the_end_of_time() {
        let noon = at("2026-11-22T12:00:00Z");
        assert_eq!(after(noon, minutes(2)), at("2026-11-22T12:02:00Z"));
        assert_eq!(before(noon, seconds(2)), at("2026-11-22T11:59:58Z"));
        assert_eq!(after(noon, SignedDuration::MAX), Timestamp::MAX);
        assert_eq!(before(noon, SignedDuration::MAX), Timestamp::MIN);
    }

    #[test]
    fn nothing_is_in_the_future() {
        let (noon, later) = (at("2026-11-22T12:00:00Z"), at("2026-11-22T12:01:00Z"));
        assert_eq!(age(later, noon), MINUTE);
        assert_eq!(age(noon, later), SignedDuration::ZERO);
    }
}
