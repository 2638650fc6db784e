//! The app answers the health check, but with a status code that the matcher refuses. It names the
//! path, the code and the matcher, and proposes a path that the log shows to answer 2xx.

use crate::aws::request_log;
use crate::call::{Call, LOG_STREAM};
use crate::catalog::balancer::common::complaint::complaint;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::{health_check, traffic};
use crate::facts::tasks::container_log;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::{LogLine, TargetGroup};
use crate::{aws, hcl};

crate::check! {
    /// The app is up and answers the load balancer's health check, but with a status code that the
    /// target group does not count as healthy: 404 on `/` is the usual one.
    ///
    /// # Why it matters
    ///
    /// The target stays unhealthy, ECS replaces the task again and again, a new version never gets
    /// traffic, and the deployment finally fails. The console does not show the reason.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` gives the reason `Target.ResponseCodeMismatch` and the code; between
    /// two tasks, when no target is registered, the newest service event does. Of a version that
    /// ECS rolled back, the events of its time do, until a later deployment succeeds. An answer
    /// proves that network, security groups and port are right. Where the container's log shows a
    /// path that returns 2xx, it is proposed. A 5xx code says that the app is up and returns an
    /// error: then the path may well be right, and a database or another service that cannot be
    /// reached is named as the cause where one is found.
    ///
    /// # What to do
    ///
    /// Set the health check path to one that returns 200 without login, redirect or database:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --health-check-path /health
    /// aws ecs update-express-gateway-service --service-arn <arn> --health-check-path /health   # Express Mode
    /// ```
    ///
    /// Terraform/OpenTofu: `health_check { path = "/health" }` in `aws_lb_target_group`, or
    /// `health_check_path` in `aws_ecs_express_gateway_service`.
    ///
    /// # See also
    ///
    /// `targets_unhealthy`, `health_check_refused`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "The health check gets an unexpected status code",
    severity: Critical,
    role: Cause,
    shows: HealthCheckFailsInApp,
    explains: [TargetsUnhealthy],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, GetLogEvents,
        FilterLogEvents,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, unhealthy};
        let mismatch = |address| unhealthy(address, 8080, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [404]");
        snapshot.target_health.put(id::group("api"), vec![mismatch("10.0.1.21"), mismatch("10.0.2.22")]);
        snapshot.target_groups.change(&id::group("api")).into_iter().for_each(|group| group.health_check_path = Some("/".into()));
        let stream = format!("ecs/app/{}", id::task(1));
        let line = |message: &str| LogLine { timestamp: Some(crate::baseline::minutes_ago(1)), message: message.into(), log_stream_name: stream.clone() };
        let lines = vec![line(r#""GET / HTTP/1.1" 404 "ELB-HealthChecker/2.0""#), line(r#""GET /health HTTP/1.1" 200 "curl/8.5.0""#)];
        snapshot.logs.put(format!("/ecs/api{LOG_STREAM}{stream}"), lines);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in health_check::groups(patient, findings)? {
        let Some(failures) = findings.see(health_check::now_or_then(patient, group)) else {
            continue;
        };
        let mismatches: Vec<_> = failures.iter().filter(|failure| failure.code.is_some()).collect();
        let Some(first) = mismatches.first() else { continue };
        let Some(code) = first.code else { continue };
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        let path = settings.health_check_path.as_deref().unwrap_or("/");
        let matcher = settings.matcher.as_deref().unwrap_or("200");
        let name = traffic::group_name(group);
        let past = first.past(patient.now());
        let answers = match (code, &past) {
            (500..=599, None) => "The app is up, but returns an error.",
            (500..=599, Some(_)) => "The app was up, but returned an error.",
            (_, None) => "The app is up and reachable; only the health check does not match it.",
            (_, Some(_)) => "The app was up and reachable; only the health check did not match it.",
        };
        let claim = match &past {
            None => format!(
                "the health check of target group {name} requests {path} and gets {code}; it expects {matcher}"
            ),
            Some((version, until)) => format!(
                "the health check of target group {name} requested {path} from {version} and got {code}{until}; it expected {matcher}"
            ),
        };
        let mut finding = Subject::new(Kind::TargetGroup, group)
            .sick(claim, first.evidence.clone())
            .detail(answers)
            .because(Evidence::new(Call::DescribeTargetGroups, group, "HealthCheckPath", path))
            .because(Evidence::new(Call::DescribeTargetGroups, group, "Matcher", matcher));
        let (proposed, seen) = match findings.see(lines(patient)) {
            Some(lines) => evidence_in_logs(path, &lines),
            None => (None, Vec::new()),
        };
        finding = finding.because_all(seen);
        // That a path is not there, or leads elsewhere, is no error of the app's.
        if !matches!(code, 300..=399 | 404) {
            finding = finding.because_all(complaint(patient, findings, group, &failures));
        }
        let log =
            findings.see(container_log::groups(patient)).and_then(|logs| logs.into_iter().next());
        let remedy = remedy(patient, settings, code, proposed.as_deref(), log);
        // What the app calls may make it fail, and not make it answer 404.
        finding = finding
            .alone_if(!(500..=599).contains(&code))
            .mend(remedy)
            .concerns(Kind::TargetGroup, group)
            .concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?)
            .concerns_all(
                Kind::TaskDefinition,
                first.given_up().and_then(|version| version.task_definition),
            );
        findings.add(finding);
    }
    Ok(())
}

/// Log lines of the service's containers, with what they were asked of: a stream or, for the health
/// checker, a group.
fn lines<'a>(
    patient: &Patient<'a>,
) -> Result<Vec<(Call, String, &'a LogLine)>, crate::seen::Blind> {
    let mut lines = Vec::new();
    for stream in container_log::streams(patient)? {
        let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
        lines.extend(
            patient
                .log_lines(stream.group, &stream.stream)?
                .iter()
                .map(|line| (Call::GetLogEvents, of.clone(), line)),
        );
    }
    for group in container_log::groups(patient)? {
        lines.extend(
            patient
                .health_checker_lines(group)?
                .iter()
                .map(|line| (Call::FilterLogEvents, group.to_owned(), line)),
        );
    }
    Ok(lines)
}

