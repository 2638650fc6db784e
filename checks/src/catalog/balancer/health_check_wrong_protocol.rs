//! The health check uses another protocol than the app: TLS to a plain server, plain HTTP to one
//! that wants TLS, or HTTP/2 to one that knows HTTP/1.1 only. The app's own log has to say so; a
//! protocol alone is no proof.

use crate::call::Call;
use crate::catalog::balancer::common::refused_health_check::{self, Line, Refused};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::snapshot::TargetGroup;
use crate::{aws, hcl, words};

crate::check! {
    /// The target group's protocol, or its protocol version, is not what the app speaks.
    ///
    /// # Why it matters
    ///
    /// The app resets the connection or sends something that is not HTTP, so the targets stay
    /// unhealthy. Requests of clients fail the same way, with 502.
    ///
    /// # How we tell
    ///
    /// The health check is refused, and the log of the container that is registered says which
    /// protocol the app speaks: its start line has `http://` or `https://` for the port of the
    /// check, or it complains of the first bytes of a TLS handshake (`\x16\x03`) or of the preface
    /// of HTTP/2 (`PRI * HTTP/2.0`). `HealthCheckProtocol` and `ProtocolVersion` of the group are
    /// compared with that. It is "likely": a proxy in the container may speak for the app.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --health-check-protocol HTTP
    /// ```
    ///
    /// Protocol and protocol version of the group itself cannot be changed: they need a new group.
    /// Terraform/OpenTofu: `protocol` and `protocol_version` in `aws_lb_target_group`, and
    /// `protocol` in its `health_check`.
    ///
    /// # See also
    ///
    /// `health_check_refused`, `health_check_wrong_port`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html>
    title: "The health check does not use the app's protocol",
    severity: Critical,
    role: Cause,
    explains: [HealthCheckRefused, BalancerAnswers502],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, GetLogEvents,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, unhealthy};
        let refused = |address| unhealthy(address, 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(id::group("api"), vec![refused("10.0.1.21"), refused("10.0.2.22")]);
        snapshot.target_groups.change(&id::group("api")).into_iter().for_each(|group| group.health_check_protocol = Some("HTTPS".into()));
        let stream = format!("ecs/app/{}", id::task(1));
        let message = "INFO:     Uvicorn running on http://0.0.0.0:8080 (Press CTRL+C to quit)".into();
        let line = crate::snapshot::LogLine { timestamp: Some(minutes_ago(3)), message, log_stream_name: stream.clone() };
        snapshot.logs.put(format!("/ecs/api{}{stream}", crate::call::LOG_STREAM), vec![line]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for refused in refused_health_check::groups(patient, findings)? {
        let Refused { group, settings, ref failures } = refused;
        let first = refused.first();
        let Some(lines) = findings.see(refused_health_check::lines(patient, group, failures))
        else {
            continue;
        };
        let port = refused_health_check::port_in_container(patient, settings, first);
        let Some((clash, line)) = Clash::of(settings, port, &lines) else { continue };
        let (field, speaks) = clash.setting(settings);
        let (name, app) = (traffic::group_name(group), clash.app());
        let claim = match first.past(patient.now()) {
            None => format!(
                "the health check of target group {name} uses {speaks}, but by its log the app likely speaks {app}"
            ),
            Some((version, until)) => format!(
                "the health check of target group {name} used {speaks} with {version} and failed{until}; by its log the app likely spoke {app}"
            ),
        };
        findings.add(
            refused
                .sick(patient, claim)?
                .because(Evidence::new(Call::DescribeTargetGroups, group, field, speaks))
                .because(line.evidence.clone())
                .mend(remedy(settings, clash)),
        );
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Clash {
    TlsToPlain,
    PlainToTls,
    Http2ToHttp1,
}

impl Clash {
    fn of<'l, 'a>(
        group: &TargetGroup,
        port: Option<i32>,
        lines: &'l [Line<'a>],
    ) -> Option<(Clash, &'l Line<'a>)> {
        let says = |words: &[&str]| {
            lines.iter().rfind(|line| words.iter().any(|word| line.line.message.contains(word)))
        };
        // A start line for another port tells of another server.
        let starts = |scheme: &str| {
            lines.iter().rfind(|line| {
                let here = line
                    .listens()
                    .is_some_and(|at| at.port.is_none_or(|named| Some(named) == port));
                here && line.line.message.contains(scheme)
            })
        };
        let (plain, secure) = (starts("http://"), starts("https://"));
        let http2 = matches!(group.protocol_version.as_deref(), Some("HTTP2" | "GRPC"));
        match group.health_check_protocol.as_deref() {
            Some("HTTPS") => {
                let complains = says(&["\\x16\\x03", "\\u0016\\u0003", "\u{16}\u{3}"]);
                let plain = plain.filter(|_| secure.is_none());
                complains.or(plain).map(|line| (Clash::TlsToPlain, line))
            }
            Some("HTTP") => {
                let preface = says(&["PRI * HTTP/2.0", "PRI %2A HTTP/2.0"])
                    .filter(|_| http2)
                    .map(|line| (Clash::Http2ToHttp1, line));
                preface.or(secure.filter(|_| plain.is_none()).map(|line| (Clash::PlainToTls, line)))
            }
            _ => None,
        }
    }

    /// The setting that clashes, as AWS has it.
    fn setting(self, group: &TargetGroup) -> (&'static str, &str) {
        match self {
            Clash::TlsToPlain | Clash::PlainToTls => {
                ("HealthCheckProtocol", group.health_check_protocol.as_deref().unwrap_or("HTTP"))
            }
            Clash::Http2ToHttp1 => {
                ("ProtocolVersion", group.protocol_version.as_deref().unwrap_or("HTTP2"))
            }
        }
    }

    fn app(self) -> &'static str {
        match self {
            Clash::TlsToPlain => "HTTP",
            Clash::PlainToTls => "HTTPS",
            Clash::Http2ToHttp1 => "HTTP/1.1",
        }
    }
}

fn remedy(group: &TargetGroup, clash: Clash) -> Remedy {
    let (arn, name) = (&group.target_group_arn, &group.target_group_name);
    let vpc = group.vpc_id.as_deref().map_or_else(|| Word::needed("VPC_ID"), Word::new);
    let port = group.port.unwrap_or(80);
    let kind = group.target_type.as_deref().unwrap_or("ip");
    let create = |protocol: &str| {
        aws!(
            "elbv2 create-target-group --name {}-2 --target-type {} --protocol {} --port {} \
             --vpc-id {}",
            name,
            kind,
            protocol,
            port,
            vpc
        )
    };
    match clash {
        Clash::Http2ToHttp1 => {
            let protocol = group.protocol.as_deref().unwrap_or("HTTP");
            Remedy::new(format!(
                "Replace {name} with a target group of protocol version HTTP1, or make the app speak HTTP/2. The protocol version of a target group cannot be changed."
            ))
            .cli(create(protocol).and(words!("--protocol-version HTTP1")))
            .terraform(hcl!(
                r#"
                resource "aws_lb_target_group" {} {
                  protocol_version = "HTTP1"
                }"#,
                name
            ))
        }
        Clash::TlsToPlain | Clash::PlainToTls => {
            let wanted = clash.app();
            let traffic_too = group.protocol.as_deref() != Some(wanted);
            let summary = if traffic_too {
                format!(
                    "Set the health check protocol to {wanted}. The traffic has the same mismatch, and the protocol of a target group cannot be changed: replace it with one that uses {wanted}."
                )
            } else {
                format!("Set the health check protocol to {wanted}.")
            };
            let remedy = Remedy::new(summary)
                .cli(aws!(
                    "elbv2 modify-target-group --target-group-arn {} --health-check-protocol {}",
                    arn,
                    wanted
                ))
                .terraform(hcl!(
                    r#"
                    resource "aws_lb_target_group" {} {
                      protocol = {}
                      health_check {
                        protocol = {}
                      }
                    }"#,
                    name,
                    wanted,
                    wanted
                ));
            if traffic_too { remedy.cli(create(wanted)) } else { remedy }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{id, minutes_ago};
    use crate::call::LOG_STREAM;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{LogLine, Snapshot};
    use crate::testing::{exam, says};

    fn stream() -> String {
        format!("/ecs/api{LOG_STREAM}ecs/app/{}", id::task(1))
    }

    fn with(protocol: &str, version: &str, messages: &[&str]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let group = snapshot.target_groups.change(&id::group("api")).unwrap();
        group.health_check_protocol = Some(protocol.into());
        group.protocol_version = Some(version.into());
        let line = |message: &&str| LogLine {
            timestamp: Some(minutes_ago(3)),
            message: (*message).into(),
            log_stream_name: "ecs/app/1".into(),
        };
        snapshot.logs.put(stream(), messages.iter().map(line).collect());
        snapshot
    }

    #[test]
    fn tls_to_a_plain_server() {
        let told = [
            "The health check of target group api uses HTTPS, but by its log the app likely speaks HTTP.",
        ];
        assert_eq!(says(CHECK, &(CHECK.example)()), told);
        assert_eq!(
            says(
                CHECK,
                &with("HTTPS", "HTTP1", &[r#"400 Bad request version ('\x16\x03\x01\x02')"#])
            ),
            told
        );
    }

    #[test]
    fn plain_http_to_a_server_with_tls() {
        let snapshot = with("HTTP", "HTTP1", &["Uvicorn running on https://0.0.0.0:8080"]);
        assert!(
            says(CHECK, &snapshot)[0]
                .ends_with("uses HTTP, but by its log the app likely speaks HTTPS.")
        );
        assert_eq!(
            exam(CHECK, &snapshot).findings[0].remedy.shell().len(),
            2,
            "its traffic is HTTP as well"
        );
    }

    #[test]
    fn http2_to_a_server_that_knows_the_old_one_only() {
        let complaint = r#""PRI * HTTP/2.0" 400 -"#;
        assert!(
            says(CHECK, &with("HTTP", "GRPC", &[complaint]))[0]
                .contains("uses GRPC, but by its log the app likely speaks HTTP/1.1")
        );
        assert_eq!(
            exam(CHECK, &with("HTTP", "HTTP1", &[complaint])).outcome,
            Outcome::Healthy,
            "a scanner sent that, not the load balancer"
        );
    }

    #[test]
    fn a_protocol_alone_is_no_proof() {
        assert_eq!(exam(CHECK, &with("HTTPS", "HTTP1", &["started"])).outcome, Outcome::Healthy);
        assert_eq!(
            exam(CHECK, &with("HTTP", "GRPC", &["listening on :8080"])).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn another_ports_scheme_is_that_of_another_server() {
        let both = ["Now listening on: http://[::]:9090", "Now listening on: https://[::]:8080"];
        assert_eq!(exam(CHECK, &with("HTTPS", "HTTP1", &both)).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_the_log_nothing_is_claimed() {
        let mut snapshot = (CHECK.example)();
        snapshot.logs.insert(stream(), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
