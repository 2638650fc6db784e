//! A database that a variable names is not available: stopped, full, failed, or still starting. A
//! database that is being backed up or modified is available, and an unknown status is no finding.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::peers::callee;
use crate::facts::peers::database::{self, Database, DatabaseKind, Told};
use crate::facts::tasks::connection_errors;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::DbProxyTarget;
use crate::{aws, hcl};

crate::check! {
    /// An RDS database that the service names in a variable, or an ElastiCache cache that it cannot
    /// reach, is not available.
    ///
    /// # Why it matters
    ///
    /// ECS does not show it: tasks stop or fail their health checks, and deployments of good
    /// versions roll back.
    ///
    /// # How we tell
    ///
    /// Hosts in variables that end in `.rds.amazonaws.com` name an instance, a cluster or a proxy.
    /// It has a status in which it is unusable: `stopped`, `stopping`, `storage-full`, `failed`,
    /// `creating`, `deleting`, `inaccessible-encryption-credentials`, `incompatible-network` and
    /// the like; a cluster has no instance; or all databases behind a proxy are `UNAVAILABLE`. One
    /// that is starting, rebooting, being upgraded or failing over, and one that does not exist in
    /// this account, count only if a log line of the last hour says that it cannot be reached.
    /// `backing-up`, `modifying`, `storage-optimization` and others are normal. A host in another
    /// region, a custom endpoint, and variables from secrets are not examined. A host that ends in
    /// `.cache.amazonaws.com` counts where the log shows a failed connection to it.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws rds start-db-instance --db-instance-identifier <database>
    /// aws rds describe-events --source-type db-instance --source-identifier <database> --duration 1440
    /// ```
    ///
    /// Terraform/OpenTofu: `allocated_storage` and `max_allocated_storage` in `aws_db_instance`.
    ///
    /// # See also
    ///
    /// `database_blocked`, `exits_with_error`,
    /// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html>
    title: "The database that the service names is not available",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeDBInstances,
        DescribeDBClusters, DescribeDBProxies, DescribeDBProxyTargets, DescribeReplicationGroups, DescribeCacheClusters, DescribeServerlessCaches,
        GetLogEvents,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::peers::log;
        use crate::baseline::roll_out;
        roll_out(snapshot, 30, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        if let Some(instance) = snapshot.db_instances.change("mailer-db") {
            instance.db_instance_status = Some("stopped".into());
        }
        log(snapshot, "Error: connect ETIMEDOUT 10.0.21.5:5432");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if patient.service().desired_count == 0 {
        return Err(NoAnswer::NotApplicable("no task is desired"));
    }
    let databases = database::named(patient, findings)?;
    if databases.is_empty() {
        return Err(NoAnswer::NotApplicable(database::NONE));
    }
    let elsewhere = databases.iter().all(|database| database.told.is_none());
    for database in databases {
        let Some(trouble) = trouble(patient, findings, &database) else { continue };
        let failed = connection_errors::failed(patient, findings);
        let port = database.told.and_then(|told| told.port());
        let failed: Vec<_> =
            failed.iter().filter(|failed| failed.is_about(database.host_name, port)).collect();
        if trouble.certain || !failed.is_empty() {
            let finding = Subject::new(Kind::Database, database.host.identifier)
                .sick(trouble.claim, trouble.evidence)
                .detail(connection_errors::quote(&failed))
                .because_all(database.named.iter().flat_map(callee::Named::evidence))
                .mend(trouble.remedy);
            findings.add(connection_errors::join(finding, &failed));
        }
    }
    if elsewhere { Err(NoAnswer::NotApplicable(database::ELSEWHERE)) } else { Ok(()) }
}

struct Trouble {
    claim: String,
    evidence: Evidence,
    remedy: Remedy,
    /// Whether it is unusable; if not, a log line has to show it.
    certain: bool,
}

fn trouble(patient: &Patient, findings: &mut Findings, database: &Database) -> Option<Trouble> {
    let name = database.name();
    let Some(told) = database.told else { return Some(missing(patient, database, &name)) };
    let status = told.status().unwrap_or_default();
    let of_status = |claim, remedy, certain| Trouble {
        claim,
        evidence: database.status_evidence(status),
        remedy,
        certain,
    };
    if is_down(status) {
        return Some(of_status(
            format!("{name} is {status}: {}", meaning(status)),
            fix(database, &told, status),
            true,
        ));
    }
    let passing = ["starting", "rebooting", "rebooting cluster nodes", "upgrading", "failing-over"];
    if passing.contains(&status) {
        return Some(of_status(
            format!("{name} is {status}: it accepts no connections until it is available"),
            wait(database),
            false,
        ));
    }
    match told {
        Told::Cluster(cluster) if cluster.db_cluster_members.is_empty() => Some(Trouble {
            claim: format!("{name} has no instance, so its endpoints do not work"),
            evidence: database.evidence("DBClusterMembers", "[]"),
            remedy: Remedy::new("Add an instance to the cluster.")
                .cli(aws!(
                    "rds create-db-instance --db-cluster-identifier {} --db-instance-identifier {}-1 \
                     --engine {} --db-instance-class db.r6g.large",
                    database.host.identifier,
                    database.host.identifier,
                    cluster.engine.as_deref().unwrap_or("aurora-postgresql")
                ))
                .terraform(hcl!(
                    r#"
                    resource "aws_rds_cluster_instance" "this" {
                      cluster_identifier = aws_rds_cluster.this.id
                    }"#
                )),
            certain: true,
        }),
        Told::Proxy(_) => {
            let targets = findings.see(patient.db_proxy_targets(database.host.identifier))?;
            behind(database, &name, targets)
        }
        Told::Instance(_)
        | Told::Cluster(_)
        | Told::ReplicationGroup(..)
        | Told::CacheCluster(_)
        | Told::ServerlessCache(_) => None,
    }
}

/// A database that the answer does not have: it was deleted, or it is another account's.
fn missing(patient: &Patient, database: &Database, name: &str) -> Trouble {
    let see = patient.see(database.host.kind.call(), database.host.identifier);
    Trouble {
        claim: format!(
            "{name} does not exist in account {}, {}: it was deleted, or it is in another account, which cannot be seen from here",
            patient.account(),
            patient.region()
        ),
        evidence: database.evidence(
            match database.host.kind {
                DatabaseKind::Instance => "DBInstances",
                DatabaseKind::Cluster => "DBClusters",
                DatabaseKind::Proxy => "DBProxies",
                DatabaseKind::ReplicationGroup => "ReplicationGroups",
                DatabaseKind::CacheCluster => "CacheClusters",
                DatabaseKind::ServerlessCache => "ServerlessCaches",
            },
            "[]",
        ),
        remedy: Remedy::new("Find out where the database is: correct the host in the variable, or look in the account that owns it.").cli(see),
        certain: false,
    }
}

/// A proxy that reaches no database.
fn behind(database: &Database, name: &str, targets: &[DbProxyTarget]) -> Option<Trouble> {
    let unavailable = |target: &DbProxyTarget| target.state.as_deref() == Some("UNAVAILABLE");
    let first = targets.first().filter(|_| targets.iter().all(unavailable))?;
    let reason = first.reason.as_deref().unwrap_or("UNAVAILABLE");
    let likely = match reason {
        "AUTH_FAILURE" => {
            "the secret that the proxy logs in with is wrong, or its role is not allowed to read it"
        }
        "UNREACHABLE" | "CONNECTION_FAILED" => "the database does not allow the proxy, or is down",
        _ => "the proxy's targets are not ready",
    };
    Some(Trouble {
        claim: format!("{name} reaches none of its databases ({reason}): likely {likely}"),
        evidence: Evidence::new(
            Call::DescribeDBProxyTargets,
            database.host.identifier,
            "TargetHealth.State",
            "UNAVAILABLE",
        ),
        remedy: Remedy::new("Fix what the proxy reports about its targets.").cli(aws!(
            "rds describe-db-proxy-targets --db-proxy-name {}",
            database.host.identifier
        )),
        certain: true,
    })
}

/// Whether a database in this status is unusable. What is not in the list is either fine or not
/// known.
fn is_down(status: &str) -> bool {
    let prefixes = ["incompatible-", "inaccessible-encryption-credentials"];
    // A serverless cache has capitals.
    let status = &status.to_ascii_lowercase();
    let whole = [
        "create-failed",
        "restore-failed",
        "stopped",
        "stopping",
        "storage-full",
        "failed",
        "creating",
        "deleting",
        "restore-error",
        "insufficient-capacity",
        "insufficient-resource-limits",
        "suspended",
        "suspending",
    ];
    // Options that do not fit leave the database as it is.
    whole.contains(&status.as_str())
        || (status != "incompatible-option-group"
            && prefixes.iter().any(|prefix| status.starts_with(prefix)))
}

fn meaning(status: &str) -> &'static str {
    match status {
        "storage-full" => "its storage is full: it accepts no writes and likely no connections",
        "failed" | "restore-error" => "RDS cannot recover it",
        "create-failed" | "restore-failed" | "CREATE-FAILED" => "ElastiCache could not create it",
        "creating" | "CREATING" => "it accepts no connections yet",
        "incompatible-parameters" => "it cannot start with its parameters",
        "incompatible-network" => "its subnets have no free address, or do not match",
        _ if status.starts_with("inaccessible-encryption-credentials") => {
            "RDS cannot use its KMS key"
        }
        _ => "it accepts no connections",
    }
}

