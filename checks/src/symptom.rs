//! What an operator sees go wrong: the joints of the causal map. A check names symptoms and never
//! another check: one check shows a symptom, others explain it, and the diagnosis draws the edge
//! between their findings.

macro_rules! symptoms {
    ($( $name:ident = $words:literal $(, $passes:ident)?; )*) => {
        /// Something that goes wrong, as an operator would say it; the gravest first, as headlines
        /// have it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Symptom { $( #[doc = $words] $name, )* }

        impl Symptom {
            pub const ALL: &[Symptom] = &[ $( Symptom::$name, )* ];

            pub fn words(self) -> &'static str {
                match self { $( Symptom::$name => $words, )* }
            }

            /// Whether AWS forgets it, or it comes and goes between two runs: that it is not seen
            /// now does not tell that it was not there.
            pub fn passes(self) -> bool {
                match self { $( Symptom::$name => symptoms!(@ $( $passes )?), )* }
            }
        }
    };
    (@) => { false };
    (@ passes) => { true };
}

impl Symptom {
    /// Whether clients feel it themselves, whatever else goes wrong.
    pub fn is_felt_by_clients(self) -> bool {
        self <= Symptom::AppAnswers4xx
    }
}

// What clients feel, then how the deployment ended, then what led to it.
symptoms! {
    BalancerAnswers503 = "clients get 503";
    BalancerAnswers502 = "clients get 502";
    BalancerAnswers504 = "clients get 504";
    BalancerAnswers5xx = "clients get 5xx from the load balancer";
    ConnectionsReset = "connections through the network load balancer are reset";
    AppAnswers5xx = "clients get 5xx from the app";
    AppAnswersSlowly = "clients wait far longer than before";
    AppAnswers4xx = "clients get 4xx from the app";
    RolledBack = "the deployment was rolled back";
    RollbackFailed = "the deployment failed, and so did its rollback";
    DeploymentStuck = "the deployment does not finish";
    Deleted = "the service is deleted";
    NoTarget = "no target is left for the traffic";
    TargetsUnused = "targets are registered in a target group that gets no traffic";
    TargetsUnhealthy = "targets are unhealthy", passes;
    TargetsFlapping = "targets keep going in and out of service";
    HealthCheckRefused = "nothing answers the health check", passes;
    HealthCheckFailsInApp = "the app answers its health check with an error", passes;
    HealthCheckTimesOut = "the health check gets no answer in time", passes;
    Saturated = "CPU or memory is used up";
    TasksKeepStopping = "tasks keep stopping", passes;
    TasksFailToStart = "tasks fail to start", passes;
    TooFewRunning = "too few tasks run";
    NoInstanceFits = "no container instance fits", passes;
    ContainerExits = "a container exits with an error", passes;
    RegistryUnreachable = "the image registry cannot be reached", passes;
    SecretStoreUnreachable = "the secret store cannot be reached", passes;
    LogsUnreachable = "the destination of the logs cannot be reached", passes;
    AlarmFired = "an alarm stopped the deployment";
    DigestNotResolved = "an image tag could not be resolved";
    OpenToWorld = "the load balancer is open to every address";
    NarrowRuleVoid = "a narrow rule has no effect";
}
