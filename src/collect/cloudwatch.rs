//! What CloudWatch tells: alarms in one batch (ECS's own rollback monitor shares their quota),
//! their history, and every metric of the last hour in one batch. What was usual the day before is
//! asked only of what is in trouble for all of that hour.

use std::collections::BTreeSet;

use aws_sdk_cloudwatch::types::{self, AlarmType, Dimension, MetricDataQuery, MetricStat, ScanBy};
use checks::call::{self, Call};
use checks::facts::inbound::answers;
use checks::seen::Seen;
use checks::snapshot::metric::{Metric, Owner, Series};
use checks::snapshot::{Alarm, AlarmTransition, Table, WebAcl};
use jiff::{SignedDuration, Timestamp};

use super::{Aws, fill, text, time};

/// What a batch covers, and with what period: CloudWatch rounds to it.
struct Span {
    start: Timestamp,
    end: Timestamp,
    /// In seconds.
    period: i32,
}

impl Span {
    /// The last hour, minute by minute.
    fn hour(now: Timestamp) -> Span {
        Span { start: now - SignedDuration::from_hours(1), end: now, period: 60 }
    }

    /// The day before that hour, in fives of minutes.
    fn day_before(now: Timestamp) -> Span {
        let period = 300;
        let hour_ago = now - SignedDuration::from_hours(1);
        let over = hour_ago.as_second().rem_euclid(period.into());
        let end = hour_ago - SignedDuration::from_secs(over);
        Span { start: end - SignedDuration::from_hours(24), end, period }
    }
}

/// One query of the batch: its id there, and the metric of the resource that it asks for.
pub struct Query {
    id: String,
    namespace: &'static str,
    metric: Metric,
    /// The key of the resource in the snapshot: its ARN.
    resource: String,
    dimensions: Vec<(&'static str, String)>,
}

impl Query {
    pub fn of_balancer(index: usize, arn: &str) -> Vec<Query> {
        let dimensions = vec![("LoadBalancer", suffix(arn, ":loadbalancer/").to_owned())];
        let owner = if is_network(arn) { Owner::NetworkBalancer } else { Owner::LoadBalancer };
        of(owner, call::namespace(arn), &format!("lb{index}"), arn, &dimensions)
    }

    pub fn of_group(index: usize, arn: &str, balancer: &str) -> Vec<Query> {
        let group = arn.rsplit(':').next().unwrap_or(arn).to_owned();
        let dimensions = vec![
            ("TargetGroup", group),
            ("LoadBalancer", suffix(balancer, ":loadbalancer/").to_owned()),
        ];
        let prefix = format!("tg{index}");
        let queries = of(Owner::TargetGroup, call::namespace(balancer), &prefix, arn, &dimensions);
        // A network load balancer counts the targets of its groups, and nothing else of them.
        let exists = |query: &Query| {
            !is_network(balancer)
                || matches!(query.metric, Metric::HealthyHosts | Metric::UnhealthyHosts)
        };
        queries.into_iter().filter(exists).collect()
    }

    pub fn of_service(arn: &str, cluster: &str, service: &str) -> Vec<Query> {
        of(
            Owner::Service,
            "AWS/ECS",
            "svc",
            arn,
            &[("ClusterName", cluster.to_owned()), ("ServiceName", service.to_owned())],
        )
    }

    /// How often a load balancer signed users in, and could not.
    pub fn of_sign_in(arn: &str) -> Vec<Query> {
        let dimensions = vec![("LoadBalancer", suffix(arn, ":loadbalancer/").to_owned())];
        of(Owner::SignIn, call::namespace(arn), "auth", arn, &dimensions)
    }

    /// What a web ACL blocks as a whole, and by each of its rules.
    pub fn of_web_acl(acl: &WebAcl, region: &str) -> Vec<Query> {
        let Some(name) = &acl.metric_name else { return Vec::new() };
        let rules = acl
            .rules
            .iter()
            .filter_map(|rule| rule.metric_name.as_deref())
            .map(|rule| (rule, acl.metric_of(rule)));
        let all = std::iter::once(("ALL", acl.arn.clone())).chain(rules);
        let of_rule = |(index, (rule, resource)): (usize, (&str, String))| {
            let dimensions = [
                ("WebACL", name.clone()),
                ("Rule", rule.to_owned()),
                ("Region", region.to_owned()),
            ];
            of(Owner::WebAcl, "AWS/WAFV2", &format!("acl{index}"), &resource, &dimensions)
        };
        all.enumerate().flat_map(of_rule).collect()
    }

