//! The app answers the health check, but with a code that the matcher refuses. It names the path, the code and the
//! matcher, and proposes a path that the log shows to answer 2xx.

use crate::call::{Call, LOG_STREAM};
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::{health_check, log, traffic};
use crate::snapshot::{LogLine, TargetGroup};

crate::check! {
    /// The app is up and answers the balancer's health check, but with a status code that the target group does not
    /// count as healthy: 404 on `/` is the usual one.
    ///
    /// # Why it matters
    ///
    /// The target stays unhealthy, ECS replaces the task again and again, a new version never gets traffic, and in
    /// the end the deployment fails. The console shows none of the reason.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` gives the reason `Target.ResponseCodeMismatch` and the code; between two tasks, when no
    /// target is registered, the newest service event does. An answer proves that network, security groups and port
    /// are right. Where the container's log shows a path that answers 2xx, it is proposed. A 5xx code says that the
    /// app is up and fails by itself: then the path may well be right.
    ///
    /// # What to do
    ///
    /// Ask a path that answers 200 without login, redirect or database:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --health-check-path /health
    /// aws ecs update-express-gateway-service --service-arn <arn> --health-check-path /health   # Express Mode
    /// ```
    ///
    /// Terraform/OpenTofu: `health_check { path = "/health" }` in `aws_lb_target_group`, or `health_check_path` in
    /// `aws_ecs_express_gateway_service`.
    ///
    /// # See also
    ///
    /// `targets_unhealthy`, `health_check_refused`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "The app gives the health check a code that does not count as healthy",
    severity: Critical,
    role: Cause,
    explains: [TargetsUnhealthy],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, GetLogEvents,
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
    let groups = traffic::groups(patient)?;
    if groups.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer"));
    }
    for group in groups {
        let Some(failures) = findings.see(health_check::failures(patient, group)) else { continue };
        let mismatches: Vec<_> = failures.iter().filter(|failure| failure.code.is_some()).collect();
        let Some(first) = mismatches.first() else { continue };
        let Some(code) = first.code else { continue };
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        let path = settings.health_check_path.as_deref().unwrap_or("/");
        let matcher = settings.matcher.as_deref().unwrap_or("200");
        let name = traffic::group_name(group);
        let answers = match code {
            500..=599 => "The app is up, but fails by itself",
            _ => "The app is up and reachable, only the health check asks for the wrong thing",
        };
        let says = format!("The health check of target group {name} asks {path} and gets {code}; only {matcher} counts as healthy. {answers}.");
        let mut finding = Subject::new(Kind::TargetGroup, group)
            .sick(says, first.evidence.clone())
            .because(Evidence::new(Call::DescribeTargetGroups, group, "HealthCheckPath", path))
            .because(Evidence::new(Call::DescribeTargetGroups, group, "Matcher", matcher));
        let (proposed, seen) = match findings.see(lines(patient)) {
            Some(lines) => evidence_in_logs(path, &lines),
            None => (None, Vec::new()),
        };
        finding = finding.because_all(seen);
        finding = finding.mend(remedy(patient, settings, code, proposed.as_deref())).concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?);
        findings.add(finding);
    }
    Ok(())
}

/// Log lines of the service's containers, with what they were asked of: a stream or, for the health checker, a group.
fn lines<'a>(patient: &Patient<'a>) -> Result<Vec<(Call, String, &'a LogLine)>, crate::seen::Blind> {
    let mut lines = Vec::new();
    for stream in crate::reading::container_log::streams(patient)? {
        let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
        lines.extend(patient.log_lines(stream.group, &stream.stream)?.iter().map(|line| (Call::GetLogEvents, of.clone(), line)));
    }
    for group in crate::reading::container_log::groups(patient)? {
        lines.extend(patient.health_checker_lines(group)?.iter().map(|line| (Call::FilterLogEvents, group.to_owned(), line)));
    }
    Ok(lines)
}

/// The app's own line about the health check, and the path that would have passed it.
fn evidence_in_logs(path: &str, lines: &[(Call, String, &LogLine)]) -> (Option<String>, Vec<Evidence>) {
    let evidence = |(call, of, line): &(Call, String, &LogLine)| Evidence::new(*call, of, "message", &line.message).at(line.timestamp);
    let refused = lines.iter().rev().find(|(_, _, line)| {
        log::is_health_checker(&line.message)
            && log::request(&line.message).is_some_and(|request| request.path == path && !(200..300).contains(&request.code))
    });
    let answered = log::path_that_answers(lines.iter().map(|(_, _, line)| *line)).filter(|(answers, _)| *answers != path);
    let proof = answered.and_then(|(_, line)| lines.iter().find(|(_, _, other)| std::ptr::eq(*other, line)));
    (answered.map(|(path, _)| path.to_owned()), refused.into_iter().chain(proof).map(evidence).collect())
}

fn remedy(patient: &Patient, group: &TargetGroup, code: u16, proposed: Option<&str>) -> Remedy {
    let path = proposed.unwrap_or("/health");
    let summary = match (code, proposed) {
        (500..=599, _) => "Read the app's log: it answers, and fails. Only if this path needs more than the app itself, ask another.".to_owned(),
        (_, Some(path)) if log::named_for_health(path) => format!("Let the health check ask {path}, which answers 2xx in the container's log."),
        (_, Some(path)) => format!("Let the health check ask a path that needs no login and no database; in the container's log {path} answers 2xx."),
        (300..=399 | 401 | 403, None) => {
            "Let the health check ask a path that needs no login and does not redirect; or widen the matcher.".to_owned()
        }
        (_, None) => "Let the health check ask a path that the app answers with 200 (no log shows one; /health stands for yours).".to_owned(),
    };
    if patient.is_express() {
        Remedy::new(summary)
            .cli(format!("aws ecs update-express-gateway-service --service-arn {} --health-check-path {path}", patient.arn()))
            .terraform(format!("resource \"aws_ecs_express_gateway_service\" \"{}\" {{\n  health_check_path = \"{path}\"\n}}", patient.name()))
    } else {
        Remedy::new(summary)
            .cli(format!("aws elbv2 modify-target-group --target-group-arn {} --health-check-path {path}", group.target_group_arn))
            .terraform(format!(
                "resource \"aws_lb_target_group\" \"{}\" {{\n  health_check {{\n    path = \"{path}\"\n  }}\n}}",
                group.target_group_name
            ))
    }
}
