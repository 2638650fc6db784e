//! The tasks use up their CPU or their memory. What the health check makes of that is for other
//! checks to say; a container that was killed for memory is for `out_of_memory`.

use jiff::SignedDuration;

use crate::aws::stop_reason::Trouble;
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::{Argument, Command, Word};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic;
use crate::facts::tasks::metric::{self, Lasting};
use crate::facts::tasks::reason;
use crate::facts::tasks::scaling;
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::{Evidence, Finding, Kind, Remedy};
use crate::hcl::Name;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;
use crate::snapshot::{Task, TaskDefinition};
use crate::text::parsed;
use crate::{aws, hcl, words};

crate::check! {
    /// The busiest task has used up its CPU, or its memory, for minutes on end.
    ///
    /// # Why it matters
    ///
    /// With no CPU left, requests queue and slow down, and then the health check gets no answer in
    /// time either, and ECS replaces the very tasks that are needed. With no memory left, the
    /// kernel kills a container.
    ///
    /// # How we tell
    ///
    /// In every one of the last ten minutes `CPUUtilization` was at 90 % or more, or
    /// `MemoryUtilization` at 95 % or more, as the maximum over all tasks, where the task
    /// definition sets a limit for the whole task: without one, on EC2, more than 100 % may well be
    /// fine. CPU counts only behind a load balancer: a worker may use all that it is given.
    /// Starting takes CPU too, so nothing is reported while tasks exit on their own or no task is
    /// older than five minutes.
    ///
    /// # What to do
    ///
    /// More tasks, or larger ones. On Fargate, each CPU size allows for certain memory sizes only.
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --desired-count <more>
    /// aws ecs register-task-definition --cpu 512 --memory 1024 --cli-input-json file://task-definition.json
    /// aws ecs update-service --cluster <cluster> --service <service> --task-definition <family>
    /// aws ecs update-express-gateway-service --service-arn <arn> --cpu 512 --memory 1024   # Express Mode
    /// ```
    ///
    /// Terraform/OpenTofu: `cpu` and `memory` in `aws_ecs_task_definition`;
    /// `aws_appautoscaling_policy` with `ECSServiceAverageCPUUtilization`, so that tasks are added
    /// in time.
    ///
    /// # See also
    ///
    /// `scaling_at_maximum`, `scaling_suspended`, `health_check_times_out`, `out_of_memory`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service_utilization.html>
    title: "The tasks use up their CPU or their memory",
    severity: Medium,
    role: Cause,
    shows: Saturated,
    explains: [HealthCheckTimesOut, TargetsUnhealthy, TargetsFlapping, BalancerAnswers502, BalancerAnswers503, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeScalableTargets,
        GetMetricData,
    ],
    example: on fargate, |snapshot| {
        let service = snapshot.services[0].service_arn.clone();
        snapshot.metrics.put(Metric::Cpu.of(&service), crate::baseline::minutes(98.0));
    },
}

/// So near to the limit that the next allocation may be the last.
const FULL: f64 = 95.0;

/// Until then a task may be busy with its own start.
const STARTING: SignedDuration = SignedDuration::from_mins(5);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let lasting =
        |metric, limit| metric::lasting(patient, metric, patient.arn(), metric::LASTING, limit);
    let has_clients = !traffic::groups(patient)?.is_empty();
    let (cpu, memory) = (lasting(Metric::Cpu, metric::BUSY)?, lasting(Metric::Memory, FULL)?);
    if cpu.is_none() && memory.is_none() {
        return Ok(());
    }
    let Some(definition) = patient.service().primary_definition() else { return Ok(()) };
    let Some(definition) = patient.task_definition(definition)? else { return Ok(()) };
    let running: Vec<&Task> =
        patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING").collect();
    if let (Some(cpu), Some(limit)) = (cpu, &definition.cpu)
        && has_clients
        && !is_starting(patient, &running)?
    {
        let maximum =
            findings.see(scaling::target(patient)).flatten().map(|target| target.max_capacity);
        findings.add(short_of_cpu(patient, definition, limit, &running, cpu, maximum)?);
    }
    if let (Some(memory), Some(limit)) = (memory, &definition.memory)
        && !was_killed_for_memory(patient)?
    {
        findings.add(short_of_memory(patient, definition, limit, &running, memory));
    }
    Ok(())
}

