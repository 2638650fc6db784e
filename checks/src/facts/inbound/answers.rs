//! What clients get, minute by minute: how many of the answers are errors, for how long, and what
//! was usual before. It tells a lasting trouble from noise: few requests, a burst while a
//! deployment replaces tasks, and a share that is the service's usual one. What a share means for
//! the service is for the checks to say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::aws::time;
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic;
use crate::facts::tasks::stop::StopKind;
use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen, Why};
use crate::snapshot::metric::{Metric, Owner};
use crate::snapshot::{Deployment, Task};

/// How far back there is a value for each minute.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What a value covers of the day before that.
const EARLIER: SignedDuration = SignedDuration::from_mins(5);

/// How far back an answer is today's.
pub const SPAN: SignedDuration = SignedDuration::from_mins(15);

/// CloudWatch is a minute or two behind; what ended before that is over.
const NOW: SignedDuration = SignedDuration::from_mins(5);

/// Shorter than that may be a burst.
const LASTING: usize = 5;

/// A lesser share of errors is no trouble, whatever was usual.
const NOTABLE: f64 = 0.05;

/// The 5xx of a load balancer's own that have a check each.
pub const OF_OTHER_CHECKS: [Metric; 3] = [Metric::Elb502, Metric::Elb503, Metric::Elb504];

/// With fewer errors in the last minutes a share means nothing.
const FEW: f64 = 10.0;

/// How many minutes in a row may be better in the midst of a trouble: with few requests a minute,
/// chance makes some.
const LUCK: usize = 2;

/// From here on, in seconds, a client does not like to wait.
const LONG: f64 = 2.0;

/// For how many minutes answers have to be slow.
const SLOW_MINUTES: usize = 10;

/// One minute in which something was answered; of the day before the hour, the average one of each
/// five.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minute {
    pub at: Timestamp,
    pub errors: f64,
    pub answers: f64,
}

/// Errors that last until now.
#[derive(Clone, Debug, PartialEq)]
pub struct Lasting {
    /// In the last minutes, as far as it lasts.
    pub errors: f64,
    pub answers: f64,
    /// When it began; none where it lasts for as long as can be seen.
    pub since: Option<Timestamp>,
    /// How far back that is.
    seen: Timestamp,
    /// What was usual before it began, where that was long enough to tell.
    pub usual: Option<Usual>,
    /// The worst minute.
    pub peak: (Timestamp, f64),
    /// By the minute.
    by_minute: ByMinute,
}

/// Answers before a trouble began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Of errors among all answers, 0 to 1.
    pub share: f64,
    by_minute: ByMinute,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct ByMinute {
    good: f64,
    errors: f64,
}

impl ByMinute {
    fn of(minutes: &[Minute]) -> ByMinute {
        let count = minutes.len().max(1) as f64;
        let (errors, answers) = sums(minutes);
        ByMinute { good: (answers - errors).max(0.0) / count, errors: errors / count }
    }
}

impl Lasting {
    /// Of errors among all answers, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.answers > 0.0 { (self.errors / self.answers).min(1.0) } else { 1.0 }
    }

    /// Whether so many of the answers are errors as no service has on purpose: a fifth of them, or
    /// a twentieth where that is at least twice what was usual.
    pub fn is_trouble(&self) -> bool {
        let risen = |usual: Usual| self.share() >= (2.0 * usual.share).max(NOTABLE);
        self.share() >= 0.2 || self.usual.is_some_and(risen)
    }

    /// Whether errors replaced good answers. Somebody who tries what is not there adds errors, and
    /// replaces no good answer.
    pub fn displaces_good(&self) -> bool {
        self.usual.is_some_and(|usual| {
            let (now, before) = (self.by_minute, usual.by_minute);
            let (more, fewer) = (now.errors - before.errors, before.good - now.good);
            self.share() >= (2.0 * usual.share).max(0.2)
                && (fewer >= more / 2.0 || now.good <= before.good * 0.7)
        })
    }

    /// `960 of 1765 requests (54 %)`.
    pub fn words(&self) -> String {
        self.words_of("requests")
    }

    /// The same of something else that is answered or not.
    pub fn words_of(&self, what: &str) -> String {
        format!(
            "{:.0} of {:.0} {what} ({:.0} %)",
            self.errors,
            self.answers.max(self.errors),
            100.0 * self.share()
        )
    }

    /// `in the last 15 min`, or in as many as it lasts.
    pub fn span(&self, now: Timestamp) -> String {
        let lasts = self.since.map_or(SPAN, |since| time::age(now, since));
        format!("in the last {}", time::words(lasts.min(SPAN)))
    }

    /// `It began 44 min ago; before that it was 1 %.`
    pub fn history(&self, now: Timestamp) -> String {
        match (self.since, self.usual) {
            (Some(since), Some(usual)) => format!(
                "It began {} ago; before that it was {}.",
                time::words(time::age(now, since)),
                share_words(usual.share)
            ),
            (Some(since), None) => {
                format!("It began {} ago.", time::words(time::age(now, since)))
            }
            (None, _) if time::age(now, self.seen) > HOUR => {
                format!("It has lasted for at least {}.", time::words(time::age(now, self.seen)))
            }
            (None, _) => "It has lasted for at least an hour.".to_owned(),
        }
    }
}