/// The app's own line about the health check, and the path that would have passed it.
fn evidence_in_logs(
    path: &str,
    lines: &[(Call, String, &LogLine)],
) -> (Option<String>, Vec<Evidence>) {
    let evidence = |(call, of, line): &(Call, String, &LogLine)| {
        Evidence::new(*call, of, "message", &line.message).at(line.timestamp)
    };
    let refused = lines.iter().rev().find(|(_, _, line)| {
        request_log::is_health_checker(&line.message)
            && request_log::request(&line.message)
                .is_some_and(|request| request.path == path && !(200..300).contains(&request.code))
    });
    let answered = request_log::path_that_answers(lines.iter().map(|(_, _, line)| *line))
        .filter(|(answers, _)| answers != path);
    let proof = answered
        .as_ref()
        .and_then(|(_, line)| lines.iter().find(|(_, _, other)| std::ptr::eq(*other, *line)));
    let evidence = refused.into_iter().chain(proof).map(evidence).collect();
    (answered.map(|(path, _)| path), evidence)
}

fn remedy(
    patient: &Patient,
    group: &TargetGroup,
    code: u16,
    proposed: Option<&str>,
    log: Option<&str>,
) -> Remedy {
    // Any other path in the log may well need a login or a database: no command proposes it.
    let named = proposed.filter(|path| request_log::named_for_health(path));
    if let (500..=599, None, Some(log)) = (code, named, log) {
        let summary = "The app answers with an error: look at its logs. If this path depends on more than the app itself, such as a database, remove that dependency.";
        return Remedy::new(summary).cli(patient.see(Call::FilterLogEvents, log));
    }
    // Where the usual path is the one that fails, only the user knows another.
    let usual = Some("/health").filter(|usual| group.health_check_path.as_deref() != Some(*usual));
    let known = named.or(usual);
    let word = known.map_or_else(|| Word::needed("HEALTH_CHECK_PATH"), Word::new);
    let path = known.unwrap_or("<path>");
    let summary = match (code, proposed) {
        (500..=599, _) => "The app answers with an error: look at its logs. Change the health check path only if this one depends on more than the app itself.".to_owned(),
        (_, Some(path)) if named.is_some() => format!("Set the health check path to {path}, which returns 2xx in the container's log."),
        (_, Some(path)) => format!("Set the health check path to one that needs no login and no database; in the container's log {path} returns 2xx."),
        (300..=399 | 401 | 403, None) => {
            "Set the health check path to one that needs no login and does not redirect, or widen the matcher.".to_owned()
        }
        (_, None) => format!("Set the health check path to one for which the app returns 200 (no log shows one; {path} stands for yours)."),
    };
    if patient.is_express() {
        Remedy::new(summary)
            .cli(aws!(
                "ecs update-express-gateway-service --service-arn {} --health-check-path {}",
                patient.arn(),
                word
            ))
            .terraform(hcl!(
                r#"
                resource "aws_ecs_express_gateway_service" {} {
                  health_check_path = {}
                }"#,
                patient.name(),
                path
            ))
    } else {
        Remedy::new(summary)
            .cli(aws!(
                "elbv2 modify-target-group --target-group-arn {} --health-check-path {}",
                group.target_group_arn,
                word
            ))
            .terraform(hcl!(
                r#"
                resource "aws_lb_target_group" {} {
                  health_check {
                    path = {}
                  }
                }"#,
                group.target_group_name,
                path
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{id, unhealthy};
    use crate::snapshot::Snapshot;
    use crate::testing::exam;

    /// The targets answer with a code, and the log of a task has a line.
    fn answers(code: u16, path: &str, logged: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let description = format!("Health checks failed with these codes: [{code}]");
        let target =
            |address| unhealthy(address, 8080, "Target.ResponseCodeMismatch", &description);
        snapshot
            .target_health
            .put(id::group("api"), vec![target("10.0.1.21"), target("10.0.2.22")]);
        snapshot
            .target_groups
            .change(&id::group("api"))
            .into_iter()
            .for_each(|group| group.health_check_path = Some(path.into()));
        let stream = format!("ecs/app/{}", id::task(1));
        let line = LogLine {
            message: logged.into(),
            log_stream_name: stream.clone(),
            ..LogLine::default()
        };
        snapshot.logs.put(format!("/ecs/api{LOG_STREAM}{stream}"), vec![line]);
        snapshot
    }

    fn commands(snapshot: &Snapshot) -> Vec<String> {
        exam(CHECK, snapshot).findings[0].remedy.shell()
    }

    #[test]
    fn what_the_app_calls_may_explain_its_5xx_and_no_other_code() {
        for (code, alone) in [(404, true), (401, true), (302, true), (500, false), (503, false)] {
            assert_eq!(
                exam(CHECK, &answers(code, "/health", "GET /health")).findings[0].alone,
                alone,
                "{code}"
            );
        }
    }

    #[test]
    fn an_app_that_fails_by_itself_is_sent_to_its_log() {
        let commands = commands(&answers(503, "/health", "GET /orders/4711 200"));
        assert!(
            commands[0].starts_with("aws logs filter-log-events --log-group-name /ecs/api"),
            "{commands:?}"
        );
        assert_eq!(commands.len(), 1);
    }

    #[test]
    fn no_command_asks_for_a_path_that_is_not_meant_for_health() {
        assert!(
            commands(&answers(404, "/", "GET /orders/4711 200"))[0]
                .ends_with(" --health-check-path /health")
        );
        assert!(
            commands(&answers(404, "/health", "GET /orders/4711 200"))[0]
                .ends_with(" --health-check-path \"$HEALTH_CHECK_PATH\"")
        );
        assert!(
            commands(&answers(404, "/", "GET /ready 200"))[0]
                .ends_with(" --health-check-path /ready")
        );
    }
}
