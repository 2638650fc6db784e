//! The services of an account and region, each with the state that ECS itself tells: no diagnosis,
//! but enough to see which service needs one.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use checks::aws::arn;
use checks::call::Call;
use checks::seen::Blindness;
use checks::snapshot::Service;
use checks::text::count;
use schemars::JsonSchema;
use serde::Serialize;

use super::{plain, text, wording};

const FORMAT: &str = "ecs-doctor-services/v1";

/// The services of one account and region.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "ecs-doctor-services/v1")]
pub struct Services {
    pub format: &'static str,
    pub region: String,
    pub services: Vec<ServiceRow>,
    /// What could not be listed: the cluster, or all of them, and why.
    pub unseen: Vec<UnseenRow>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ServiceRow {
    pub cluster: String,
    pub service: String,
    pub arn: String,
    pub state: State,
    pub desired: i32,
    pub running: i32,
    pub pending: i32,
}

/// What ECS itself says of a service, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The newest deployment failed.
    DeploymentFailed,
    /// Fewer tasks run than desired, and no deployment is under way.
    TooFewTasks,
    /// A deployment is under way.
    Deploying,
    /// It is being deleted.
    Draining,
    /// No task is desired.
    ScaledToZero,
    /// All desired tasks run. Whether clients are served, only a diagnosis tells.
    Steady,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UnseenRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    pub call: Call,
    pub why: Blindness,
}

impl Services {
    pub fn new(region: &str, services: &[Service], unseen: Vec<UnseenRow>) -> Services {
        let mut rows: Vec<ServiceRow> = services.iter().map(ServiceRow::new).collect();
        rows.sort_by(|a, b| {
            (a.state, &a.cluster, &a.service).cmp(&(b.state, &b.cluster, &b.service))
        });
        Services { format: FORMAT, region: plain(region), services: rows, unseen }
    }

    /// One line each, the worst first.
    pub fn print(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let name = |row: &ServiceRow| format!("{}/{}", row.cluster, row.service);
        let widest = self.services.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
        for row in &self.services {
            let (sign, style) = row.state.sign();
            let tasks = format!("{}/{} tasks", row.running, row.desired);
            let line = format!("{:widest$}  {tasks:<12} {}", name(row), row.state.words());
            writeln!(out, "{style}{sign}{style:#} {}", text::one_line(line.trim_end()))?;
        }
        if self.services.is_empty() && self.unseen.is_empty() {
            writeln!(out, "There is no service in {}.", self.region)?;
        }
        for row in &self.unseen {
            let of =
                row.cluster.as_ref().map_or(String::new(), |name| format!(" of cluster {name}"));
            let why = wording::why(row.why);
            writeln!(out, "? the services{of} could not be listed: {} {why}", row.call.action())?;
        }
        let bad = self.services.iter().filter(|row| row.state <= State::TooFewTasks).count();
        if !self.services.is_empty() {
            let dim = Style::new().dimmed();
            writeln!(
                out,
                "\n{dim}{} in {}, {bad} in trouble as ECS tells it · why: ecs-doctor CLUSTER/SERVICE{dim:#}",
                count(self.services.len(), "service"),
                self.region
            )?;
        }
        Ok(())
    }
}

impl ServiceRow {
    fn new(service: &Service) -> ServiceRow {
        ServiceRow {
            cluster: plain(arn::last(&service.cluster_arn)),
            service: plain(&service.service_name),
            arn: plain(&service.service_arn),
            state: State::of(service),
            desired: service.desired_count,
            running: service.running_count,
            pending: service.pending_count,
        }
    }
}

impl State {
    pub fn of(service: &Service) -> State {
        let newest = service.deployments.iter().find(|deployment| deployment.status == "PRIMARY");
        let rollout = newest.and_then(|deployment| deployment.rollout_state.as_deref());
        let several = service.deployments.len() > 1 || service.task_sets.len() > 1;
        match (service.status.as_str(), rollout) {
            ("DRAINING" | "INACTIVE", _) => State::Draining,
            (_, Some("FAILED")) => State::DeploymentFailed,
            (_, Some("IN_PROGRESS")) => State::Deploying,
            _ if several => State::Deploying,
            _ if service.running_count < service.desired_count => State::TooFewTasks,
            _ if service.desired_count == 0 && service.running_count == 0 => State::ScaledToZero,
            _ => State::Steady,
        }
    }

    fn words(self) -> &'static str {
        match self {
            State::DeploymentFailed => "deployment failed",
            State::TooFewTasks => "too few tasks",
            State::Deploying => "deploying",
            State::Draining => "draining",
            State::ScaledToZero => "scaled to zero",
            State::Steady => "steady",
        }
    }

    fn sign(self) -> (&'static str, Style) {
        match self {
            State::DeploymentFailed | State::TooFewTasks => ("✗", AnsiColor::Red.on_default()),
            State::Deploying | State::Draining => ("…", AnsiColor::Yellow.on_default()),
            State::ScaledToZero => ("-", Style::new().dimmed()),
            State::Steady => ("✓", AnsiColor::Green.on_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use checks::snapshot::Deployment;

    use super::*;

    fn service(desired: i32, running: i32, rollout: &str) -> Service {
        Service {
            service_name: "api".into(),
            cluster_arn: "arn:aws:ecs:eu-west-2:123456789012:cluster/prod".into(),
            status: "ACTIVE".into(),
            desired_count: desired,
            running_count: running,
            deployments: vec![Deployment {
                status: "PRIMARY".into(),
                rollout_state: Some(rollout.into()),
                ..Deployment::default()
            }],
            ..Service::default()
        }
    }

    #[test]
    fn a_state_is_what_ecs_tells_and_no_more() {
        assert_eq!(State::of(&service(2, 2, "COMPLETED")), State::Steady);
        assert_eq!(State::of(&service(2, 1, "COMPLETED")), State::TooFewTasks);
        assert_eq!(State::of(&service(2, 1, "IN_PROGRESS")), State::Deploying);
        assert_eq!(State::of(&service(2, 2, "FAILED")), State::DeploymentFailed);
        assert_eq!(State::of(&service(0, 0, "COMPLETED")), State::ScaledToZero);
        let draining = Service { status: "DRAINING".into(), ..service(2, 2, "COMPLETED") };
        assert_eq!(State::of(&draining), State::Draining);
        // CodeDeploy has no deployments in ECS, but task sets.
        let deployed_elsewhere = Service { deployments: Vec::new(), ..service(1, 0, "") };
        assert_eq!(State::of(&deployed_elsewhere), State::TooFewTasks);
    }

    #[test]
    fn the_worst_comes_first_and_what_could_not_be_listed_is_said() {
        let mut good = service(2, 2, "COMPLETED");
        good.service_name = "a-good-one".into();
        let unseen = UnseenRow {
            cluster: Some("test".into()),
            call: Call::ListServices,
            why: Blindness::Denied,
        };
        let services =
            Services::new("eu-west-2", &[good, service(2, 0, "COMPLETED")], vec![unseen]);
        let mut out = Vec::new();
        services.print(&mut out).unwrap();
        let text = anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "✗ prod/api         0/2 tasks    too few tasks");
        assert_eq!(lines[1], "✓ prod/a-good-one  2/2 tasks    steady");
        assert_eq!(
            lines[2],
            "? the services of cluster test could not be listed: ecs:ListServices denied"
        );
    }
}
