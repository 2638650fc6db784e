//! Laws over accounts that are made out of others: what the examples of the checks look like in
//! another state, at another time, or beside something else. Cases that one can read can be tuned
//! to; these hold for every check at once, and each of them can fail.

#![cfg(test)]

#[path = "accounts/founding.rs"]
mod founding;
#[path = "accounts/make.rs"]
mod make;
#[path = "accounts/rollback.rs"]
mod rollback;
