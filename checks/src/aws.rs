//! The grammar of what AWS and programs write: addresses, hosts, URLs, events, reasons, policies, log
//! lines, times. Nothing here knows a patient or a snapshot: a text goes in, its meaning comes out.

pub mod admission;
pub mod api_gateway;
pub mod arn;
pub mod cidr;
pub mod crash;
pub mod dial;
pub mod event;
pub mod exit_code;
pub mod host;
pub mod image;
pub mod listen_line;
pub mod policy;
pub mod request_log;
pub mod rollback_reason;
pub mod stop_reason;
pub mod time;
pub mod url;