/// `none`, `less than 1 %`, `3 %`.
fn share_words(share: f64) -> String {
    match share {
        0.0 => "none".to_owned(),
        share if share < 0.01 => "less than 1 %".to_owned(),
        share => format!("{:.0} %", 100.0 * share),
    }
}

/// The service's target groups whose requests and answers CloudWatch counts: those of HTTP.
pub fn groups<'a>(patient: &Patient<'a>) -> Result<Vec<&'a str>, Blind> {
    let mut groups = Vec::new();
    for group in traffic::groups(patient)? {
        let settings = patient.target_group(group)?;
        if settings.is_some_and(|it| matches!(it.protocol.as_deref(), Some("HTTP" | "HTTPS"))) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// The errors of the app that last until now, of one kind and one target group.
pub fn of_app(patient: &Patient, metric: Metric, group: &str) -> Result<Option<Lasting>, Blind> {
    let minutes = without_replacements(patient, of_group(patient, metric, group)?)?;
    Ok(lasting(&minutes, patient.now()))
}

/// The version whose deployment began shortly before a trouble did: likely it came with that
/// version.
fn came_with<'a>(patient: &Patient<'a>, since: Option<Timestamp>) -> Option<&'a Deployment> {
    let since = since?;
    let is_just_before = |deployment: &&Deployment| {
        deployment.created_at.is_some_and(|created| {
            created <= since && time::age(since, created) <= SignedDuration::from_mins(10)
        })
    };
    let mut primary = patient.service().deployments.iter().filter(|it| it.status == "PRIMARY");
    primary.find(is_just_before)
}

/// `The deployment of api:13 began 2 min before: likely it came with that version.`
pub fn came_with_words(patient: &Patient, since: Option<Timestamp>) -> String {
    let version = |deployment: &Deployment| {
        let (began, since) = (deployment.created_at?, since?);
        let name = rollout::short(deployment.task_definition.as_deref()?);
        Some(format!(
            "The deployment of {name} began {} before: likely it came with that version.",
            time::words(time::age(since, began))
        ))
    };
    came_with(patient, since).and_then(version).unwrap_or_default()
}

/// The minutes in which a target group answered, oldest first.
pub fn of_group(patient: &Patient, metric: Metric, group: &str) -> Result<Vec<Minute>, Blind> {
    let mut minutes: BTreeMap<Timestamp, Minute> = BTreeMap::new();
    for (at, answers) in values(patient, Metric::GroupRequests, group)? {
        minutes.insert(at, Minute { at, errors: 0.0, answers });
    }
    for (at, errors) in values(patient, metric, group)? {
        minutes.entry(at).or_insert(Minute { at, errors: 0.0, answers: errors }).errors = errors;
    }
    Ok(minutes.into_values().filter(|minute| minute.answers > 0.0).collect())
}

