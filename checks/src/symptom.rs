//! What an operator sees go wrong: the joints of the causal map. A check names symptoms and never
//! another check: one check shows a symptom, others explain it, and the diagnosis draws the edge
//! between their findings.

macro_rules! symptoms {
    ($( $name:ident = $words:literal; )*) => {
        /// Something that goes wrong, as an operator would say it; the gravest first, as headlines
        /// have it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Symptom { $( #[doc = $words] $name, )* }

        impl Symptom {
            pub const ALL: &[Symptom] = &[ $( Symptom::$name, )* ];

            pub fn words(self) -> &'static str {
                match self { $( Symptom::$name => $words, )* }
            }
        }
    };
}

// What clients feel, then how the deployment ended, then the way to it.
symptoms! {
    BalancerAnswers503 = "clients get 503";
    BalancerAnswers502 = "clients get 502";
    BalancerAnswers504 = "clients get 504";
    RolledBack = "the deployment was rolled back";
    RollbackFailed = "the deployment failed, and so did its rollback";
    DeploymentStuck = "the deployment does not end";
    NoTarget = "no target is left for the traffic";
    TargetsUnused = "targets are registered where no traffic goes";
    TargetsUnhealthy = "targets are unhealthy";
    TargetsFlapping = "targets go in and out of service";
    HealthCheckRefused = "nothing answers the health check";
    HealthCheckFailsInApp = "the app answers its health check with an error";
    HealthCheckTimesOut = "the health check gets no answer in time";
    Saturated = "CPU or memory is used up";
    TasksKeepStopping = "tasks keep stopping";
    TasksFailToStart = "tasks fail to start";
    TooFewRunning = "too few tasks run";
    NoInstanceFits = "no container instance fits";
    ContainerExits = "a container exits with an error";
    RegistryUnreachable = "the image registry cannot be reached";
    SecretStoreUnreachable = "the secret store cannot be reached";
    LogsUnreachable = "CloudWatch Logs cannot be reached";
    AlarmFired = "an alarm stopped the deployment";
    DigestNotResolved = "an image tag could not be resolved";
    OpenToWorld = "the balancer is open to every address";
    NarrowRuleVoid = "a narrow rule has no effect";
}
