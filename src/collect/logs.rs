//! What CloudWatch Logs tells: the last lines of the containers that matter, and what the
//! load balancer's health checker asked them. Every line is masked before it goes anywhere.

use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::LogLine;
use jiff::{SignedDuration, Timestamp};

use super::Aws;
use crate::mask;

const LINES: i32 = 50;
/// How far back the health checker's requests are looked for, and in how many pages: a busy group
/// has many pages without a match.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(15);
const PAGES: usize = 2;

impl Aws {
    /// The last lines of a stream, oldest first. A container that has logged nothing yet has no
    /// stream.
    pub async fn log_lines(&self, group: &str, stream: &str) -> Seen<Option<Vec<LogLine>>> {
        let request = self
            .logs
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .start_from_head(false)
            .limit(LINES)
            .send();
        self.asker.ask(Call::GetLogEvents, request).await.map(|reply| {
            let events = reply?.events.unwrap_or_default();
            Some(
                events
                    .into_iter()
                    .map(|event| line(event.timestamp, event.message, Some(stream.to_owned())))
                    .collect(),
            )
        })
    }

    /// Lines that name the health checker, oldest first, as far as two pages show.
    pub async fn health_checker_lines(
        &self,
        group: &str,
        now: Timestamp,
    ) -> Seen<Option<Vec<LogLine>>> {
        let mut lines = Vec::new();
        let mut token = None;
        for _ in 0..PAGES {
            let request = self
                .logs
                .filter_log_events()
                .log_group_name(group)
                .filter_pattern("\"ELB-HealthChecker\"")
                .start_time((now - LOOK_BACK).as_millisecond())
                .limit(LINES)
                .set_next_token(token.clone())
                .send();
            match self.asker.ask(Call::FilterLogEvents, request).await {
                Seen::Yes(Some(reply)) => {
                    let events = reply.events.unwrap_or_default();
                    lines.extend(
                        events.into_iter().map(|event| {
                            line(event.timestamp, event.message, event.log_stream_name)
                        }),
                    );
                    token = reply.next_token;
                }
                Seen::Yes(None) => return Seen::Yes(None),
                Seen::No(why) => return Seen::No(why),
            }
            if token.is_none() || !lines.is_empty() {
                break;
            }
        }
        Seen::Yes(Some(lines))
    }
}

fn line(millisecond: Option<i64>, message: Option<String>, stream: Option<String>) -> LogLine {
    LogLine {
        timestamp: millisecond.and_then(|at| Timestamp::from_millisecond(at).ok()),
        message: mask::line(message.unwrap_or_default().trim_end()),
        log_stream_name: stream.unwrap_or_default(),
    }
}