/// Whether the CPU may be that of starts: of tasks that are young, or end by themselves and start
/// again.
fn is_starting(patient: &Patient, running: &[&Task]) -> Result<bool, Blind> {
    let settled =
        |task: &&Task| task.started_at.is_some_and(|at| time::age(patient.now(), at) > STARTING);
    let ends = |task: &&Task| {
        !matches!(
            StopKind::of(task),
            StopKind::BalancerHealthCheck { .. } | StopKind::ContainerHealthCheck
        )
    };
    Ok(!running.iter().any(settled)
        || stop::failures(patient)?.iter().any(|failures| failures.tasks.iter().any(ends)))
}

fn was_killed_for_memory(patient: &Patient) -> Result<bool, Blind> {
    for task in stop::failures(patient)?.iter().flat_map(|failures| &failures.tasks) {
        let record = reason::of_task(patient, task)?;
        if record.is_some_and(|(reason, ..)| reason.trouble == Trouble::OutOfMemory) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `the busiest of 2 tasks has`
fn busiest(running: &[&Task]) -> String {
    match running.len() {
        0 | 1 => "the task has".to_owned(),
        several => format!("the busiest of {several} tasks has"),
    }
}

fn short_of_cpu(
    patient: &Patient,
    definition: &TaskDefinition,
    limit: &str,
    running: &[&Task],
    cpu: Lasting,
    maximum: Option<i32>,
) -> Result<Finding, Blind> {
    let units: Option<u32> = parsed(limit);
    let vcpu = units.map_or_else(
        || format!("{limit} CPU units"),
        |units| format!("{} vCPU", f64::from(units) / 1024.0),
    );
    let claim = format!(
        "{} used {:.0} % or more of its CPU ({vcpu}) in each of the last 10 min",
        busiest(running),
        cpu.low.floor()
    );
    let desired = patient.service().desired_count;
    let more = desired.saturating_mul(2).max(desired.saturating_add(1));
    let summary = match maximum {
        Some(maximum) if desired < maximum => format!(
            "Give each task more CPU, or run more of them: auto scaling could go up to {maximum} and has not, so check its policies. Then find what uses the CPU."
        ),
        _ => "Run more tasks, or give each task more CPU; then find what uses it.".to_owned(),
    };
    let remedy = Remedy::new(summary).cli(running_more(patient, more, maximum));
    let of = &definition.task_definition_arn;
    Ok(patient
        .subject()
        .sick(claim, cpu.evidence)
        .because(Evidence::new(Call::DescribeTaskDefinition, of, "cpu", limit))
        .mend(doubling(remedy, patient, "cpu", limit))
        .concerns(Kind::Service, patient.arn())
        .concerns_all(Kind::TargetGroup, traffic::groups(patient)?))
}

/// Express Mode has bounds of its own for the number of tasks, and sets it by these.
fn running_more(patient: &Patient, more: i32, maximum: Option<i32>) -> Command {
    if !patient.is_express() {
        return patient.update_service().and(words!("--desired-count {}", more));
    }
    let bounds = match maximum {
        Some(maximum) if maximum < more => {
            words!("--scaling-target minTaskCount={},maxTaskCount={}", more, more)
        }
        _ => words!("--scaling-target minTaskCount={}", more),
    };
    aws!("ecs update-express-gateway-service --service-arn {}", patient.arn()).and(bounds)
}

fn short_of_memory(
    patient: &Patient,
    definition: &TaskDefinition,
    limit: &str,
    running: &[&Task],
    memory: Lasting,
) -> Finding {
    let claim = format!(
        "{} used {:.0} % or more of its memory ({limit} MiB) in each of the last 10 min: if it uses a little more, the kernel kills a container",
        busiest(running),
        memory.low.floor()
    );
    let remedy = Remedy::new(
        "Give the task more memory, or limit the app (its heap, caches, workers) to less than that.",
    );
    let of = &definition.task_definition_arn;
    patient
        .subject()
        .sick(claim, memory.evidence)
        .because(Evidence::new(Call::DescribeTaskDefinition, of, "memory", limit))
        .mend(doubling(remedy, patient, "memory", limit))
        .concerns(Kind::Service, patient.arn())
        // Memory is no reason for a slow answer to the health check.
        .concerns_no(Kind::TargetGroup)
}

/// How a task gets twice as much of something as it has.
fn doubling(remedy: Remedy, patient: &Patient, what: &str, limit: &str) -> Remedy {
    let twice = parsed::<u32>(limit).map(|limit| limit.saturating_mul(2).to_string());
    let size = twice.as_ref().map_or(Word::needed("SIZE"), Argument::word);
    let (remedy, resource) = if patient.is_express() {
        let update = aws!("ecs update-express-gateway-service --service-arn {}", patient.arn());
        let remedy = remedy.cli(update.and(words!("--{} {}", what, size)));
        (remedy, "aws_ecs_express_gateway_service")
    } else {
        let family = patient.service().primary_definition().map(rollout::short);
        let family = family.and_then(|version| version.split(':').next());
        let deploy = words!(
            "--task-definition {}",
            family.map_or(Word::needed("TASK_DEFINITION"), Word::new)
        );
        let remedy = remedy
            .cli(aws!(
                "ecs register-task-definition --{} {} --cli-input-json file://task-definition.json",
                what,
                size
            ))
            .cli(patient.update_service().and(deploy));
        (remedy, "aws_ecs_task_definition")
    };
    remedy.terraform(hcl!(
        r#"
        resource {} {} {
          {} = {}
        }"#,
        resource,
        patient.name(),
        Name(what),
        twice.map_or(hcl!("var.size"), |twice| hcl!("{}", twice))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, exit_tasks, minutes, minutes_ago, stop_tasks};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::hcl::Hcl;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn with(mut snapshot: Snapshot, metric: Metric, series: Series) -> Snapshot {
        let key = metric.of(&snapshot.services[0].service_arn);
        snapshot.metrics.put(key, series);
        snapshot
    }

    /// The first of the last sixty minutes, and the rest.
    fn from(minutes_back: i64, before: f64, then: f64) -> Series {
        let value = |minute| if minute <= minutes_back { then } else { before };
        Series {
            values: (1..=60).rev().map(|minute| (minutes_ago(minute), value(minute))).collect(),
        }
    }

    #[test]
    fn says_how_much_of_how_much() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The busiest of 2 tasks has used 98 % or more of its CPU (0.25 vCPU) in each of the last 10 min."
            ]
        );
        assert_eq!(
            says(CHECK, &with(baseline::worker(), Metric::Memory, minutes(97.9))),
            [
                "The busiest of 2 tasks has used 97 % or more of its memory (512 MiB) in each of the last 10 min: if it uses a little more, the kernel kills a container."
            ]
        );
    }

    #[test]
    fn a_larger_task_is_registered_and_deployed() {
        let shell = exam(CHECK, &with(baseline::worker(), Metric::Memory, minutes(97.9))).findings
            [0]
        .remedy
        .shell();
        assert_eq!(
            shell,
            [
                "aws ecs register-task-definition --memory 1024 --cli-input-json file://task-definition.json",
                "aws ecs update-service --cluster prod --service mailer --task-definition mailer",
            ]
        );
    }

    #[test]
    fn express_mode_has_commands_of_its_own() {
        let remedy = exam(CHECK, &with(baseline::express(), Metric::Cpu, minutes(98.0))).findings
            [0]
        .remedy
        .clone();
        let express = |it: &String| it.starts_with("aws ecs update-express-gateway-service ");
        let shell = remedy.shell();
        assert!(shell.len() == 2 && shell.iter().all(express), "{shell:?}");
        let terraform = remedy.terraform.as_ref().map(Hcl::as_str).unwrap_or_default();
        assert!(terraform.contains("aws_ecs_express_gateway_service"), "{terraform}");
    }

    #[test]
    fn a_burst_is_none() {
        assert!(
            says(CHECK, &with(baseline::fargate(), Metric::Cpu, from(1, 20.0, 99.0))).is_empty()
        );
        assert!(
            says(CHECK, &with(baseline::fargate(), Metric::Cpu, from(6, 20.0, 99.0))).is_empty()
        );
        assert_eq!(
            says(CHECK, &with(baseline::fargate(), Metric::Cpu, from(12, 20.0, 99.0))).len(),
            1
        );
    }

    #[test]
    fn a_few_values_prove_nothing() {
        let few = Series { values: vec![(minutes_ago(3), 99.0), (minutes_ago(2), 99.0)] };
        assert!(says(CHECK, &with(baseline::fargate(), Metric::Cpu, few)).is_empty());
    }

    #[test]
    fn a_worker_may_use_all_the_cpu_that_it_is_given() {
        assert_eq!(
            exam(CHECK, &with(baseline::worker(), Metric::Cpu, minutes(100.0))).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn without_a_limit_for_the_task_more_than_all_may_be_fine() {
        let mut snapshot = with(
            with(baseline::ec2(), Metric::Cpu, minutes(180.0)),
            Metric::Memory,
            minutes(120.0),
        );
        let definition = snapshot.services[0].task_definition.clone().unwrap();
        let definition = snapshot.task_definitions.change(&definition).unwrap();
        (definition.cpu, definition.memory) = (None, None);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_start_takes_cpu_too() {
        let mut young = (CHECK.example)();
        let arn = young.services[0].service_arn.clone();
        young
            .running_tasks
            .change(&arn)
            .unwrap()
            .iter_mut()
            .for_each(|task| task.started_at = Some(minutes_ago(2)));
        assert!(says(CHECK, &young).is_empty());
        let mut crashing = (CHECK.example)();
        exit_tasks(&mut crashing, 3, 1, None);
        assert!(says(CHECK, &crashing).is_empty());
    }

    #[test]
    fn a_container_killed_for_memory_has_a_check_of_its_own() {
        let mut snapshot = with(baseline::fargate(), Metric::Memory, minutes(99.0));
        exit_tasks(
            &mut snapshot,
            3,
            137,
            Some("OutOfMemoryError: Container killed due to memory usage"),
        );
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn an_unseen_metric_is_not_low() {
        let mut snapshot = baseline::fargate();
        let key = Metric::Cpu.of(&snapshot.services[0].service_arn);
        snapshot.metrics.insert(key, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn is_why_the_health_check_gets_no_answer_and_the_maximum_is_why_it_stays_so() {
        let mut snapshot = (CHECK.example)();
        let slow =
            |address| baseline::unhealthy(address, 8080, "Target.Timeout", "Request timed out");
        let group = baseline::id::group("api");
        snapshot.target_health.put(&group, vec![slow("10.0.1.21"), slow("10.0.2.22")]);
        stop_tasks(&mut snapshot, 3, |task| {
            task.stopped_reason =
                Some(format!("Task failed ELB health checks in (target-group {group})"))
        });
        baseline::scaling::refuse_more(&mut snapshot, 6);
        let intent = Intent::default();
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let mut chain = vec![&diagnosis.roots[0]];
        while let Some(next) = chain.last().and_then(|node| node.explains.first()) {
            chain.push(next);
        }
        let chain: Vec<&str> = chain.iter().map(|node| node.check.id()).collect();
        assert_eq!(
            chain,
            [
                "scaling_at_maximum",
                CHECK.id(),
                "health_check_times_out",
                "targets_unhealthy",
                "tasks_keep_stopping"
            ]
        );
    }

    #[test]
    fn memory_is_no_reason_for_a_slow_answer() {
        let mut snapshot = with(baseline::fargate(), Metric::Memory, minutes(97.0));
        let slow =
            |address| baseline::unhealthy(address, 8080, "Target.Timeout", "Request timed out");
        snapshot
            .target_health
            .put(baseline::id::group("api"), vec![slow("10.0.1.21"), slow("10.0.2.22")]);
        let intent = Intent::default();
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let memory = diagnosis.roots.iter().find(|root| root.check.id() == CHECK.id()).unwrap();
        assert!(memory.explains.is_empty());
    }
}
