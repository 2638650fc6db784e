//! The words by which AWS's reasons are told apart, as data: to teach a new text, add a line and a
//! case to the tests. All patterns are tried in one pass; of those that match, the first in the
//! table has the word. So what is certain stands before what is general, and the tail of a reason
//! (timeouts, denials) before words that mean little by themselves.

use std::sync::LazyLock;

use regex::RegexSet;

use super::{Fault, Step, Trouble};

/// What a pattern tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clue {
    /// The whole trouble, whatever else the text says.
    Whole(Trouble),
    /// What ECS was about to do.
    Step(Step),
    /// What went wrong with it.
    Fault(Fault),
    /// The step is certain, and what went wrong with it is no trouble that a check knows: the words
    /// themselves have to tell.
    Quoted(Step),
}

use Clue::{Fault as F, Quoted as Q, Step as S, Whole as W};

/// Texts are those of AWS's docs, of the ECS agent's source, and of real accounts. Apostrophes may
/// be typographic: `.`.
pub(super) const CLUES: &[(Clue, &str)] = &[
    (
        W(Trouble::OutOfMemory),
        r"OutOfMemoryError|[Cc]ontainer killed due to memory usage|container init was OOM-killed",
    ),
    (
        W(Trouble::LaunchDenied),
        r"Unable to launch instance\(s\).*(UnauthorizedOperation|not authorized to perform)",
    ),
    (W(Trouble::LaunchFailed), r"Unable to launch instance\(s\)"),
    (S(Step::Launch), r"Unable to launch instance\(s\)"),
    (
        W(Trouble::SubnetFull),
        r"InsufficientFreeAddressesInSubnet|has insufficient free addresses|not enough free addresses",
    ),
    (
        Q(Step::Interface),
        r"Invalid(SubnetID|Subnet|Group|SecurityGroupID)\.NotFound|security group .* does not exist",
    ),
    (W(Trouble::RoleNotAssumable), r"ECS was unable to assume the role"),
    (
        W(Trouble::VolumeNotAttached),
        r"Infrastructure Role|EBS volume|attempting to (Create|Attach) ?Volume|InvalidVolume\.",
    ),
    (
        W(Trouble::AgentDisconnected),
        r#"^(TaskFailedToStart: )?AGENT$|encountered error "?AGENT"?|Amazon ECS Agent to start"#,
    ),
    (
        W(Trouble::CapacityProviderEmpty),
        r"No Container Instances were found in your (capacity provider|cluster)|provisioning capacity limit was exceeded",
    ),
    (
        W(Trouble::FargateCapacityUnavailable),
        r"Capacity is unavailable at this time|RESOURCE:FARGATE",
    ),
    (
        W(Trouble::NoInstanceFits),
        r"no container instance met all of its requirements|^(TaskFailedToStart: )?(RESOURCE:|ATTRIBUTE$|MemberOf placement constraint)",
    ),
    (
        W(Trouble::QuotaReached),
        r"reached the limit on the number of (tasks|vCPUs)|account is currently blocked|requested (CPU|MEMORY) configuration is above your limit",
    ),
    (W(Trouble::ZoneUnsupported), r"place a task\. Reason: Internal error\.?$"),
    (
        W(Trouble::InterfaceNotProvisioned),
        r"Timeout waiting for (network interface|EphemeralStorage) provisioning|attempting to Create Network Interface",
    ),
    (
        W(Trouble::DiscoveryNotProvisioned),
        r"Timeout waiting for service discovery instance provisioning",
    ),
    (W(Trouble::ComputeIncompatible), r"not compatible with the selected compute strategy"),
    (
        W(Trouble::ServiceLinkedRoleBroken),
        r"IAM (permissions policies have|trust relationship has) been misconfigured|AWSServiceRoleForECS",
    ),
    (
        W(Trouble::DependencyNeverReady),
        r"container ordering dependency .*(has timed out|did not exit successfully|will never start|does not exist)|TaskDependencyError",
    ),
    (W(Trouble::LogGroupMissing), r"not authorized to perform: logs:CreateLogGroup"),
    // Logs that go elsewhere than to CloudWatch: drivers other than `awslogs` dial at once, and its
    // words are about a log stream. The files of FireLens.
    (
        W(Trouble::LogDestinationUnreachable),
        r"(logging driver|logger args): *(dial (tcp|udp|unix|unixgram)|gelf: cannot connect|Unix syslog delivery error)|(logging driver|log driver|logger args).*(splunk|services/collector|gelf|syslog|fluent).*(dial (tcp|udp|unix)|connection refused|i/o timeout|no such host|deadline exceeded|no such file|signal: killed)",
    ),
    (
        Q(Step::LogRouter),
        r"firelens (s3 )?config|firelens resource|(logging driver|log driver|logger args).*(firelens|fluent|splunk|services/collector|gelf|syslog)",
    ),
    (Q(Step::Agent), r"ContainerNetworkingError|ContainerVanishedError|credentialspec|gMSA"),
    (Q(Step::Log), r"logging driver.*NoCredentialProviders"),
    (Q(Step::TaskDefinition), r"TaskDefinition is inactive"),
    // What ECS was about to do, the more telling words first.
    (
        S(Step::EnvironmentFile),
        r"environment (variable )?files? from|failed to download env files|download env file|environment file resource|in environmentFile ",
    ),
    (
        S(Step::FileSystem),
        r"EFS utils|EFS volumes?|mount\.nfs4?|amazon-efs-mount|VolumeDriver\.Create: mounting volume failed|Failed to resolve .fs-|CannotCreateVolumeError",
    ),
    (
        S(Step::Log),
        r"logger args|logging driver|CloudWatch log (group|stream)|Cloudwatch log (group|stream)|awslogs",
    ),
    (
        S(Step::Secret),
        r"from (asm|ssm)|[Ss]ecrets? [Mm]anager|Parameter Store|ssm parameters|secretsmanager:|ssm:GetParameters|retrieve secret|SSM Parameter Store|asm fetching (authorization data|secret)|AuthorizationData|(ASM|ssm) secret resource",
    ),
    (
        S(Step::RegistryAuth),
        r"retrieve ecr registry auth|registry auth(entication)? from Amazon ECR|ecr:GetAuthorizationToken|engine (ecr|docker private registry) credentials|uses execution credentials|https://api\.ecr\.",
    ),
    (S(Step::SecretOrRegistryAuth), r"unable to pull secrets or registry auth"),
    (
        S(Step::Pull),
        r"CannotPull|pull image manifest|can(no|.)t pull .*image|ref pull has been retried|failed to resolve ref",
    ),
    (
        S(Step::Container),
        r"Cannot(Start|Create|Inspect)ContainerError|(ContainerRuntime|ContainerRuntimeTimeout|DockerTimeout|HostConfig|DockerClientConfig|InvalidVolume)Error|cgroup resource: |task memory spec builder",
    ),
    // What went wrong with it.
    (F(Fault::Space), r"no space left on device|Thin Pool has \d+ free"),
    (
        F(Fault::Malformed),
        r"unable to unmarshal secret value|AuthorizationData is malformed|invalid ARN format|could not find a secretsmanager secretID|empty secrets value",
    ),
    (F(Fault::NotJson), r"invalid character '|unexpected end of JSON input|json: cannot unmarshal"),
    (
        F(Fault::Platform),
        r"descriptor matching platform|no match for platform|no matching manifest for|exec format error",
    ),
    (F(Fault::RateLimit), r"toomanyrequests|429 Too Many Requests|pull rate limit"),
    (F(Fault::Key), r"kms:Decrypt|Access to KMS is not allowed|KMS key|KMSAccessDenied"),
    (
        F(Fault::Denied),
        r"AccessDenied|not authorized to perform|403 Forbidden|Status ?[Cc]ode: 403|api error Forbidden|no basic auth credentials|401 Unauthorized|incorrect username or password|Check that the role has the permissions",
    ),
    (
        F(Fault::Network),
        r"connection issue between|dial (tcp|udp)|i/o timeout|TLS handshake timeout|connection timed out|Client\.Timeout exceeded|request canceled|request context canceled|context (deadline exceeded|canceled)|signal: killed|send request failed|no route to host|network is unreachable|no such host|connection reset by peer|httpReaderSeeker: failed open|pull command failed: panic: runtime error|[Cc]heck your (task )?network c",
    ),
    (
        F(Fault::Missing),
        r"not found|manifest unknown|does not exist|can.t find|NotFoundException|ParameterNotFound|did not contain json key|invalid (ssm )?parameters: |Check whether the image exists|NoSuchKey|marked for deletion",
    ),
];

#[expect(
    clippy::disallowed_methods,
    reason = "patterns that do not compile match nothing, and a test finds them"
)]
static SET: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(CLUES.iter().map(|(_, pattern)| pattern)).ok());

/// What a text tells, in the order of the table.
pub(super) fn clues(text: &str) -> impl Iterator<Item = Clue> {
    let matches = SET.as_ref().map(|set| set.matches(text));
    matches.into_iter().flatten().filter_map(|index| Some(CLUES.get(index)?.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::stop_reason::read;

    #[test]
    fn every_pattern_compiles() {
        assert!(SET.is_some());
    }

    #[test]
    fn names_that_users_choose_mean_nothing() {
        let texts = [
            "CannotPullContainerError: ref pull has been retried 1 time(s): acme/kms-not-found-403:429",
            "Essential container in task exited",
            "Task failed container health checks",
            "Scaling activity initiated by (deployment ecs-svc/12)",
        ];
        for text in texts {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
