//! What rules a cause out although its check could not look: facts that could not be so if it were
//! there. A check names one in `check!`, where no symptom of the map tells that it is absent; the
//! diagnosis then does not call the service unknown for it.

use jiff::SignedDuration;

use crate::aws::time;
use crate::facts::inbound::traffic;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuledOutBy {
    /// Clients' requests reach the targets, and no fewer than before.
    Requests,
    /// The same, and all of them come by TLS and for one host at most.
    RequestsOverTls,
}

/// What counts as now.
const NOW: SignedDuration = SignedDuration::from_mins(15);
/// CloudWatch was asked for this hour, by the minute.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Fewer requests may come over connections that have been open for long, or from one client.
const MANY: f64 = 30.0;

impl RuledOutBy {
    /// Whether it is so, and was seen.
    pub fn holds(self, patient: &Patient) -> bool {
        let holds = match self {
            RuledOutBy::Requests => requests_arrive(patient),
            RuledOutBy::RequestsOverTls => requests_arrive(patient)
                .and_then(|arrive| Ok(arrive && comes_by_tls_for_one_host(patient)?)),
        };
        holds == Ok(true)
    }
}

/// Where the user says who should get in, that somebody does proves nothing.
fn requests_arrive(patient: &Patient) -> Result<bool, Blind> {
    let (mut now, mut before) = (0.0, 0.0);
    let start = time::before(patient.now(), NOW);
    for group in traffic::groups(patient)? {
        for (at, requests) in
            patient.metric(Metric::GroupRequests, group)?.into_iter().flat_map(|all| &all.values)
        {
            if *at >= start { now += requests } else { before += requests }
        }
    }
    let usual = before * NOW.as_secs_f64() / (HOUR - NOW).as_secs_f64();
    Ok(!patient.intent().says_who() && now >= MANY && now >= usual / 2.0)
}

fn comes_by_tls_for_one_host(patient: &Patient) -> Result<bool, Blind> {
    let forwards = traffic::forwards(patient)?;
    let mut hosts: Vec<&str> = forwards.iter().flat_map(|forward| forward.hosts()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let is_tls = |forward: &traffic::Forward| {
        matches!(forward.listener.protocol.as_deref(), Some("HTTPS" | "TLS"))
    };
    Ok(hosts.len() <= 1 && forwards.iter().all(is_tls))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::call::Call;
    use crate::patient::Intent;
    use crate::snapshot::Snapshot;
    use crate::testing::{expecting, of};

    fn holds(snapshot: &Snapshot) -> [bool; 2] {
        of(snapshot, |patient| {
            [RuledOutBy::Requests, RuledOutBy::RequestsOverTls].map(|fact| fact.holds(patient))
        })
    }

    #[test]
    fn requests_that_arrive_as_before_rule_out_and_none_do_not() {
        let mut snapshot = baseline::fargate();
        assert_eq!(holds(&snapshot), [true, true]);
        baseline::shut_clients_out(&mut snapshot);
        assert_eq!(holds(&snapshot), [false, false]);
    }

    #[test]
    fn what_is_not_seen_or_less_than_half_of_before_rules_nothing_out() {
        let mut snapshot = baseline::fargate();
        let intent = Intent::default();
        let blind = Patient::new(&snapshot, &snapshot.services[0], &intent)
            .blindfolded([Call::GetMetricData]);
        assert!(!RuledOutBy::Requests.holds(&blind));
        let group = baseline::id::group("api");
        let values = (1..=60)
            .rev()
            .map(|minute| (baseline::minutes_ago(minute), if minute <= 15 { 50.0 } else { 120.0 }));
        let series = crate::snapshot::Series { values: values.collect() };
        snapshot.metrics.put(Metric::GroupRequests.of(&group), series);
        assert_eq!(holds(&snapshot), [false, false]);
    }

    #[test]
    fn who_is_expected_may_still_be_kept_out() {
        let (snapshot, intent) = (baseline::fargate(), expecting(&["203.0.113.0/24"]));
        let patient = Patient::new(&snapshot, &snapshot.services[0], &intent);
        assert!(!RuledOutBy::Requests.holds(&patient));
    }

    #[test]
    fn a_plain_way_in_says_nothing_of_certificates() {
        let mut snapshot = baseline::fargate();
        let group = baseline::id::group("api");
        baseline::plain_listener(&mut snapshot, "web", baseline::forward(&[(&group, 1)]));
        assert_eq!(holds(&snapshot), [true, false]);
    }
}