/// The minutes in which a load balancer answered, or sent on a request, oldest first. Errors are
/// those 5xx of its own that are none of these others.
pub fn of_balancer(
    patient: &Patient,
    balancer: &str,
    others: &[Metric],
) -> Result<Vec<Minute>, Blind> {
    let by_minute = |metric| -> Result<BTreeMap<Timestamp, f64>, Blind> {
        Ok(values(patient, metric, balancer)?.into_iter().collect())
    };
    let mut errors = by_minute(Metric::Elb5xx)?;
    if errors.values().all(|count| *count == 0.0) {
        return Ok(Vec::new());
    }
    for metric in others {
        for (at, count) in by_minute(*metric)? {
            errors.entry(at).and_modify(|errors| *errors = (*errors - count).max(0.0));
        }
    }
    let mut requests = by_minute(Metric::Requests)?;
    errors.keys().for_each(|at| {
        requests.entry(*at).or_default();
    });
    let minute = |(at, requests): (Timestamp, f64)| {
        let errors = errors.get(&at).copied().unwrap_or_default();
        Minute { at, errors, answers: requests + errors }
    };
    Ok(requests.into_iter().map(minute).filter(|minute| minute.answers > 0.0).collect())
}

/// How long the slowest answer of each minute took, oldest first; of the day before the hour, the
/// slowest of each five minutes.
pub fn times(patient: &Patient, group: &str) -> Result<Vec<(Timestamp, f64)>, Blind> {
    values(patient, Metric::ResponseTime, group)
}

/// The values of a metric by the minute, and those of the day before where they were asked for,
/// each at the end of what it covers: what began within it began before that.
fn values(
    patient: &Patient,
    metric: Metric,
    resource: &str,
) -> Result<Vec<(Timestamp, f64)>, Blind> {
    let minutes = patient.metric(metric, resource)?;
    let before = match patient.metric_before(metric, resource) {
        Ok(before) => before,
        Err(Blind { why: Why::NotAsked, .. }) => None,
        Err(blind) => return Err(blind),
    };
    let a_minute = |value: f64| match metric.statistic() {
        "Sum" => value / EARLIER.as_mins() as f64,
        _ => value,
    };
    let before = before
        .into_iter()
        .flat_map(|series| &series.values)
        .map(|(at, value)| (time::after(*at, EARLIER), a_minute(*value)));
    let minutes = minutes.into_iter().flat_map(|series| series.values.iter().copied());
    Ok(before.chain(minutes).collect())
}

/// Target groups and load balancers whose errors, or slow answers, fill the hour: of these the
/// collector asks what was usual the day before. It knows no stopped task yet, and no rule.
pub fn without_beginning(patient: &Patient) -> BTreeSet<String> {
    let is_endless = |minutes: Vec<Minute>| {
        lasting(&minutes, patient.now())
            .is_some_and(|lasting| lasting.since.is_none() && lasting.share() >= NOTABLE)
    };
    let group_is = |group: &str| -> Result<bool, Blind> {
        let times = times(patient, group)?;
        Ok(is_endless(of_group(patient, Metric::Target5xx, group)?)
            || is_endless(of_group(patient, Metric::Target4xx, group)?)
            || (lowest(&times, patient.now()).is_some_and(|lowest| lowest >= LONG)
                && slower(&times, patient.now()).is_none()))
    };
    let balancer_is =
        |balancer: &str| Ok(is_endless(of_balancer(patient, balancer, &OF_OTHER_CHECKS)?));
    // What cannot be seen of the hour would not be seen of the day.
    let found = |is: Result<bool, Blind>| matches!(is, Ok(true));
    let groups = match groups(patient) {
        Ok(groups) => groups,
        Err(_) => return BTreeSet::new(),
    };
    let balancers: BTreeSet<&str> = groups
        .iter()
        .filter_map(|group| Unseen::default().see(patient.target_group(group)).flatten())
        .flat_map(|settings| &settings.load_balancer_arns)
        .map(String::as_str)
        .collect();
    let groups = groups.into_iter().filter(|group| found(group_is(group)));
    let balancers = balancers.into_iter().filter(|balancer| found(balancer_is(balancer)));
    groups.chain(balancers).map(str::to_owned).collect()
}

/// Whether a metric is needed to tell what clients usually get.
pub fn tells_usual(metric: Metric) -> bool {
    matches!(metric.owner(), Owner::LoadBalancer)
        || matches!(
            metric,
            Metric::GroupRequests | Metric::Target5xx | Metric::Target4xx | Metric::ResponseTime
        )
}