    /// Whether it helps to tell what is usual of these resources.
    pub fn tells_usual_of(&self, resources: &BTreeSet<String>) -> bool {
        answers::tells_usual(self.metric) && resources.contains(&self.resource)
    }

    fn build(&self, period: i32) -> MetricDataQuery {
        let dimensions = self
            .dimensions
            .iter()
            .map(|(name, value)| Dimension::builder().name(*name).value(value).build())
            .collect();
        let metric = types::Metric::builder()
            .namespace(self.namespace)
            .metric_name(self.metric.name())
            .set_dimensions(Some(dimensions))
            .build();
        let stat = MetricStat::builder()
            .metric(metric)
            .period(period)
            .stat(self.metric.statistic())
            .build();
        MetricDataQuery::builder().id(&self.id).metric_stat(stat).return_data(true).build()
    }
}

/// Whether a load balancer is a network load balancer, by its ARN.
fn is_network(balancer: &str) -> bool {
    balancer.contains(":loadbalancer/net/")
}

fn of(
    owner: Owner,
    namespace: &'static str,
    prefix: &str,
    resource: &str,
    dimensions: &[(&'static str, String)],
) -> Vec<Query> {
    let metrics = Metric::ALL.iter().copied().filter(|metric| metric.owner() == owner);
    metrics
        .map(|metric| Query {
            id: format!("{prefix}_{}", short(metric)),
            namespace,
            metric,
            resource: resource.into(),
            dimensions: dimensions.to_vec(),
        })
        .collect()
}

/// The part of a query's id that says which metric it is; ids start with a small letter and have no
/// capitals here.
fn short(metric: Metric) -> &'static str {
    match metric {
        Metric::Requests | Metric::GroupRequests => "requests",
        Metric::Elb5xx => "elb_5xx",
        Metric::Elb502 => "elb_502",
        Metric::Elb503 => "elb_503",
        Metric::Elb504 => "elb_504",
        Metric::Target5xx => "target_5xx",
        Metric::Target4xx => "target_4xx",
        Metric::Target3xx => "target_3xx",
        Metric::NewFlows => "new_flows",
        Metric::ElbResets => "elb_resets",
        Metric::TargetResets => "target_resets",
        Metric::PortErrors => "port_errors",
        Metric::HealthyHosts => "healthy",
        Metric::UnhealthyHosts => "unhealthy",
        Metric::ResponseTime => "response_time",
        Metric::Cpu => "cpu",
        Metric::Memory => "memory",
        Metric::FixedResponses => "fixed",
        Metric::ConnectionErrors => "connection_errors",
        Metric::WafBlocked => "blocked",
        Metric::AuthErrors => "errors",
        Metric::AuthSuccesses => "successes",
    }
}

/// The value of a dimension: what follows in the ARN.
fn suffix<'a>(arn: &'a str, after: &str) -> &'a str {
    arn.split_once(after).map_or(arn, |(_, rest)| rest)
}

impl Aws {
    pub async fn metrics(&self, queries: &[Query], now: Timestamp) -> Table<Series> {
        self.metrics_of(queries, Span::hour(now)).await
    }

    pub async fn metrics_before(&self, queries: &[Query], now: Timestamp) -> Table<Series> {
        self.metrics_of(queries, Span::day_before(now)).await
    }

    async fn metrics_of(&self, queries: &[Query], span: Span) -> Table<Series> {
        let mut table = Table::default();
        for batch in queries.chunks(500) {
            let pages = self.asker.pages(Call::GetMetricData, |token| async {
                let request = self
                    .cloudwatch
                    .get_metric_data()
                    .set_metric_data_queries(Some(
                        batch.iter().map(|query| query.build(span.period)).collect(),
                    ))
                    .start_time(moment(span.start))
                    .end_time(moment(span.end))
                    .scan_by(ScanBy::TimestampAscending);
                let page = request.set_next_token(token).send().await?;
                Ok((page.metric_data_results.unwrap_or_default(), page.next_token))
            });
            let results = pages.await;
            for query in batch {
                let series = results.as_ref().map(|results| {
                    series(
                        results
                            .iter()
                            .flatten()
                            .filter(|result| result.id.as_deref() == Some(&query.id)),
                    )
                });
                table.insert(query.metric.of(&query.resource), series.map(Some));
            }
        }
        table
    }

