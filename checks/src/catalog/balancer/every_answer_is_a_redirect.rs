//! The app redirects every request, and likely to where it came from: TLS ends at the load
//! balancer, the app sees plain HTTP, and redirects to HTTPS. A redirect of the load balancer
//! itself is not the app's, and a service that is there to redirect does so from the start.

use std::sync::LazyLock;

use jiff::SignedDuration;
use regex::Regex;

use crate::aws::{request_log, time};
use crate::call::{Call, LOG_STREAM};
use crate::catalog::balancer::common::new_version;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::answers::{self, Minute};
use crate::facts::inbound::traffic::{self, Forward};
use crate::facts::tasks::container_log;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::Listener;
use crate::snapshot::metric::Metric;
use crate::text::pattern;
use crate::{aws, hcl};

crate::check! {
    /// Behind a load balancer that ends TLS, the app answers every request with a redirect.
    ///
    /// # Why it matters
    ///
    /// Browsers stop with `ERR_TOO_MANY_REDIRECTS`, other clients after ten or twenty requests for
    /// the same page. Tasks run, health checks pass, and a redirect is not an error, so no alarm
    /// fires.
    ///
    /// # How we tell
    ///
    /// An HTTPS listener forwards to an HTTP target group. Of its answers in the last 15 minutes at
    /// least 95 % are 3xx (`HTTPCode_Target_3XX_Count` against `RequestCount`), or, in a snapshot
    /// without that metric, all requests in the log of a running task but those of the health
    /// checker. And either the name of an environment variable tells (`FORCE_SSL`,
    /// `SECURE_SSL_REDIRECT`), or it was different before: a service that is there to redirect has
    /// always done so. The destination of the redirects is not seen, so the verdict is "likely".
    ///
    /// # What to do
    ///
    /// Configure the app to trust the load balancer's `X-Forwarded-Proto`:
    /// `SECURE_PROXY_SSL_HEADER` (Django), `config.assume_ssl` (Rails), forwarded headers (ASP.NET
    /// Core, Spring), `--forwarded-allow-ips` (Uvicorn, Gunicorn). Or turn the app's redirect off
    /// and let the load balancer redirect:
    ///
    /// ```sh
    /// aws elbv2 create-listener --load-balancer-arn <arn> --protocol HTTP --port 80 --default-actions 'Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}'
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_lb_listener` with a `redirect`, and without the variable in
    /// `container_definitions`.
    ///
    /// # See also
    ///
    /// `plain_http_served`, `health_check_wrong_answer`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html>
    title: "The app answers every request with a redirect",
    severity: High,
    role: Cause,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTasks, DescribeTaskDefinition,
        GetMetricData, GetLogEvents,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes};
        snapshot.metrics.put(Metric::Target3xx.of(&id::group("api")), minutes(119.0));
        let definition = id::ecs("task-definition/api:12");
        let variable = crate::snapshot::EnvironmentVariable { name: "SECURE_SSL_REDIRECT".into(), hosts: Vec::new() };
        let containers = snapshot.task_definitions.change(&definition).into_iter().flat_map(|it| &mut it.container_definitions);
        containers.for_each(|container| container.environment.push(variable.clone()));
    },
}

/// From here on every answer is one: a health check or a probe of another port may be between.
const ALL: f64 = 0.95;
/// Fewer answers prove nothing.
const FEW: f64 = 20.0;

/// Names of variables that make an app redirect to HTTPS.
static FORCES_TLS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:force|redirect|require|enforce|secure)_?(?:to_?)?(?:ssl|https|tls)|(?:ssl|https|tls)_?(?:redirect|only|required)",
    )
});

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let forwards = traffic::forwards(patient)?;
    let mut examined = false;
    for group in answers::groups(patient)? {
        let is_plain = patient
            .target_group(group)?
            .is_some_and(|settings| settings.protocol.as_deref() == Some("HTTP"));
        let is_secure = |forward: &&Forward| {
            forward.listener.protocol.as_deref() == Some("HTTPS")
                && forward.live().any(|share| share.group == group)
        };
        let Some(forward) = forwards.iter().find(is_secure).filter(|_| is_plain) else { continue };
        examined = true;
        let found = findings.see(Redirects::of(patient, group)).flatten();
        let Some(found) = found else { continue };
        let variable = findings.see(variable(patient, group)).flatten();
        if variable.is_some() || found.is_new {
            let plain = findings.see(has_plain_listener(patient, forward.listener)).unwrap_or(true);
            findings.add(finding(patient, group, forward, found, variable, plain));
        }
    }
    if examined {
        Ok(())
    } else {
        Err(NoAnswer::NotApplicable("no HTTPS listener forwards to plain HTTP targets"))
    }
}

/// That every answer is a redirect.
struct Redirects {
    /// `1785 of 1800 requests (99 %)`
    words: String,
    evidence: Evidence,
    /// It was otherwise within the hour.
    is_new: bool,
}

impl Redirects {
    fn of(patient: &Patient, group: &str) -> Result<Option<Redirects>, Blind> {
        match patient.metric(Metric::Target3xx, group) {
            Err(Blind { why: Why::NotAsked, .. }) => Redirects::by_log(patient, group),
            series => {
                series?;
                Redirects::by_metric(patient, group)
            }
        }
    }

    fn by_metric(patient: &Patient, group: &str) -> Result<Option<Redirects>, Blind> {
        let minutes = answers::of_group(patient, Metric::Target3xx, group)?;
        let start = time::before(patient.now(), answers::SPAN);
        let (now, before): (Vec<Minute>, Vec<Minute>) =
            minutes.into_iter().partition(|minute| minute.at >= start);
        let share = |minutes: &[Minute]| {
            let answers: f64 = minutes.iter().map(|minute| minute.answers).sum();
            let redirects: f64 = minutes.iter().map(|minute| minute.errors).sum();
            (redirects, answers, if answers > 0.0 { redirects / answers } else { 0.0 })
        };
        let (redirects, answers, of_now) = share(&now);
        let (_, earlier, of_before) = share(&before);
        let worst = now.iter().max_by(|a, b| a.errors.total_cmp(&b.errors));
        let Some(worst) = worst.filter(|_| answers >= FEW && of_now >= ALL) else {
            return Ok(None);
        };
        Ok(Some(Redirects {
            words: format!(
                "{redirects:.0} of {answers:.0} requests ({:.0} %) in the last 15 min",
                100.0 * of_now.min(1.0)
            ),
            evidence: Evidence::metric(Metric::Target3xx, group, worst.errors).at(Some(worst.at)),
            is_new: earlier >= FEW && of_before < 0.5,
        }))
    }

    /// What the log of a running task says of the last hour's requests.
    fn by_log(patient: &Patient, group: &str) -> Result<Option<Redirects>, Blind> {
        let container = traffic::container(patient, group);
        let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
        let mut last = None;
        let (mut redirects, mut all) = (0.0, 0.0);
        for stream in container_log::streams(patient)? {
            if stream.task.last_status != "RUNNING" || Some(stream.container) != container {
                continue;
            }
            for line in patient.log_lines(stream.group, &stream.stream)? {
                let is_old = line.timestamp.is_none_or(|at| at < hour_ago);
                if is_old || request_log::is_health_checker(&line.message) {
                    continue;
                }
                let Some(request) = request_log::request(&line.message) else { continue };
                all += 1.0;
                if matches!(request.code, 301 | 302 | 307 | 308) {
                    redirects += 1.0;
                    let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
                    last = Some(
                        Evidence::new(Call::GetLogEvents, of, "events.message", &line.message)
                            .at(line.timestamp),
                    );
                }
            }
        }
        let is_every = all >= FEW && redirects / all >= ALL;
        Ok(last.filter(|_| is_every).map(|evidence| Redirects {
            words: format!("{redirects:.0} of {all:.0} requests in its log"),
            evidence,
            is_new: false,
        }))
    }
}

/// A variable of the container that makes an app redirect to HTTPS, with the version that has it.
fn variable<'a>(patient: &Patient<'a>, group: &str) -> Result<Option<(&'a str, &'a str)>, Blind> {
    let container = traffic::container(patient, group);
    for arn in patient.service().definitions() {
        let definition = patient.task_definition(arn)?;
        let containers = definition.into_iter().flat_map(|it| &it.container_definitions);
        let mut names = containers
            .filter(|it| Some(it.name.as_str()) == container)
            .flat_map(|it| &it.environment)
            .map(|variable| variable.name.as_str());
        let forces = |name: &&str| FORCES_TLS.as_ref().is_some_and(|it| it.is_match(name));
        if let Some(name) = names.find(forces) {
            return Ok(Some((name, arn)));
        }
    }
    Ok(None)
}

/// Whether the load balancer takes plain HTTP on port 80 already.
fn has_plain_listener(patient: &Patient, secure: &Listener) -> Result<bool, Blind> {
    let listeners = patient.listeners(&secure.load_balancer_arn)?;
    Ok(listeners.iter().any(|listener| listener.port == Some(80)))
}

fn finding(
    patient: &Patient,
    group: &str,
    forward: &Forward,
    found: Redirects,
    variable: Option<(&str, &str)>,
    plain: bool,
) -> Finding {
    let balancer = &forward.listener.load_balancer_arn;
    let claim = format!(
        "the app behind target group {} answered {} with a redirect: likely to the same URL, because TLS ends at load balancer {} and the app sees plain HTTP",
        traffic::group_name(group),
        found.words,
        traffic::balancer_name(balancer)
    );
    let why = match variable {
        Some((name, _)) => format!("Its variable {name} likely makes it redirect to HTTPS."),
        None => "Before that, most answers were not redirects.".to_owned(),
    };
    let of_variable = variable.map(|(name, definition)| {
        Evidence::new(Call::DescribeTaskDefinition, definition, "environment.name", name)
    });
    Subject::new(Kind::TargetGroup, group)
        .sick(claim, found.evidence)
        .detail(why)
        .because(Evidence::new(
            Call::DescribeListeners,
            &forward.listener.listener_arn,
            "Protocol",
            "HTTPS",
        ))
        .because(Evidence::new(Call::DescribeTargetGroups, group, "Protocol", "HTTP"))
        .because_all(of_variable)
        .mend(remedy(patient, balancer, variable, plain))
        .concerns(Kind::TargetGroup, group)
}

fn remedy(
    patient: &Patient,
    balancer: &str,
    variable: Option<(&str, &str)>,
    plain: bool,
) -> Remedy {
    let remedy = match variable {
        Some((name, _)) => Remedy::new(format!(
            "Configure the app to trust the load balancer's X-Forwarded-Proto header, or turn off {name} and redirect to HTTPS at the load balancer; then deploy."
        )),
        None => Remedy::new(
            "Configure the app to trust the load balancer's X-Forwarded-Proto header, or turn off its redirect and redirect to HTTPS at the load balancer; then deploy.",
        ),
    };
    let off = variable.map(|(name, _)| {
        hcl!(
            r#"
            container_definitions = jsonencode([{
              environment = [{ name = {}, value = "false" }]
            }])"#,
            name
        )
    });
    let redirect = hcl!(
        r#"
        resource "aws_lb_listener" "http" {
          load_balancer_arn = {}
          port              = 80
          protocol          = "HTTP"
          default_action {
            type = "redirect"
            redirect {
              protocol    = "HTTPS"
              port        = "443"
              status_code = "HTTP_301"
            }
          }
        }"#,
        balancer
    );
    let deploy = new_version::deploy(patient);
    if plain {
        let remedy = remedy.cli(deploy);
        return off.into_iter().fold(remedy, Remedy::terraform);
    }
    let code = Hcl::blocks(off.into_iter().chain([redirect]));
    let remedy = remedy.terraform(code).cli(deploy);
    remedy.cli(aws!(
        "elbv2 create-listener --load-balancer-arn {} --protocol HTTP --port 80 --default-actions \
         Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}",
        balancer
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes, minutes_ago, peers};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn counting(values: impl Fn(i64) -> f64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), values(ago))).collect();
        snapshot.metrics.put(Metric::Target3xx.of(&id::group("api")), Series { values });
        snapshot
    }

    /// An older snapshot of the example, with these codes in the log.
    fn logging(codes: &[u16]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot.metrics.0.remove(&Metric::Target3xx.of(&id::group("api")));
        for code in codes {
            let line = format!("10.0.3.7 - - \"GET /orders HTTP/1.1\" {code} 0 \"-\" \"curl/8.5\"");
            peers::log(&mut snapshot, &line);
        }
        snapshot
    }

    #[test]
    fn names_the_share_the_balancer_and_the_variable() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The app behind target group api answered 1785 of 1800 requests (99 %) in the last 15 min with a redirect: likely to the same URL, because TLS ends at load balancer web and the app sees plain HTTP. Its variable SECURE_SSL_REDIRECT likely makes it redirect to HTTPS."
            ]
        );
        let remedy = exam(CHECK, &(CHECK.example)()).findings.remove(0).remedy;
        assert!(remedy.shell()[1].contains("Type=redirect"), "{:?}", remedy.shell());
    }

    #[test]
    fn a_service_that_is_there_to_redirect_has_always_done_so() {
        assert_eq!(exam(CHECK, &counting(|_| 120.0)).outcome, Outcome::Healthy);
        let since = counting(|ago| if ago <= 20 { 120.0 } else { 4.0 });
        assert!(says(CHECK, &since)[0].ends_with("Before that, most answers were not redirects."));
    }

    #[test]
    fn some_redirects_are_what_apps_do() {
        let mut snapshot = (CHECK.example)();
        snapshot.metrics.put(Metric::Target3xx.of(&id::group("api")), minutes(60.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_plain_listener_alone_may_well_be_redirected_by_the_app() {
        let mut snapshot = (CHECK.example)();
        let arn = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        for listener in snapshot.listeners.change(&arn).unwrap() {
            listener.protocol = Some("HTTP".into());
        }
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn an_app_that_speaks_tls_itself_knows_how_it_was_asked() {
        let mut snapshot = (CHECK.example)();
        let group = snapshot.target_groups.change(&id::group("api")).unwrap();
        group.protocol = Some("HTTPS".into());
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn in_an_older_snapshot_the_log_tells() {
        assert!(says(CHECK, &logging(&[301; 24]))[0].contains("24 of 25 requests in its log"));
        assert_eq!(exam(CHECK, &logging(&[200; 24])).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &logging(&[301; 3])).outcome, Outcome::Healthy, "a few");
    }

    #[test]
    fn without_the_metric_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        let metric = Metric::Target3xx.of(&id::group("api"));
        snapshot.metrics.insert(metric, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