fn fix(database: &Database, told: &Told, status: &str) -> Remedy {
    let identifier = database.host.identifier;
    match (status, told) {
        ("stopped", Told::Instance(_)) => {
            Remedy::new("Start the database.").cli(aws!("rds start-db-instance --db-instance-identifier {}", identifier))
        }
        ("stopped", Told::Cluster(_)) => {
            Remedy::new("Start the cluster.").cli(aws!("rds start-db-cluster --db-cluster-identifier {}", identifier))
        }
        ("storage-full", Told::Instance(instance)) => {
            // RDS refuses an increase of less than a tenth.
            let now = instance.allocated_storage.unwrap_or(20);
            let more = now + now / 5 + 1;
            Remedy::new(format!("Increase its storage from {now} GiB, and turn on storage autoscaling."))
                .cli(aws!(
                    "rds modify-db-instance --db-instance-identifier {} --allocated-storage {} \
                     --max-allocated-storage {} --apply-immediately",
                    identifier,
                    more,
                    more * 2
                ))
                .terraform(hcl!(
                    r#"
                    resource "aws_db_instance" "this" {
                      allocated_storage     = {}
                      max_allocated_storage = {}
                    }"#,
                    more,
                    more * 2
                ))
        }
        ("inaccessible-encryption-credentials-recoverable", Told::Instance(_)) => {
            Remedy::new("Restore the database's access to its KMS key (enable the key if it is disabled), and start the database again.")
                .cli(aws!("kms enable-key --key-id $KMS_KEY_ID"))
                .cli(aws!("rds start-db-instance --db-instance-identifier {}", identifier))
        }
        ("failed" | "restore-error", Told::Instance(_)) => {
            Remedy::new("Restore it to its latest restorable time under a new name, and put that host in the variable.")
                .cli(aws!(
                    "rds restore-db-instance-to-point-in-time --source-db-instance-identifier {} \
                     --target-db-instance-identifier {}-restored --use-latest-restorable-time",
                    identifier,
                    identifier
                ))
        }
        _ if database.host.kind.is_cache() => {
            events(database, "Look at its ElastiCache events, and fix what they report.")
        }
        _ => events(database, "Look at its RDS events, and fix what they report."),
    }
}

