//! The program as a user meets it: one test binary, so that it links once. Each module holds what
//! must hold of one side of the program; `wire` is the loopback account that they share.

#![cfg(test)]

mod cases;
mod configured;
mod docs;
mod doctor;
mod history;
mod reports;
mod screen;
mod severity;
mod stories;
mod usage;
mod wording;

#[cfg(feature = "aws")]
mod blindness;
#[cfg(feature = "aws")]
mod command_line;
#[cfg(feature = "aws")]
mod diagnosis;
#[cfg(feature = "aws")]
mod probe;
#[cfg(feature = "aws")]
mod record;
#[cfg(feature = "aws")]
mod secrets;
#[cfg(feature = "aws")]
#[expect(
    dead_code,
    reason = "the collector's test of its depth uses `answer_here`, and this one does not"
)]
mod wire;
#[cfg(feature = "aws")]
mod wire_selftest;
