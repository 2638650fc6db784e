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
        r"container ordering dependency .*(has timed out|did not exit successfully|will never start|does not exist)",
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
    // Of a pull, what no setting of the network or of a role mends.
    (
        Q(Step::Pull),
        r"x509: |503 Service Unavailable|invalid reference format|failed to Lchown|Windows version .* is incompatible|no matching manifest for windows",
    ),
    // Of a start, what is not about the command.
    (
        Q(Step::Container),
        r"setrlimit|rlimit|nvidia|could not select device driver|port is already allocated|address already in use|unable to find user|no matching entries in passwd|error mounting|invalid mount|HostConfigError|InvalidVolumeError|Minimum memory limit|cannot allocate memory",
    ),
    (Q(Step::Agent), r"ContainerNetworkingError|ContainerVanishedError|TaskDefinition is inactive"),
    // What ECS was about to do, the more telling words first.
    (S(Step::EnvironmentFile), r"environment (variable )?files? from|failed to download env files"),
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
        r"from (asm|ssm)|[Ss]ecrets? [Mm]anager|Parameter Store|ssm parameters|secretsmanager:|ssm:GetParameters|retrieve secret|SSM Parameter Store|asm fetching authorization data|AuthorizationData",
    ),
    (
        S(Step::RegistryAuth),
        r"retrieve ecr registry auth|registry auth(entication)? from Amazon ECR|ecr:GetAuthorizationToken|https://api\.ecr\.",
    ),
    (S(Step::SecretOrRegistryAuth), r"unable to pull secrets or registry auth"),
    (
        S(Step::Pull),
        r"CannotPull|pull image manifest|can(no|.)t pull .*image|ref pull has been retried|failed to resolve ref",
    ),
    (
        S(Step::Container),
        r"Cannot(Start|Create|Inspect)ContainerError|(ContainerRuntime|ContainerRuntimeTimeout|DockerTimeout)Error",
    ),
    // What went wrong with it.
    (F(Fault::Space), r"no space left on device|Thin Pool has \d+ free"),
    (
        F(Fault::Malformed),
        r"invalid character '|unexpected end of JSON input|unable to unmarshal secret value|AuthorizationData is malformed|invalid ARN format",
    ),
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
    use crate::aws::stop_reason::{read, step};

    #[test]
    fn every_pattern_compiles() {
        assert!(SET.is_some());
    }

    /// Texts as AWS's docs have them, or as accounts and the ECS agent's tests show them.
    const TEXTS: &[(Trouble, &str)] = &[
        (
            Trouble::OutOfMemory,
            "CannotStartContainerError: Error response from daemon: OCI runtime create failed: container_linux.go:380: starting container process caused: container init was OOM-killed (memory limit too low?): unknown",
        ),
        (
            Trouble::SecretMissing,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): invalid character '\\'' looking for beginning of value",
        ),
        (
            Trouble::SecretMissing,
            "fetching secret data from SSM Parameter Store in eu-west-2: invalid parameters: /x",
        ),
        (
            Trouble::SecretMissing,
            "unable to retrieve secret from asm: an invalid ARN format for the AWS Secrets Manager secret was specified",
        ),
        (
            Trouble::SecretMissing,
            "asm fetching authorization data: unable to unmarshal secret value",
        ),
        (
            Trouble::SecretMissing,
            "asm fetching authorization data: AuthorizationData is malformed, empty field",
        ),
        (
            Trouble::RegistryUnreachable,
            "CannotPullContainerError: failed to copy: read tcp 10.0.1.2:1->52.1.1.1:443: read: connection reset by peer",
        ),
        (
            Trouble::DiskFull,
            "CannotCreateContainerError: Error response from daemon: devmapper: Thin Pool has 4350 free data blocks which is less than minimum required 4454 free data blocks.",
        ),
        (
            Trouble::FileSystemNotMounted,
            "CannotCreateVolumeError: Error response from daemon: create x: VolumeDriver.Create: mounting volume failed: Failed to resolve \"fs-1.efs.eu-west-2.amazonaws.com\"",
        ),
        (
            Trouble::FileSystemNotMounted,
            "CannotCreateVolumeError: Error response from daemon: create data: error looking up volume plugin rexray/ebs: plugin \"rexray/ebs\" not found",
        ),
        (
            Trouble::DiscoveryNotProvisioned,
            "Timeout waiting for service discovery instance provisioning to complete.",
        ),
        (
            Trouble::LaunchDenied,
            "ResourceInitializationError: Unable to launch instance(s) for capacity provider cp. UnauthorizedOperation: You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/infra/ECSManagedInstances is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/x",
        ),
        (
            Trouble::LaunchFailed,
            "ResourceInitializationError: Unable to launch instance(s) for capacity provider cp. VcpuLimitExceeded: You have requested more vCPU capacity",
        ),
        (
            Trouble::LaunchFailed,
            "ResourceInitializationError: Unable to launch instance(s) for capacity provider cp. InsufficientFreeAddressesInSubnet: no",
        ),
        (
            Trouble::ImageNotFound,
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref 123456789012.dkr.ecr.eu-west-2.amazonaws.com/api:v9: 123456789012.dkr.ecr.eu-west-2.amazonaws.com/api:v9: not found",
        ),
        (
            Trouble::ImageNotFound,
            "CannotPullContainerError: Error response from daemon: manifest for api:v9 not found: manifest unknown: Requested image not found",
        ),
        (
            Trouble::ImageNotFound,
            "CannotPullContainerError: The task can’t pull the image. Check whether the image exists. Error response from daemon: pull access denied for some/nonsense, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
        ),
        (
            Trouble::ImagePullDenied,
            "CannotPullContainerError: The task can’t pull the image. Check that the role has the permissions to pull images from the registry. Error response from daemon: pull access denied for 123123123123.dkr.ecr.us-east-1.amazonaws.com/my_image, repository does not exist or may require 'docker login': denied: User: arn:aws:sts::123123123123:assumed-role/MyBrokenRole/xyz is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:us-east-1:123123123123:repository/test_image because no identity-based policy allows the ecr:BatchGetImage action",
        ),
        (
            Trouble::ImagePullDenied,
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref 111122223333.dkr.ecr.us-west-2.amazonaws.com/api:1: unexpected status from HEAD request to https://111122223333.dkr.ecr.us-west-2.amazonaws.com/v2/api/manifests/1: 403 Forbidden",
        ),
        (
            Trouble::ImagePullDenied,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/0123 is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action",
        ),
        (
            Trouble::RegistryUnreachable,
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref docker.io/library/nginx:1.27: failed to do request: Head \"https://registry-1.docker.io/v2/library/nginx/manifests/1.27\": dial tcp 34.205.13.154:443: i/o timeout",
        ),
        (
            Trouble::RegistryUnreachable,
            "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , request send failed, Post \"https://api.ecr.eu-north-1.amazonaws.com/\": dial tcp 13.53.180.123:443: i/o timeout.",
        ),
        (
            Trouble::RegistryUnreachable,
            "ResourceInitializationError: unable to pull secrets or registry auth: pull command failed: : signal: killed",
        ),
        (
            Trouble::RegistryUnreachable,
            "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReaderSeeker: failed open: failed to do request",
        ),
        (
            Trouble::RegistryUnreachable,
            "CannotPullContainerError: pull command failed: panic: runtime error: invalid memory address or nil pointer dereference",
        ),
        (
            Trouble::RegistryRateLimited,
            "CannotPullContainerError: inspect image has been retried 5 time(s): httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/nginx/manifests/sha256:00: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
        ),
        (
            Trouble::WrongArchitecture,
            "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform 'linux/amd64'",
        ),
        (
            Trouble::WrongArchitecture,
            "CannotStartContainerError: Error response from daemon: exec /app: exec format error",
        ),
        (
            Trouble::DiskFull,
            "CannotPullContainerError: ref pull has been retried 1 time(s): failed to extract layer sha256:00: write /var/lib/containerd/x: no space left on device: unknown",
        ),
        (
            Trouble::SecretDenied,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-2:123456789012:secret:db-AbCdEf from secrets manager: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/0123 is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-2:123456789012:secret:db-AbCdEf because no identity-based policy allows it",
        ),
        (
            Trouble::SecretDenied,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-2:123456789012:secret:db-AbCdEf from secrets manager: AccessDeniedException: Access to KMS is not allowed",
        ),
        (
            Trouble::SecretMissing,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets Manager did not contain json key PASSWORD",
        ),
        (
            Trouble::SecretMissing,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-2:123456789012:secret:db-AbCdEf from secrets manager: InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion.",
        ),
        (
            Trouble::SecretMissing,
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        ),
        (
            Trouble::SecretMissing,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: /api/key",
        ),
        (
            Trouble::SecretStoreUnreachable,
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: There is a connection issue between the task and AWS Secrets Manager. Check your task network configuration. failed to fetch secret arn:aws:secretsmanager:us-east-1:913524921896:secret:rds!db from secrets manager: operation error Secrets Manager: GetSecretValue, https response error StatusCode: 0, RequestID: , canceled, context deadline exceeded.",
        ),
        (
            Trouble::SecretStoreUnreachable,
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: The task cannot pull secrets from AWS Systems Manager. There is a connection issue between the task and AWS Systems Manager Parameter Store. Check your task network configuration. RequestCanceled: request context canceled caused by: context deadline exceeded",
        ),
        (
            Trouble::LogGroupMissing,
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.",
        ),
        (
            Trouble::LogGroupMissing,
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log group: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/0123 is not authorized to perform: logs:CreateLogGroup on resource: arn:aws:logs:eu-west-2:123456789012:log-group:/ecs/api:log-stream:",
        ),
        (
            Trouble::LogsUnreachable,
            "ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch log group defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. Check your network configuration. : signal: killed",
        ),
        (
            Trouble::LogDestinationUnreachable,
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: dial tcp 127.0.0.1:24224: connect: connection refused",
        ),
        (
            Trouble::LogDestinationUnreachable,
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: dial unix /var/run/fluent.sock: connect: no such file or directory",
        ),
        (
            Trouble::LogDestinationUnreachable,
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: Options \"https://splunk.example:8088/services/collector/event/1.0\": dial tcp 10.0.21.5:8088: i/o timeout",
        ),
        (
            Trouble::LogDestinationUnreachable,
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: gelf: cannot connect to GELF endpoint: 10.0.21.5:12201 dial tcp 10.0.21.5:12201: connect: connection refused",
        ),
        (
            Trouble::LogDestinationUnreachable,
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: dial tcp 10.0.21.5:514: connect: connection refused",
        ),
        (
            Trouble::LogDestinationUnreachable,
            "ResourceInitializationError: failed to validate logger args: Options \"https://http-inputs.splunk.example:443/services/collector/event/1.0\": net/http: request canceled while waiting for connection (context deadline exceeded): signal: killed",
        ),
        (
            Trouble::LogsUnreachable,
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create Cloudwatch log stream: RequestError: send request failed caused by: Post \"https://logs.eu-west-2.amazonaws.com/\": dial tcp 10.0.1.77:443: i/o timeout",
        ),
        (
            Trouble::RegistryUnreachable,
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref docker.io/fluent/fluentd:v1.17: failed to do request: Head \"https://registry-1.docker.io/v2/fluent/fluentd/manifests/v1.17\": dial tcp 34.205.13.154:443: i/o timeout",
        ),
        (
            Trouble::LogsDenied,
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/0123 is not authorized to perform: logs:CreateLogStream on resource: arn:aws:logs:eu-west-2:123456789012:log-group:/ecs/api:log-stream:ecs/app/0123",
        ),
        (
            Trouble::LogOptionsWrong,
            "ResourceInitializationError: failed to validate logger args: awslogs-region is required: exit status 1",
        ),
        (
            Trouble::RoleNotAssumable,
            "(service api) failed to launch a task with (error ECS was unable to assume the role 'arn:aws:iam::123456789012:role/exec' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.).",
        ),
        (Trouble::OutOfMemory, "OutOfMemoryError: Container killed due to memory usage"),
        (
            Trouble::SubnetFull,
            "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled in subnet 'subnet-0a1': InsufficientFreeAddressesInSubnet",
        ),
        (
            Trouble::InterfaceNotProvisioned,
            "Timeout waiting for network interface provisioning to complete.",
        ),
        (
            Trouble::InterfaceNotProvisioned,
            "Timeout waiting for EphemeralStorage provisioning to complete.",
        ),
        (
            Trouble::NoInstanceFits,
            "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching container-instance 8f has insufficient memory available.",
        ),
        (Trouble::NoInstanceFits, "RESOURCE:MEMORY"),
        (
            Trouble::AgentDisconnected,
            "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching container-instance 8f encountered error \"AGENT\".",
        ),
        (
            Trouble::CapacityProviderEmpty,
            "(service web) was unable to reach steady state. Reason: No Container Instances were found in your capacity provider.",
        ),
        (
            Trouble::FargateCapacityUnavailable,
            "(service api) was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a different availability zone.",
        ),
        (
            Trouble::QuotaReached,
            "(service api) was unable to place a task. Reason: You’ve reached the limit on the number of vCPUs you can run concurrently",
        ),
        (
            Trouble::ZoneUnsupported,
            "(service api) was unable to place a task. Reason: Internal error.",
        ),
        (
            Trouble::ComputeIncompatible,
            "The selected task definition is not compatible with the selected compute strategy.",
        ),
        (
            Trouble::ServiceLinkedRoleBroken,
            "(service api) IAM trust relationship has been misconfigured or changed, and ECS can no longer maintain your service.",
        ),
        (
            Trouble::DependencyNeverReady,
            "dependency graph: container ordering dependency [db] for target [app] has timed out.",
        ),
        (
            Trouble::ContainerCannotStart,
            "CannotStartContainerError: Error response from daemon: failed to create task for container: exec: \"serve\": executable file not found in $PATH: unknown",
        ),
        (
            Trouble::ContainerCannotStart,
            "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: failed to create shim task: OCI runtime create failed: exec: \"serve\": permission denied: unknown",
        ),
        (
            Trouble::ContainerCannotStart,
            "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s",
        ),
        (
            Trouble::FileSystemNotMounted,
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: mount.nfs4: Connection timed out : unsuccessful EFS utils command execution; code: 32",
        ),
        (
            Trouble::EnvironmentFileUnreadable,
            "ResourceInitializationError: failed to download env files: service call has been retried 1 time(s): operation error S3: HeadObject, https response error StatusCode: 403, api error Forbidden: Forbidden.",
        ),
        (
            Trouble::EnvironmentFileUnreadable,
            "ResourceInitializationError: The task can't download the environment variable files from Amazon S3. There is a connection issue between the task and Amazon S3.",
        ),
        (
            Trouble::VolumeNotAttached,
            "ECS was unable to assume the configured ECS Infrastructure Role 'arn:aws:iam::123456789012:role/volumes'.",
        ),
        (
            Trouble::LaunchFailed,
            "ResourceInitializationError: Unable to launch instance(s) for capacity provider cp. InsufficientInstanceCapacity: We currently do not have sufficient capacity.",
        ),
        (
            Trouble::LaunchFailed,
            "ResourceInitializationError: Unable to launch instance(s) for capacity provider cp. UnfulfillableCapacity: no",
        ),
    ];

    #[test]
    fn reads_the_reasons_that_aws_writes() {
        for (trouble, text) in TEXTS {
            assert_eq!(read(text).map(|reason| reason.trouble), Some(*trouble), "{text}");
        }
    }

    /// Texts whose step is certain and whose fault no check knows: they are quoted.
    const QUOTED: &[(Step, &str)] = &[
        (
            Step::Secret,
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: ThrottlingException: Rate exceeded",
        ),
        (
            Step::LogRouter,
            "ResourceInitializationError: unable to download firelens s3 config file: AccessDenied: Access Denied",
        ),
        (
            Step::LogRouter,
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: splunk: failed to verify connection - 403 Forbidden - {\"text\":\"Invalid token\",\"code\":4}",
        ),
        (
            Step::Pull,
            "CannotPullContainerError: failed to do request: Head https://r.example.com/v2/: x509: certificate signed by unknown authority",
        ),
        (
            Step::Pull,
            "CannotPullContainerError: unexpected status from HEAD request to https://r.example.com/v2/: 503 Service Unavailable",
        ),
        (Step::Pull, "CannotPullContainerError: invalid reference format"),
        (
            Step::Pull,
            "CannotPullContainerError: failed to extract layer: failed to Lchown /x for UID 1: lchown /x: invalid argument",
        ),
        (
            Step::Pull,
            "CannotPullContainerError: no matching manifest for windows/amd64 10.0.17763 in the manifest list entries",
        ),
        (
            Step::Pull,
            "CannotPullContainerError: a Windows version 10.0.20348-based image is incompatible with a 10.0.17763 host",
        ),
        (
            Step::Container,
            "CannotStartContainerError: failed to create shim task: OCI runtime create failed: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted",
        ),
        (
            Step::Container,
            "CannotStartContainerError: Error response from daemon: could not select device driver \"nvidia\" with capabilities: [[gpu]]",
        ),
        (
            Step::Container,
            "CannotStartContainerError: Error response from daemon: Bind for 0.0.0.0:8080 failed: port is already allocated",
        ),
        (
            Step::Container,
            "CannotStartContainerError: Error response from daemon: unable to find user app: no matching entries in passwd file",
        ),
        (
            Step::Container,
            "CannotStartContainerError: OCI runtime create failed: error mounting \"/x\" to rootfs at \"/y\": not a directory",
        ),
        (
            Step::Interface,
            "Unexpected EC2 error while attempting to Create Network Interface in subnet 'subnet-1': InvalidSubnetID.NotFound",
        ),
        (
            Step::Interface,
            "Unexpected EC2 error while attempting to Create Network Interface: InvalidGroup.NotFound",
        ),
        (Step::Agent, "ContainerNetworkingError: failed to set up the network"),
        (Step::Agent, "ContainerVanishedError: the container is gone"),
    ];

    #[test]
    fn a_step_with_a_fault_that_no_check_knows_is_quoted() {
        for (expected, text) in QUOTED {
            assert_eq!(read(text), None, "{text}");
            assert_eq!(step(text), Some(*expected), "{text}");
        }
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