/// These minutes without those in which a deployment, scaling or a person stopped a task: what
/// breaks then is that task's end.
pub fn without_replacements(
    patient: &Patient,
    mut minutes: Vec<Minute>,
) -> Result<Vec<Minute>, Blind> {
    if minutes.iter().any(|minute| minute.errors > 0.0) {
        let on_purpose: Vec<&Task> = patient
            .stopped_tasks()?
            .iter()
            .filter(|task| StopKind::of(task).is_on_purpose())
            .collect();
        minutes.retain(|minute| !on_purpose.iter().any(|task| is_near(task, minute.at)));
    }
    Ok(minutes)
}

/// Whether a minute lies within a minute of a task's end, which begins with the word to stop.
pub fn is_near(task: &Task, minute: Timestamp) -> bool {
    let ends = (task.stopping_at.or(task.stopped_at), task.stopped_at.or(task.stopping_at));
    let (Some(first), Some(last)) = ends else { return false };
    minute >= time::before(first, SignedDuration::from_mins(2))
        && minute <= time::after(last, SignedDuration::from_mins(1))
}

/// Errors that last until now, if there are: minutes, oldest first, of which each has at least half
/// the share of errors that the last ones have.
pub fn lasting(minutes: &[Minute], now: Timestamp) -> Option<Lasting> {
    let newest = minutes.last().filter(|minute| time::age(now, minute.at) <= NOW)?;
    let last = &minutes[minutes.len().saturating_sub(LASTING)..];
    let level = share(last) / 2.0;
    let mut begin = minutes.len();
    let mut better = 0;
    for (index, minute) in minutes.iter().enumerate().rev() {
        let is_bad = minute.errors > 0.0 && minute.errors / minute.answers >= level;
        better = if is_bad { 0 } else { better + 1 };
        if better > LUCK {
            break;
        }
        if is_bad {
            begin = index;
        }
    }
    let (before, run) = minutes.split_at(begin);
    let start = time::before(now, SPAN);
    let recent: Vec<Minute> = run.iter().copied().filter(|minute| minute.at >= start).collect();
    let (errors, answers) = sums(&recent);
    if run.len() < LASTING || errors < FEW {
        return None;
    }
    let worst = recent.iter().max_by(|a, b| a.errors.total_cmp(&b.errors)).unwrap_or(newest);
    Some(Lasting {
        errors,
        answers,
        since: run.first().map(|first| first.at).filter(|_| before.len() > LUCK),
        seen: minutes.first().map_or(now, |first| first.at),
        usual: usual(before),
        peak: (worst.at, worst.errors),
        by_minute: ByMinute::of(&recent),
    })
}

/// What was usual, where there was enough before a trouble to tell.
fn usual(before: &[Minute]) -> Option<Usual> {
    let is_enough = before.len() >= 10 && sums(before).1 >= 50.0;
    is_enough.then(|| Usual { share: share(before), by_minute: ByMinute::of(before) })
}

fn share(minutes: &[Minute]) -> f64 {
    let (errors, answers) = sums(minutes);
    if answers > 0.0 { errors / answers } else { 0.0 }
}

/// Errors, and all answers.
fn sums(minutes: &[Minute]) -> (f64, f64) {
    minutes.iter().fold((0.0, 0.0), |(errors, answers), minute| {
        (errors + minute.errors, answers + minute.answers)
    })
}

/// A metric of durations that stays far above what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Slower {
    /// In the middle of the last minutes, in seconds.
    pub now: f64,
    /// In the middle of the minutes before.
    pub usual: f64,
    pub since: Timestamp,
    pub peak: (Timestamp, f64),
}