    pub async fn alarms(&self, names: &[String]) -> Table<Alarm> {
        let mut table = Table::default();
        for batch in names.chunks(100) {
            let pages = self.asker.pages(Call::DescribeAlarms, |token| async {
                let request =
                    self.cloudwatch.describe_alarms().set_alarm_names(Some(batch.to_vec()));
                let request = request
                    .alarm_types(AlarmType::MetricAlarm)
                    .alarm_types(AlarmType::CompositeAlarm);
                let page = request.set_next_token(token).send().await?;
                let metric = page.metric_alarms.unwrap_or_default().into_iter().map(metric_alarm);
                let composite =
                    page.composite_alarms.unwrap_or_default().into_iter().map(composite_alarm);
                Ok((metric.chain(composite).collect::<Vec<_>>(), page.next_token))
            });
            fill(&mut table, batch, pages.await.map(Option::unwrap_or_default), |alarm| {
                &alarm.alarm_name
            });
        }
        table
    }

    /// State changes of an alarm, newest first.
    pub async fn alarm_history(&self, name: &str) -> Seen<Option<Vec<AlarmTransition>>> {
        let request = self
            .cloudwatch
            .describe_alarm_history()
            .alarm_name(name)
            .history_item_type(types::HistoryItemType::StateUpdate)
            .scan_by(ScanBy::TimestampDescending)
            .max_records(100)
            .send();
        self.asker.ask(Call::DescribeAlarmHistory, request).await.map(|reply| {
            let items = reply?.alarm_history_items.unwrap_or_default();
            let transition = |item: types::AlarmHistoryItem| AlarmTransition {
                timestamp: time(item.timestamp),
                history_summary: item.history_summary.unwrap_or_default(),
            };
            Some(items.into_iter().map(transition).collect())
        })
    }
}

/// One metric may come on several pages.
fn series<'a>(results: impl Iterator<Item = &'a types::MetricDataResult>) -> Series {
    let mut values: Vec<(Timestamp, f64)> = results
        .flat_map(|result| {
            let times = result.timestamps().iter().filter_map(|at| time(Some(*at)));
            times.zip(result.values().iter().copied()).collect::<Vec<_>>()
        })
        .collect();
    values.sort_by_key(|(at, _)| *at);
    Series { values }
}

fn moment(at: Timestamp) -> aws_smithy_types::DateTime {
    aws_smithy_types::DateTime::from_secs(at.as_second())
}

fn metric_alarm(from: types::MetricAlarm) -> Alarm {
    let queries = from.metrics.unwrap_or_default();
    let stats = || queries.iter().filter_map(|query| query.metric_stat.as_ref()?.metric.as_ref());
    let dimensions =
        stats().flat_map(|metric| metric.dimensions()).chain(from.dimensions.iter().flatten());
    let groups = dimensions
        .filter(|dimension| dimension.name.as_deref() == Some("TargetGroup"))
        .filter_map(|dimension| dimension.value.clone());
    Alarm {
        target_groups: unique(groups),
        metric_names: unique(
            stats().filter_map(|metric| metric.metric_name.clone()).chain(from.metric_name.clone()),
        ),
        expressions: queries.iter().filter_map(|query| query.expression.clone()).collect(),
        alarm_name: from.alarm_name.unwrap_or_default(),
        state_value: text(from.state_value).unwrap_or_default(),
        state_reason: from.state_reason,
        state_updated_timestamp: time(from.state_updated_timestamp),
        threshold: from.threshold,
        comparison_operator: text(from.comparison_operator),
        evaluation_periods: from.evaluation_periods,
        datapoints_to_alarm: from.datapoints_to_alarm,
        treat_missing_data: from.treat_missing_data,
    }
}

/// A composite alarm has a rule over other alarms and no metric of its own.
fn composite_alarm(from: types::CompositeAlarm) -> Alarm {
    Alarm {
        alarm_name: from.alarm_name.unwrap_or_default(),
        state_value: text(from.state_value).unwrap_or_default(),
        state_reason: from.state_reason,
        state_updated_timestamp: time(from.state_updated_timestamp),
        expressions: from.alarm_rule.into_iter().collect(),
        ..Alarm::default()
    }
}

fn unique(values: impl Iterator<Item = String>) -> Vec<String> {
    values.collect::<BTreeSet<_>>().into_iter().collect()
}
