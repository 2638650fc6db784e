//! What an operator sees go wrong: the joints of the causal map.
//! A check names symptoms and never another check: one check shows a symptom, others explain it, and the
//! diagnosis draws the edge between their findings.

/// Something that goes wrong, as an operator would say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symptom {
    BalancerAnswers503,
    NoTarget,
    TargetsUnused,
    TargetsUnhealthy,
    TasksKeepStopping,
    TooFewRunning,
    DeploymentStuck,
    RolledBack,
    RollbackFailed,
    AlarmFired,
    OpenToWorld,
    NarrowRuleVoid,
    TasksFailToStart,
    RegistryUnreachable,
    SecretStoreUnreachable,
    LogsUnreachable,
    ContainerExits,
}

impl Symptom {
    pub const ALL: &[Symptom] = &[
        Symptom::BalancerAnswers503,
        Symptom::NoTarget,
        Symptom::TargetsUnused,
        Symptom::TargetsUnhealthy,
        Symptom::TasksKeepStopping,
        Symptom::TooFewRunning,
        Symptom::DeploymentStuck,
        Symptom::RolledBack,
        Symptom::RollbackFailed,
        Symptom::AlarmFired,
        Symptom::OpenToWorld,
        Symptom::NarrowRuleVoid,
        Symptom::TasksFailToStart,
        Symptom::RegistryUnreachable,
        Symptom::SecretStoreUnreachable,
        Symptom::LogsUnreachable,
        Symptom::ContainerExits,
    ];

    pub fn words(self) -> &'static str {
        match self {
            Symptom::BalancerAnswers503 => "the balancer answers 503",
            Symptom::NoTarget => "no target in the group that gets the traffic",
            Symptom::TargetsUnused => "targets are registered where no traffic goes",
            Symptom::TargetsUnhealthy => "targets fail the health check",
            Symptom::TasksKeepStopping => "tasks keep stopping",
            Symptom::TooFewRunning => "too few tasks run",
            Symptom::DeploymentStuck => "the deployment does not end",
            Symptom::RolledBack => "the deployment was rolled back",
            Symptom::RollbackFailed => "the rollback failed",
            Symptom::AlarmFired => "an alarm stopped the deployment",
            Symptom::OpenToWorld => "the balancer is open to every address",
            Symptom::NarrowRuleVoid => "a narrow rule has no effect",
            Symptom::TasksFailToStart => "tasks fail to start",
            Symptom::RegistryUnreachable => "the image registry cannot be reached",
            Symptom::SecretStoreUnreachable => "the secret store cannot be reached",
            Symptom::LogsUnreachable => "CloudWatch Logs cannot be reached",
            Symptom::ContainerExits => "a container exits with an error",
        }
    }
}
