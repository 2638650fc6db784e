//! The app's server closes idle connections before the load balancer does, so now and then the load
//! balancer sends a request on one that was just closed. Only a server that names itself in the
//! log, and whose default is known, is judged.

use std::iter;

use crate::call::Call;
use crate::catalog::balancer::common::balancer_errors::{self, Errors};
use crate::catalog::balancer::common::new_version;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::facts::tasks::container_log;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::LogLine;
use crate::snapshot::metric::Metric;

crate::check! {
    /// The load balancer returns 502 for a few requests now and then, no task stops meanwhile, and
    /// the app runs on a server that by default closes an idle connection sooner than the load
    /// balancer does.
    ///
    /// # Why it matters
    ///
    /// The load balancer keeps connections to targets open and reuses them. If the target closes
    /// one just as the next request is on its way, that request fails with 502. It looks random,
    /// and it grows in quiet hours, not with load.
    ///
    /// # How we tell
    ///
    /// At least three of the last 15 minutes have 502 of the load balancer itself, for at most one
    /// request in twenty; only this service is behind the load balancer; no task stopped around
    /// then, no connection failed (`TargetConnectionErrorCount`), and targets are healthy. And the
    /// log shows a server whose default is shorter than the load balancer's
    /// `idle_timeout.timeout_seconds`: Gunicorn closes after 2 s, Uvicorn, Hypercorn, Node.js and
    /// Apache after 5 s, Puma before version 7 and Tomcat after 20 s, Jetty after 30 s, Tomcat
    /// within Spring Boot after 60 s, nginx after 65 s. The server may be configured otherwise, so
    /// it is "likely" at most. Gunicorn's `sync` workers keep no connection at all and do not
    /// count. Go's server does not name itself in the log: it closes after `IdleTimeout`, or after
    /// `ReadTimeout` where that is not set.
    ///
    /// # What to do
    ///
    /// Set the keep-alive timeout of the server higher than that of the load balancer:
    /// `--timeout-keep-alive 65` (Uvicorn), `--keep-alive 65` (Gunicorn, Hypercorn),
    /// `server.keepAliveTimeout = 65000` in the app (Node.js), `persistent_timeout 65` (Puma),
    /// `KeepAliveTimeout 65` (Apache), `keepAliveTimeout` of the connector (Tomcat), `idleTimeout`
    /// (Jetty), `IdleTimeout` (Go). Or lower the idle timeout of the load balancer:
    ///
    /// ```sh
    /// aws elbv2 modify-load-balancer-attributes --load-balancer-arn <arn> --attributes Key=idle_timeout.timeout_seconds,Value=4
    /// ```
    ///
    /// which also ends requests that take longer. Terraform/OpenTofu: `idle_timeout` in `aws_lb`;
    /// the server's own option in the `command` of the container definition.
    ///
    /// # See also
    ///
    /// `balancer_answers_502`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The app closes idle connections before the load balancer does",
    severity: Medium,
    role: Risk,
    explains: [BalancerAnswers502],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth, DescribeTasks,
        DescribeTaskDefinition, GetMetricData, DescribeLoadBalancerAttributes, GetLogEvents,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let values = [13, 9, 5, 2].map(|minute| (minutes_ago(minute), 1.0)).to_vec();
        snapshot.metrics.put(Metric::Elb502.of(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")), crate::snapshot::Series { values });
        let stream = format!("ecs/app/{}", id::task(1));
        let message = "INFO:     Uvicorn running on http://0.0.0.0:8080 (Press CTRL+C to quit)".into();
        let line = LogLine { timestamp: Some(minutes_ago(3)), message, log_stream_name: stream.clone() };
        snapshot.logs.put(format!("/ecs/api{}{stream}", crate::call::LOG_STREAM), vec![line]);
    },
}

/// Words by which a server names itself when it starts, its name, the seconds for which it keeps an
/// idle connection by default, and how to make that longer. The first that fits: Gunicorn may run
/// Uvicorn's workers. Of nginx and Tomcat it is what their packages and images are set to.
const SERVERS: &[(&str, &str, f64, &str)] = &[
    ("Starting gunicorn", GUNICORN, 2.0, "--keep-alive 65"),
    ("Uvicorn running on", "Uvicorn", 5.0, "--timeout-keep-alive 65"),
    ("(CTRL + C to quit)", "Hypercorn", 5.0, "--keep-alive 65"),
    ("> next start", "Node.js", 5.0, "--keepAliveTimeout 65000"),
    ("> node ", "Node.js", 5.0, "server.keepAliveTimeout = 65000 in the app"),
    ("Puma version: 5.", "Puma", 20.0, "persistent_timeout 65 in config/puma.rb"),
    ("Puma version: 6.", "Puma", 20.0, "persistent_timeout 65 in config/puma.rb"),
    ("configured -- resuming normal operations", "Apache", 5.0, "KeepAliveTimeout 65"),
    ("Tomcat started on port", "Tomcat", 60.0, "server.tomcat.keep-alive-timeout=65s"),
    (
        "Catalina.start Server startup in",
        "Tomcat",
        20.0,
        "keepAliveTimeout=\"65000\" in server.xml",
    ),
    ("Jetty started on port", "Jetty", 30.0, "server.jetty.connection-idle-timeout=65s"),
    ("Started ServerConnector@", "Jetty", 30.0, "jetty.http.idleTimeout=65000"),
    ("start worker processes", "nginx", 65.0, "keepalive_timeout, longer than that"),
];

const GUNICORN: &str = "Gunicorn";
/// Workers of Gunicorn that close each connection after one answer, and tell the load balancer.
const SYNC_WORKERS: &str = "Using worker: sync";

/// A server that the log names.
struct Server {
    name: &'static str,
    keeps: f64,
    option: &'static str,
    evidence: Evidence,
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for errors in balancer_errors::errors(patient, Metric::Elb502)? {
        if !is_sporadic(patient, &errors)? {
            continue;
        }
        let Some(timeout) =
            findings.see(balancer_errors::idle_timeout(patient, errors.balancer)).flatten()
        else {
            continue;
        };
        let Some(server) = findings
            .see(server(patient, &errors))
            .flatten()
            .filter(|server| server.keeps < timeout)
        else {
            continue;
        };
        findings.add(finding(patient, &errors, timeout, server));
    }
    Ok(())
}

/// A request here and there, while all is well otherwise.
fn is_sporadic(patient: &Patient, errors: &Errors) -> Result<bool, Blind> {
    let requests = crate::facts::tasks::metric::recent(
        patient,
        Metric::Requests,
        errors.balancer,
        balancer_errors::SPAN,
    )?;
    let few = requests.is_some_and(|requests| errors.sum() <= requests.sum / 20.0);
    let stopped = patient.stopped_tasks()?;
    let quiet = !stopped
        .iter()
        .any(|task| errors.minutes.iter().any(|(at, _)| balancer_errors::is_near(task, *at)));
    let mut healthy = true;
    for group in &errors.groups {
        healthy &= patient.targets(group)?.iter().all(|target| target.state != "unhealthy");
    }
    let connected = errors.of_groups(patient, Metric::ConnectionErrors)?.is_none();
    Ok(errors.alone && errors.minutes.len() > 2 && few && quiet && healthy && connected)
}

fn server(patient: &Patient, errors: &Errors) -> Result<Option<Server>, Blind> {
    let containers: Vec<&str> =
        errors.groups.iter().filter_map(|group| traffic::container(patient, group)).collect();
    for stream in container_log::streams(patient)?
        .into_iter()
        .filter(|stream| stream.task.last_status == "RUNNING")
    {
        if !containers.contains(&stream.container) {
            continue;
        }
        let lines = patient.log_lines(stream.group, &stream.stream)?;
        let is_sync = lines.iter().any(|line| line.message.contains(SYNC_WORKERS));
        for (words, name, keeps, option) in SERVERS {
            if *name == GUNICORN && is_sync {
                return Ok(None);
            }
            if let Some(line) = lines.iter().find(|line| line.message.contains(words)) {
                let of = format!("{}{}{}", stream.group, crate::call::LOG_STREAM, stream.stream);
                let evidence = Evidence::new(Call::GetLogEvents, of, "message", &line.message)
                    .at(line.timestamp);
                return Ok(Some(Server { name, keeps: *keeps, option, evidence }));
            }
        }
    }
    Ok(None)
}

fn finding(patient: &Patient, errors: &Errors, timeout: f64, server: Server) -> Finding {
    let Server { name, keeps, option, evidence } = server;
    let claim = format!(
        "{name} closes idle connections after {keeps:.0} s by default, and load balancer {} keeps them for {timeout:.0} s: likely that is why it returns 502 now and then, {:.0} times in 15 min, while no task stops",
        errors.name(),
        errors.sum()
    );
    let mut remedy = Remedy::new(format!(
        "Set the keep-alive timeout of {name} higher than the load balancer's {timeout:.0} s ({option}), and deploy it."
    ))
    .cli(new_version::deploy(patient));
    if option.starts_with("--") {
        let command: Vec<&str> = iter::once("…").chain(option.split(' ')).collect();
        remedy = remedy.terraform(hcl!(
            r#"
            container_definitions = jsonencode([{
              command = {}
            }])"#,
            command
        ));
    }
    Subject::new(Kind::LoadBalancer, errors.balancer)
        .sick(claim, errors.evidence())
        .named()
        .because(balancer_errors::idle_timeout_evidence(errors.balancer, timeout))
        .because(evidence)
        .mend(remedy)
        .concerns_all(Kind::TargetGroup, errors.groups.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, exit_tasks, id, minutes_ago, unhealthy};
    use crate::exam::Outcome;
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    fn silent(why: &str, change: impl Fn(&mut Snapshot)) {
        let mut snapshot = (CHECK.example)();
        change(&mut snapshot);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{why}");
    }

    #[test]
    fn names_the_server_and_both_times() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Uvicorn closes idle connections after 5 s by default, and load balancer web keeps them for 60 s: likely that is why it returns 502 now and then, 4 times in 15 min, while no task stops."
            ]
        );
    }

    #[test]
    fn a_short_default_alone_is_nothing() {
        silent("no 502", |snapshot| {
            snapshot.metrics.put(Metric::Elb502.of(&balancer()), Series::default())
        });
    }

    fn logging(snapshot: &mut Snapshot, messages: &[&str]) {
        for stream in snapshot.logs.0.keys().cloned().collect::<Vec<_>>() {
            let lines = snapshot.logs.change(&stream).unwrap();
            let model = lines[0].clone();
            let line = |message: &&str| LogLine { message: (*message).into(), ..model.clone() };
            *lines = messages.iter().map(line).collect();
        }
    }

    #[test]
    fn each_server_is_known_by_what_it_says_when_it_starts() {
        for (line, words) in [
            ("[1] [INFO] Starting gunicorn 23.0.0", "Gunicorn closes idle connections after 2 s"),
            ("[INFO] Running on http://0.0.0.0:8000 (CTRL + C to quit)", "Hypercorn closes"),
            (
                "* Puma version: 6.4.2 (ruby 3.3.0-p0) (\"The Eagle of Durin\")",
                "Puma closes idle connections after 20 s",
            ),
            (
                "AH00489: Apache/2.4.62 (Debian) configured -- resuming normal operations",
                "Apache closes idle connections after 5 s",
            ),
            (
                "Started ServerConnector@1b4fb997{HTTP/1.1}{0.0.0.0:8080}",
                "Jetty closes idle connections after 30 s",
            ),
            (
                "org.apache.catalina.startup.Catalina.start Server startup in [2034] milliseconds",
                "Tomcat closes idle connections after 20 s",
            ),
        ] {
            let mut snapshot = (CHECK.example)();
            logging(&mut snapshot, &[line]);
            let said = says(CHECK, &snapshot);
            assert!(said.first().is_some_and(|said| said.starts_with(words)), "{line}: {said:?}");
        }
    }

    #[test]
    fn a_server_that_waits_as_long_or_keeps_no_connection_is_fine() {
        for lines in [
            &["* Puma version: 7.0.3 (ruby 3.4.1-p0)"][..],
            &["2026/11/22 03:00:00 [notice] 1#1: start worker processes"],
            &["Tomcat started on port 8080 (http) with context path '/'"],
            &["[1] [INFO] Starting gunicorn 23.0.0", "[1] [INFO] Using worker: sync"],
        ] {
            silent(lines[0], |snapshot| logging(snapshot, lines));
        }
        let mut patient = (CHECK.example)();
        logging(&mut patient, &["[notice] 1#1: start worker processes"]);
        let attributes = patient.load_balancer_attributes.change(&balancer()).unwrap();
        attributes.insert(balancer_errors::IDLE_TIMEOUT.into(), "120".into());
        assert!(says(CHECK, &patient)[0].starts_with("nginx closes idle connections after 65 s"));
    }

    #[test]
    fn other_reasons_for_502_are_others() {
        silent("a crash", |snapshot| exit_tasks(snapshot, 3, 1, None));
        silent("refused connections", |snapshot| {
            let values = vec![(minutes_ago(9), 2.0)];
            snapshot.metrics.put(Metric::ConnectionErrors.of(&id::group("api")), Series { values });
        });
        silent("an unhealthy target", |snapshot| {
            let refused =
                unhealthy("10.0.1.21", 8080, "Target.FailedHealthChecks", "Health checks failed");
            snapshot.target_health.put(id::group("api"), vec![refused]);
        });
        silent("every request", |snapshot| {
            snapshot.metrics.put(Metric::Elb502.of(&balancer()), baseline::minutes(90.0))
        });
    }

    #[test]
    fn a_server_that_is_not_known_is_not_blamed() {
        silent("another server", |snapshot| {
            for lines in snapshot.logs.0.keys().cloned().collect::<Vec<_>>() {
                snapshot
                    .logs
                    .change(&lines)
                    .unwrap()
                    .iter_mut()
                    .for_each(|line| line.message = "listening on :8080".into());
            }
        });
    }

    #[test]
    fn a_balancer_that_gives_up_sooner_is_fine() {
        silent("4 s", |snapshot| {
            let attributes = snapshot.load_balancer_attributes.change(&balancer()).unwrap();
            attributes.insert(balancer_errors::IDLE_TIMEOUT.into(), "4".into());
        });
    }
}