/// Whether the slowest answer of each minute takes far longer than before: every one of the last
/// ten minutes at least three times the middle of those before it, longer than nearly all of them,
/// and longer than a client likes to wait.
pub fn slower(values: &[(Timestamp, f64)], now: Timestamp) -> Option<Slower> {
    let lowest = lowest(values, now)?;
    let split = values.len().checked_sub(SLOW_MINUTES)?;
    let last = &values[split..];
    // Where it began is where the minutes as slow as these begin.
    let begin = values
        .iter()
        .rposition(|(_, value)| *value < lowest / 2.0)
        .map(|index| index + 1)
        .filter(|begin| *begin <= split)?;
    let before = sorted(&values[..begin]);
    let usual = *before.get(before.len() / 2)?;
    let high = *before.get(before.len() * 9 / 10)?;
    let is_far =
        before.len() >= SLOW_MINUTES && lowest >= LONG && lowest >= 3.0 * usual && lowest > high;
    let (at, peak) = last.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    is_far.then(|| Slower {
        now: sorted(last)[SLOW_MINUTES / 2],
        usual,
        since: values[begin].0,
        peak: (at, peak),
    })
}

/// The quickest of the last minutes' slowest answers.
fn lowest(values: &[(Timestamp, f64)], now: Timestamp) -> Option<f64> {
    values.last().filter(|(at, _)| time::age(now, *at) <= NOW)?;
    let last = &values[values.len().checked_sub(SLOW_MINUTES)?..];
    Some(last.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min))
}

