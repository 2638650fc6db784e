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