fn wait(database: &Database) -> Remedy {
    events(database, "Wait until it is available; ECS then replaces the tasks that stopped.")
}

fn events(database: &Database, summary: &str) -> Remedy {
    let (service, source) = match database.host.kind {
        DatabaseKind::Instance => ("rds", "db-instance"),
        DatabaseKind::Cluster => ("rds", "db-cluster"),
        DatabaseKind::Proxy => ("rds", "db-proxy"),
        DatabaseKind::ReplicationGroup => ("elasticache", "replication-group"),
        DatabaseKind::CacheCluster => ("elasticache", "cache-cluster"),
        DatabaseKind::ServerlessCache => ("elasticache", "serverless-cache"),
    };
    let identifier = database.host.identifier;
    Remedy::new(summary).cli(aws!(
        "{} describe-events --source-type {} --source-identifier {} --duration 1440",
        service,
        source,
        identifier
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::{
        CACHE_HOST, CLUSTER_HOST, INSTANCE_HOST, PROXY_HOST, cache_in_trouble, log, name_host,
    };
    use crate::baseline::{self, id};
    use crate::call::Call;
    use crate::exam::Outcome;
    use crate::seen::Seen;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with(status: &str) -> Snapshot {
        let mut snapshot = baseline::worker();
        snapshot.db_instances.change("mailer-db").unwrap().db_instance_status = Some(status.into());
        snapshot
    }

    #[test]
    fn names_database_variable_status_and_what_the_log_says() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Database mailer-db (DATABASE_URL) is stopped: it accepts no connections. The log says \"Error: connect ETIMEDOUT 10.0.21.5:5432\"."
            ]
        );
    }

    #[test]
    fn a_key_that_is_disabled_is_enabled_before_the_database_starts() {
        let exam = exam(CHECK, &with("inaccessible-encryption-credentials-recoverable"));
        let shell = exam.findings[0].remedy.shell();
        assert!(shell[0].starts_with("aws kms enable-key"), "{shell:?}");
        assert!(shell[1].starts_with("aws rds start-db-instance"), "{shell:?}");
    }

    #[test]
    fn a_database_that_is_worked_on_is_available() {
        for status in [
            "available",
            "backing-up",
            "modifying",
            "storage-optimization",
            "configuring-log-exports",
            "maintenance",
            "incompatible-option-group",
            "new",
        ] {
            let mut snapshot = with(status);
            log(&mut snapshot, "Error: connect ETIMEDOUT 10.0.21.5:5432");
            assert!(says(CHECK, &snapshot).is_empty(), "{status}");
        }
    }

    #[test]
    fn down_is_down_whatever_the_log_says() {
        for status in [
            "stopped",
            "storage-full",
            "failed",
            "incompatible-parameters",
            "inaccessible-encryption-credentials-recoverable",
        ] {
            assert_eq!(says(CHECK, &with(status)).len(), 1, "{status}");
        }
    }

    #[test]
    fn what_passes_by_itself_counts_only_if_it_is_felt() {
        for status in ["starting", "rebooting", "upgrading"] {
            let mut snapshot = with(status);
            assert!(says(CHECK, &snapshot).is_empty(), "{status}");
            log(&mut snapshot, "Error: connect ECONNREFUSED 10.0.21.5:5432");
            assert_eq!(says(CHECK, &snapshot).len(), 1, "{status}");
        }
    }

    #[test]
    fn nobody_asks_for_tasks_nobody_misses_the_database() {
        let mut snapshot = with("stopped");
        snapshot.services[0].desired_count = 0;
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn one_that_is_not_here_may_be_anothers() {
        let mut snapshot = baseline::worker();
        name_host(&mut snapshot, &[("DATABASE_URL", INSTANCE_HOST)]);
        snapshot.db_instances.insert("mailer-db", Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(database::ELSEWHERE));
        log(&mut snapshot, &format!("Error: getaddrinfo ENOTFOUND {INSTANCE_HOST}"));
        assert!(says(CHECK, &snapshot)[0].contains("it was deleted, or it is in another account"));
    }

    #[test]
    fn one_in_another_region_is_not_looked_at() {
        let mut snapshot = baseline::worker();
        name_host(
            &mut snapshot,
            &[("DATABASE_URL", "mailer-db.c9akciq32rgz.us-east-1.rds.amazonaws.com")],
        );
        let exam = exam(CHECK, &snapshot);
        assert!(matches!(exam.outcome, Outcome::NotApplicable(_)));
        assert!(!exam.read.contains(&Call::DescribeDBInstances));
    }

    #[test]
    fn a_cluster_without_an_instance_has_nobody_to_answer() {
        let mut snapshot = baseline::worker();
        name_host(&mut snapshot, &[("REPORTS_URL", CLUSTER_HOST)]);
        snapshot.db_clusters.change("reports").unwrap().db_cluster_members.clear();
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Database cluster reports (REPORTS_URL) has no instance, so its endpoints do not work."
            ]
        );
    }

    #[test]
    fn a_proxy_is_as_good_as_the_databases_behind_it() {
        let mut snapshot = baseline::worker();
        name_host(&mut snapshot, &[("POOL_URL", PROXY_HOST)]);
        let target = |state: &str, reason: &str| DbProxyTarget {
            state: Some(state.into()),
            reason: Some(reason.into()),
            ..DbProxyTarget::default()
        };
        snapshot
            .db_proxy_targets
            .put("pool", vec![target("UNAVAILABLE", "AUTH_FAILURE"), target("AVAILABLE", "")]);
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.db_proxy_targets.put("pool", vec![target("UNAVAILABLE", "AUTH_FAILURE")]);
        assert!(
            says(CHECK, &snapshot)[0]
                .contains("reaches none of its databases (AUTH_FAILURE): likely the secret")
        );
    }

    #[test]
    fn a_cache_is_judged_by_its_state_where_connections_to_it_fail() {
        let with = |status: &str| {
            let mut snapshot = baseline::worker();
            cache_in_trouble(&mut snapshot, "Error: connect ECONNREFUSED 10.0.21.9:6379");
            snapshot.replication_groups.change("sessions").unwrap().status = Some(status.into());
            exam(CHECK, &snapshot)
        };
        assert_eq!(
            with("create-failed").findings[0].says(),
            "Cache sessions (REDIS_URL) is create-failed: ElastiCache could not create it. The log says \"Error: connect ECONNREFUSED 10.0.21.9:6379\"."
        );
        let shell = with("deleting").findings[0].remedy.shell().join("\n");
        assert!(
            shell.contains("elasticache describe-events --source-type replication-group"),
            "{shell}"
        );
        for innocent in ["available", "modifying", "snapshotting"] {
            assert_eq!(with(innocent).outcome, Outcome::Healthy, "{innocent}");
        }
    }

    #[test]
    fn a_cache_that_is_gone_does_not_resolve() {
        let mut snapshot = baseline::worker();
        cache_in_trouble(&mut snapshot, &format!("Error: getaddrinfo ENOTFOUND {CACHE_HOST}"));
        snapshot.replication_groups.insert("sessions", Seen::Yes(None));
        assert!(says(CHECK, &snapshot)[0].starts_with(
            "Cache sessions (REDIS_URL) does not exist in account 123456789012, eu-west-2: it was deleted, or it is in another account"
        ));
    }

    #[test]
    fn what_an_older_version_names_does_not_count() {
        let mut snapshot = with("stopped");
        let old = snapshot
            .task_definitions
            .change(&id::ecs("task-definition/mailer:12"))
            .unwrap()
            .clone();
        snapshot.task_definitions.put(id::ecs("task-definition/mailer:11"), old);
        name_host(&mut snapshot, &[]);
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }
}
