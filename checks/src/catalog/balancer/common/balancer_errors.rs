//! Errors that a load balancer itself returned in the last minutes, and whether they can be this
//! service's: CloudWatch counts them for a whole load balancer, which other services may share.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::aws::time;
use crate::call::Call;
pub use crate::facts::inbound::answers::is_near;
use crate::facts::inbound::traffic;
use crate::facts::tasks::metric;
use crate::facts::tasks::stop::StopKind;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Task;
use crate::snapshot::metric::Metric;

/// How far back an error is today's.
pub const SPAN: SignedDuration = SignedDuration::from_mins(15);

/// One error of one load balancer, over the last minutes, without those in which a deployment or
/// scaling stopped a task: such errors come from stopping it.
#[derive(Debug)]
pub struct Errors<'a> {
    pub balancer: &'a str,
    /// The service's groups that get traffic from it.
    pub groups: BTreeSet<&'a str>,
    /// Minutes with such answers, oldest first.
    pub minutes: Vec<(Timestamp, f64)>,
    /// No rule of the load balancer leads to anybody else.
    pub alone: bool,
    metric: Metric,
}

/// The load balancers that gave such answers in at least two of the last minutes.
pub fn errors<'a>(patient: &Patient<'a>, metric: Metric) -> Result<Vec<Errors<'a>>, Blind> {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for forward in traffic::forwards(patient)?.iter().filter(|forward| forward.is_http()) {
        groups
            .entry(&forward.listener.load_balancer_arn)
            .or_default()
            .extend(forward.live().map(|share| share.group));
    }
    let start = time::before(patient.now(), SPAN);
    let mut all = Vec::new();
    for (balancer, groups) in groups {
        let counted = patient
            .metric(metric, balancer)?
            .into_iter()
            .flat_map(|series| series.values.iter().copied());
        let mut minutes: Vec<(Timestamp, f64)> =
            counted.filter(|(at, value)| *at >= start && *value > 0.0).collect();
        if minutes.is_empty() {
            continue;
        }
        let on_purpose: Vec<&Task> = patient
            .stopped_tasks()?
            .iter()
            .filter(|task| StopKind::of(task).is_on_purpose())
            .collect();
        minutes.retain(|(at, _)| !on_purpose.iter().any(|task| is_near(task, *at)));
        if minutes.len() > 1 {
            all.push(Errors {
                balancer,
                groups,
                minutes,
                alone: traffic::serves_nobody_else(patient, balancer)?,
                metric,
            });
        }
    }
    Ok(all)
}

impl Errors<'_> {
    pub fn sum(&self) -> f64 {
        self.minutes.iter().map(|(_, value)| value).sum()
    }

    pub fn name(&self) -> &str {
        traffic::balancer_name(self.balancer)
    }

    /// The worst minute.
    pub fn evidence(&self) -> Evidence {
        let (at, peak) = self.minutes.iter().fold((None, 0.0), |worst, (at, value)| {
            if *value > worst.1 { (Some(*at), *value) } else { worst }
        });
        Evidence::metric(self.metric, self.balancer, peak).at(at)
    }

    /// A metric of the service's own groups in the minutes of these answers: its highest value of
    /// all, and the sum.
    pub fn of_groups(
        &self,
        patient: &Patient,
        metric: Metric,
    ) -> Result<Option<metric::Recent>, Blind> {
        let mut most: Option<metric::Recent> = None;
        let mut sum = 0.0;
        for group in &self.groups {
            let values =
                patient.metric(metric, group)?.into_iter().flat_map(|series| &series.values);
            for (at, value) in values.filter(|(at, value)| {
                *value > 0.0 && self.minutes.iter().any(|(minute, _)| minute == at)
            }) {
                sum += value;
                if most.as_ref().is_none_or(|most| *value > most.peak) {
                    let evidence = Evidence::metric(metric, group, value).at(Some(*at));
                    most = Some(metric::Recent { sum, peak: *value, evidence });
                }
            }
        }
        Ok(most.map(|most| metric::Recent { sum, ..most }))
    }

    /// `41 of 3600 requests in the last 15 min`; the total only where all of them are the
    /// service's.
    pub fn words(&self, patient: &Patient) -> Result<String, Blind> {
        let requests = metric::recent(patient, Metric::Requests, self.balancer, SPAN)?;
        let of = requests
            .filter(|_| self.alone)
            .map(|requests| format!("of {:.0} ", requests.sum))
            .unwrap_or_default();
        Ok(format!("{:.0} {of}requests in the last 15 min", self.sum()))
    }
}

/// For how many seconds a load balancer waits for an answer, and keeps a connection that nobody
/// uses.
pub fn idle_timeout(patient: &Patient, balancer: &str) -> Result<Option<f64>, Blind> {
    let attributes = patient.load_balancer_attributes(balancer)?;
    Ok(attributes.and_then(|attributes| crate::text::parsed(attributes.get(IDLE_TIMEOUT)?)))
}

pub fn idle_timeout_evidence(balancer: &str, seconds: f64) -> Evidence {
    Evidence::new(Call::DescribeLoadBalancerAttributes, balancer, IDLE_TIMEOUT, seconds)
}

pub const IDLE_TIMEOUT: &str = "idle_timeout.timeout_seconds";