fn sorted(values: &[(Timestamp, f64)]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, NOW as TODAY, id, minutes, minutes_ago};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::of;

    /// Minutes of the last hour, by how long ago each is.
    fn hour(of: impl Fn(i64) -> (f64, f64)) -> Vec<Minute> {
        (1..=60)
            .rev()
            .map(|ago| (minutes_ago(ago), of(ago)))
            .map(|(at, (errors, answers))| Minute { at, errors, answers })
            .filter(|minute| minute.answers > 0.0)
            .collect()
    }

    fn found(of: impl Fn(i64) -> (f64, f64)) -> Option<Lasting> {
        lasting(&hour(of), TODAY)
    }

    #[test]
    fn says_since_when_and_what_was_usual() {
        let lasting = found(|ago| if ago <= 20 { (60.0, 100.0) } else { (1.0, 100.0) }).unwrap();
        assert_eq!(lasting.since, Some(minutes_ago(20)));
        assert_eq!(lasting.usual.map(|usual| usual.share), Some(0.01));
        assert_eq!((lasting.errors, lasting.answers), (900.0, 1500.0));
        assert!(lasting.is_trouble() && lasting.displaces_good());
    }

    #[test]
    fn what_fills_the_hour_has_no_beginning() {
        let lasting = found(|_| (60.0, 100.0)).unwrap();
        assert_eq!((lasting.since, lasting.usual), (None, None));
        assert!(lasting.is_trouble() && !lasting.displaces_good());
    }

    /// A service with these errors in each minute, and with these in the day before, by how many
    /// hours ago; it gets 120 requests a minute.
    fn with_day(errors: f64, before: impl Fn(i64) -> f64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let group = id::group("api");
        let spans = |of: &dyn Fn(i64) -> f64| Series {
            values: (12..300)
                .rev()
                .map(|fives| (minutes_ago(fives * 5 + 5), 5.0 * of(fives / 12)))
                .collect(),
        };
        snapshot.metrics.put(Metric::Target5xx.of(&group), minutes(errors));
        snapshot.metrics_before.put(Metric::Target5xx.of(&group), spans(&before));
        snapshot.metrics_before.put(Metric::GroupRequests.of(&group), spans(&|_| 120.0));
        snapshot
    }

    fn of_group(snapshot: &Snapshot) -> Lasting {
        of(snapshot, |patient| of_app(patient, Metric::Target5xx, &id::group("api")))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn what_fills_the_hour_is_held_against_the_day_before() {
        let lasting = of_group(&with_day(12.0, |ago| if ago <= 4 { 12.0 } else { 0.0 }));
        assert_eq!(lasting.since, Some(minutes_ago(5 * 60 - 5)));
        assert!(lasting.is_trouble());
        assert_eq!(lasting.history(TODAY), "It began 4 h 55 min ago; before that it was none.");
        assert_eq!((lasting.errors, lasting.answers), (180.0, 1800.0), "of the last minutes");
    }

    #[test]
    fn what_fills_the_day_too_is_usual() {
        let lasting = of_group(&with_day(12.0, |_| 12.0));
        assert_eq!((lasting.since, lasting.is_trouble()), (None, false));
        assert_eq!(lasting.history(TODAY), "It has lasted for at least 24 h 55 min.");
    }

    #[test]
    fn the_day_is_asked_about_only_where_something_fills_the_hour() {
        let asked = |snapshot: &Snapshot| {
            let mut snapshot = snapshot.clone();
            snapshot.metrics_before.0.clear();
            of(&snapshot, without_beginning)
        };
        let group = id::group("api");
        assert!(asked(&baseline::fargate()).is_empty());
        assert!(asked(&with_day(1.0, |_| 0.0)).is_empty(), "too few of them");
        assert_eq!(asked(&with_day(12.0, |_| 0.0)), [group.clone()].into());
        let mut recent = baseline::fargate();
        let began = |ago| (minutes_ago(ago), if ago <= 30 { 60.0 } else { 0.0 });
        let series = Series { values: (1..=60).rev().map(began).collect() };
        recent.metrics.put(Metric::Target5xx.of(&group), series);
        assert!(asked(&recent).is_empty(), "it began within the hour");
        let mut slow = baseline::fargate();
        slow.metrics.put(Metric::ResponseTime.of(&group), minutes(9.0));
        assert_eq!(asked(&slow), [group].into());
        let mut balancer = baseline::fargate();
        let web = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        balancer.metrics.put(Metric::Elb5xx.of(&web), minutes(60.0));
        assert_eq!(asked(&balancer), [web].into());
    }

    #[test]
    fn few_errors_a_burst_and_what_is_over_do_not_last() {
        assert_eq!(found(|ago| if ago <= 5 { (1.0, 1.0) } else { (0.0, 1.0) }), None, "few");
        assert_eq!(found(|ago| if ago <= 3 { (60.0, 100.0) } else { (0.0, 100.0) }), None, "short");
        assert_eq!(
            found(|ago| if (10..30).contains(&ago) { (60.0, 100.0) } else { (0.0, 100.0) }),
            None,
            "over"
        );
        assert_eq!(found(|ago| if ago > 10 { (60.0, 100.0) } else { (0.0, 0.0) }), None, "no news");
    }

    #[test]
    fn a_lucky_minute_does_not_end_it() {
        let lasting = found(|ago| match ago {
            4 => (0.0, 2.0),
            ..=30 => (2.0, 2.0),
            _ => (0.0, 4.0),
        });
        assert_eq!(lasting.and_then(|lasting| lasting.since), Some(minutes_ago(30)));
    }

    #[test]
    fn a_usual_share_is_no_trouble() {
        assert!(!found(|_| (6.0, 100.0)).unwrap().is_trouble());
        let risen = found(|ago| if ago <= 20 { (8.0, 100.0) } else { (1.0, 100.0) }).unwrap();
        assert!(risen.is_trouble() && !risen.displaces_good());
    }

    #[test]
    fn who_knocks_at_closed_doors_takes_no_good_answer_away() {
        let scanned = found(|ago| if ago <= 20 { (200.0, 300.0) } else { (1.0, 100.0) }).unwrap();
        assert!(!scanned.displaces_good());
        let retried = found(|ago| if ago <= 20 { (200.0, 220.0) } else { (1.0, 100.0) }).unwrap();
        assert!(retried.displaces_good());
    }

    #[test]
    fn slower_is_every_minute_of_the_last_ten_and_far_above_what_was_usual() {
        let hour = |of: fn(i64) -> f64| -> Vec<(Timestamp, f64)> {
            (1..=60).rev().map(|ago| (minutes_ago(ago), of(ago))).collect()
        };
        let found = |of| slower(&hour(of), TODAY);
        let since = found(|ago| if ago <= 20 { 9.0 } else { 0.3 }).map(|slower| slower.since);
        assert_eq!(since, Some(minutes_ago(20)));
        assert_eq!(found(|ago| if ago <= 8 { 9.0 } else { 0.3 }), None, "too short");
        assert_eq!(found(|_| 9.0), None, "always so");
        assert_eq!(found(|ago| if ago <= 20 { 1.2 } else { 0.1 }), None, "still quick");
        assert_eq!(found(|ago| if ago % 5 == 0 || ago <= 20 { 9.0 } else { 0.3 }), None, "reports");
    }
}
