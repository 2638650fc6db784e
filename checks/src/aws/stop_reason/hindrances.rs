//! What hinders a step beyond the troubles that have a check of their own, as data: to teach a new
//! one, add a row with a text as it is really written. A row counts only for the step that the text
//! is about: "x509" of a pull is another matter than "x509" of a secret.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::Step;
use crate::text::{pattern, shortened};

/// One thing that keeps a step from succeeding.
#[derive(Debug)]
pub struct Hindrance {
    pub step: Step,
    pattern: &'static str,
    /// What it means, as a clause that can follow "because"; `$it` is what the pattern found.
    words: &'static str,
    /// What to do about it, in whole sentences.
    pub advice: &'static str,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it says what the pattern is for, and the tests match it")
    )]
    example: &'static str,
}

const fn row(
    step: Step,
    pattern: &'static str,
    words: &'static str,
    advice: &'static str,
    example: &'static str,
) -> Hindrance {
    Hindrance { step, pattern, words, advice, example }
}

/// As much as fits into a clause of what a pattern finds.
const LONGEST_PART: usize = 60;

#[rustfmt::skip]
const HINDRANCES: &[Hindrance] = &[
    // Of a start.
    row(Step::Container, r"setrlimit|setting rlimits?",
        "it requests a limit (ulimits) that the host does not allow",
        "Lower ulimits in the task definition to what the host allows; on an instance the runtime's own limits (LimitNOFILE of Docker or containerd) can be raised, on Fargate only nofile can be set.",
        "CannotStartContainerError: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted: unknown"),
    row(Step::Container, r"nvidia-container|select device driver|\bGPU\b",
        "the instance has no GPU driver that the runtime can use",
        "Run it on instances of the ECS GPU-optimized AMI with ECS_ENABLE_GPU_SUPPORT=true, or remove the GPU from resourceRequirements.",
        "CannotStartContainerError: Error response from daemon: could not select device driver \"nvidia\" with capabilities: [[gpu]]"),
    row(Step::Container, r"port is already allocated|address already in use|Ports are not available|Bind for \S+ failed",
        "the host port that it requests is in use on the instance",
        "Set hostPort to 0, so that ECS picks a free port, or use awsvpc; with a fixed port, an instance runs only one task, and nothing else can listen there.",
        "CannotStartContainerError: Error response from daemon: driver failed programming external connectivity on endpoint ecs-api-1: Bind for 0.0.0.0:8080 failed: port is already allocated"),
    row(Step::Container, r"unable to find (?:user|group) (?<it>[^:\s]+)",
        "the image has no user or group $it",
        "Set user (task definition) or USER (Dockerfile) to one in the image's /etc/passwd, or to its numeric id.",
        "CannotStartContainerError: Error response from daemon: unable to find user app: no matching entries in passwd file"),
    row(Step::Container, r"no matching entries in (?:passwd|group) file",
        "the image does not have the user that it is to run as",
        "Set user (task definition) or USER (Dockerfile) to one in the image's /etc/passwd, or to its numeric id.",
        "CannotStartContainerError: Error response from daemon: no matching entries in passwd file"),
    row(Step::Container, r#"chdir to cwd \(\\?"(?<it>[^"\\]+)"#,
        "its working directory $it does not exist or its user cannot enter it",
        "Correct workingDirectory in the task definition or WORKDIR in the Dockerfile, or give the image's user access to it.",
        "CannotStartContainerError: OCI runtime create failed: runc create failed: unable to start container process: chdir to cwd (\"/srv/app\") set in config.json failed: permission denied: unknown"),
    row(Step::Container, r"make mountpoint|creating mountpoint|mkdirat? .*read-only file system",
        "the runtime cannot create the directory that a volume is mounted on",
        "Create the directory of mountPoints.containerPath in the image: a read-only root file system, or a volume above it, keeps the runtime from doing so.",
        "CannotStartContainerError: OCI runtime create failed: runc create failed: error mounting \"/var/lib/ecs/data/x\" to rootfs at \"/app/cache\": create mountpoint for /app/cache mount: make mountpoint \"/app/cache\": mkdirat /app/cache: read-only file system: unknown"),
    row(Step::Container, r"bind source path does not exist",
        "a host path that a volume names is not on the instance",
        "Create the path of volumes.host.sourcePath on every instance, or use a volume that ECS creates.",
        "CannotStartContainerError: Error response from daemon: invalid mount config for type \"bind\": bind source path does not exist: /data/app"),
    row(Step::Container, r#"error mounting|rootfs_linux|invalid mount|invalid volume spec|Are you trying to mount a directory onto a file|Duplicate mount point"#,
        "a volume cannot be mounted at the path in mountPoints",
        "Compare mountPoints and volumes in the task definition with the image: a file cannot be mounted over a directory, nor a directory over a file, and each path can have one volume.",
        "CannotStartContainerError: OCI runtime create failed: error mounting \"/x\" to rootfs at \"/y\": mount /x:/y, flags: 0x5000: not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)?"),
    row(Step::Container, r"Minimum memory (?:limit|reservation)",
        "its memory limit is below what the runtime allows",
        "Raise the container's memory: the runtime requires at least 6 MiB.",
        "CannotCreateContainerError: Error response from daemon: Minimum memory limit allowed is 6MB"),
    row(Step::Container, r"greater than task memory limit",
        "a container's memory limit is higher than that of the task",
        "Raise the task's memory, or lower the container's.",
        "task memory spec builder: container memory limit(2048) greater than task memory limit(1024)"),
    row(Step::Container, r"execution (?:role )?credentials",
        "the ECS agent has no credentials of the execution role",
        "Set executionRoleArn in the task definition; if it has one, update the ECS agent or replace the instance.",
        "HostConfigError: No execution credentials set for the task"),
    row(Step::Container, r"cannot allocate memory|not enough memory",
        "the instance has no memory left to start it",
        "Free memory on the instance, or place fewer tasks on it: set memory or memoryReservation to what the containers really need.",
        "CannotStartContainerError: Error response from daemon: failed to create shim task: fork/exec /usr/bin/containerd-shim-runc-v2: cannot allocate memory: unknown"),
    row(Step::Container, r"container init was OOM-killed|memory limit too low",
        "its memory limit is too low even to start it",
        "Raise the memory of the container or of the task.",
        "CannotStartContainerError: Error response from daemon: runc create failed: container init died (memory limit too low?): unknown"),
    row(Step::Container, r"resource temporarily unavailable|pids? limit|fork: retry",
        "the instance has reached its process limit",
        "Find out what starts so many processes on the instance, or raise its process limit (kernel.pid_max, TasksMax).",
        "CannotStartContainerError: Error response from daemon: failed to create shim task: fork/exec /usr/bin/runc: resource temporarily unavailable: unknown"),
    row(Step::Container, r"unable to apply caps|adjusting? capabilities|capset|invalid cap(?:ability|s)|seccomp|apparmor|SELinux",
        "the host does not allow one of its capabilities or security profiles",
        "Compare linuxParameters.capabilities, privileged and dockerSecurityOptions with what the host allows; Fargate can add only the capability SYS_PTRACE.",
        "CannotStartContainerError: OCI runtime create failed: unable to start container process: unable to apply caps: operation not permitted: unknown"),
    row(Step::Container, r#"sysctl \\?"|sysctl .* not (?:in|allowed)"#,
        "a kernel parameter in systemControls cannot be set",
        "In systemControls, set only parameters of the container's own namespaces; network parameters need a network mode with its own network namespace.",
        "CannotStartContainerError: OCI runtime create failed: sysctl \"vm.max_map_count\" is not in a separate kernel namespace: unknown"),
    row(Step::Container, r"gathering device information|no such device|adding device|devices\.allow",
        "a device that it requests is not on the instance",
        "Compare linuxParameters.devices in the task definition with the devices of the instance.",
        "CannotCreateContainerError: Error response from daemon: error gathering device information while adding custom device \"/dev/fuse\": no such file or directory"),
    row(Step::Container, r"cgroup",
        "the control groups (cgroups) of the instance reject it",
        "Compare cpu, memory and ulimits with what the instance has, and use a newer AMI with a newer ECS agent: cgroups v2 need both.",
        "CannotStartContainerError: OCI runtime create failed: process_linux.go:319: getting the final child's pid from pipe caused: cgroups: cgroup mountpoint does not exist: unknown"),
    row(Step::Container, r"No such image|no such image",
        "the image is no longer on the instance",
        "Find out what cleans up images on the instance (ECS_IMAGE_CLEANUP_INTERVAL, a docker system prune in cron); with ECS_IMAGE_PULL_BEHAVIOR=prefer-cached or once, it must be present.",
        "CannotCreateContainerError: Error: No such image: 123456789012.dkr.ecr.eu-west-2.amazonaws.com/api:v9"),
    row(Step::Container, r"[Nn]o command specified",
        "neither the image nor the task definition has a command to run",
        "Set command or entryPoint in the task definition, or CMD or ENTRYPOINT in the Dockerfile.",
        "CannotCreateContainerError: Error response from daemon: No command specified"),
    row(Step::Container, r"argument list too long",
        "its command and environment are longer than the kernel allows",
        "Move long values from environment into a file or a secret that the app reads itself.",
        "CannotStartContainerError: OCI runtime create failed: exec /app/run: argument list too long: unknown"),
    row(Step::Container, r#"The container name "[^"]+" is already in use|[Cc]onflict\. The container name"#,
        "a container with that name is still on the instance",
        "Remove the leftover container from the instance, or replace the instance.",
        "CannotCreateContainerError: Error response from daemon: Conflict. The container name \"/ecs-api-12-app-1\" is already in use by container 0a1b."),
    row(Step::Container, r"endpoint with name \S+ already exists|failed to create endpoint|network \S+ not found|cannot join network|network namespace|iptables",
        "Docker cannot create its network on the instance",
        "Restart Docker and the ECS agent on the instance, or replace it; a firewall that flushes iptables removes Docker's rules.",
        "CannotStartContainerError: Error response from daemon: driver failed programming external connectivity on endpoint ecs-api: (iptables failed: iptables --wait -t nat -A DOCKER: iptables: No chain/target/match by that name."),
    row(Step::Container, r"DockerTimeoutError|timed out after waiting|context deadline exceeded|ContainerRuntimeTimeoutError",
        "the container runtime does not answer in time",
        "Check whether the instance is short of disk throughput (burst balance), CPU or memory, or starts many containers at once; ECS_CONTAINER_START_TIMEOUT and ECS_CONTAINER_CREATE_TIMEOUT allow more time.",
        "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s"),
    row(Step::Container, r"hcs::|hcsshim|CreateComputeSystem|CreateProcess",
        "Windows cannot create or start the container",
        "Compare the command with the image (paths end in .exe, and the case of drive letters matters), and the Windows version of the image with that of the host.",
        "CannotStartContainerError: Error response from daemon: failed to create shim task: hcs::System::CreateProcess 0a1b: The system cannot find the file specified.: unknown"),

    // Of a pull, what no setting of the network or of a role fixes.
    row(Step::Pull, r"x509: ",
        "the certificate of the registry is not trusted",
        "Install a certificate of a public CA on the registry, or add its CA to the instance (/etc/docker/certs.d); Fargate does not accept private CAs.",
        "CannotPullContainerError: failed to do request: Head \"https://r.example.com/v2/\": x509: certificate signed by unknown authority"),
    row(Step::Pull, r"http: server gave HTTP response to HTTPS client",
        "the registry does not speak HTTPS",
        "Give the registry a certificate: ECS pulls over HTTPS; only on an instance can Docker be configured otherwise (insecure-registries).",
        "CannotPullContainerError: failed to do request: Head \"https://r.example.com:5000/v2/api/manifests/1\": http: server gave HTTP response to HTTPS client"),
    row(Step::Pull, r"50[0234] (?:Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out)|received unexpected HTTP status: 5\d\d",
        "the registry itself returns an error",
        "Check the registry's status; if it is often unavailable, keep a copy in Amazon ECR (a pull-through cache does that automatically).",
        "CannotPullContainerError: unexpected status from HEAD request to https://r.example.com/v2/api/manifests/1: 503 Service Unavailable"),
    row(Step::Pull, r"invalid reference format|could not parse reference|repository name must be lowercase|invalid checksum digest",
        "the image name in the task definition is not valid",
        "Correct image in the task definition: lowercase letters, one tag or digest, no spaces, no https://, and no unset variable.",
        "CannotPullContainerError: Error response from daemon: invalid reference format: repository name must be lowercase"),
    row(Step::Pull, r"failed to [Ll]chown|[Ll]chown .*invalid argument|Container ID \d+ cannot be mapped",
        "files in the image belong to a user id that the host cannot map",
        "Build the image with user ids below 65,536 (a later chown does not change the old layer).",
        "CannotPullContainerError: failed to extract layer sha256:0a1b: failed to Lchown \"/app\" for UID 1234567, GID 1: lchown /app: invalid argument"),
    row(Step::Pull, r"Windows version .* is incompatible|no matching manifest for windows|operating system .*(?:cannot be used|is not supported)",
        "the image is built for another Windows version than that of the host",
        "Use an image tag for the host's Windows version, and set it in runtimePlatform.operatingSystemFamily (WINDOWS_SERVER_2019_CORE, WINDOWS_SERVER_2022_CORE).",
        "CannotPullContainerError: a Windows version 10.0.20348-based image is incompatible with a 10.0.17763 host"),
    row(Step::Pull, r"unexpected media type|manifest schema ?1|schema 1 manifest|unsupported (?:manifest )?media ?type|unsupported manifest|v1\+prettyjws",
        "the registry has the image in a format that the runtime does not support",
        "Build and push the image again with a current Docker: manifest schema 1 and artifacts that are not images cannot be run.",
        "CannotPullContainerError: ref pull has been retried 1 time(s): unsupported manifest media type and no default available: application/vnd.docker.distribution.manifest.v1+prettyjws"),
    row(Step::Pull, r"unexpected EOF|short read|failed size validation|unexpected commit (?:size|digest)|filesystem layer verification failed|failed to verify",
        "a layer arrived truncated or corrupted",
        "Push the image again; if it continues, check what is between the tasks and the registry (a proxy, a firewall, a full cache).",
        "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: unexpected EOF"),
    row(Step::Pull, r"max depth exceeded",
        "the image has more layers than the runtime supports",
        "Build the image with fewer layers: 127 at most.",
        "CannotPullContainerError: failed to register layer: max depth exceeded"),
    row(Step::Pull, r"inactivity time exceeded|failed to extract layer .*context ca",
        "the pull takes longer than ECS waits",
        "Make the image smaller, or pull it from a registry in the region; on an instance, ECS_IMAGE_PULL_INACTIVITY_TIMEOUT allows more time.",
        "CannotPullContainerError: inactivity time exceeded timeout while pulling image"),

    row(Step::RegistryAuth, r"credentials: not found|credentials are empty",
        "the ECS agent has no credentials for the registry",
        "Set executionRoleArn in the task definition, and repositoryCredentials for a private registry; if it has them, update the ECS agent or replace the instance.",
        "CannotPullECRContainerError: engine ecr credentials: not found"),

    // Of a volume.
    row(Step::FileSystem, r#"Failed to resolve \\?["']?(?<it>fs-[\w.-]+)"#,
        "the name $it does not resolve in the VPC",
        "Turn on DNS support and DNS hostnames for the VPC, use the Amazon DNS server in its DHCP options, and create a mount target in the Availability Zone.",
        "CannotCreateVolumeError: Error response from daemon: create ecs-mailer-data: VolumeDriver.Create: mounting volume failed: Failed to resolve \"fs-0a1b2c3d.efs.eu-west-2.amazonaws.com\" - check that your file system ID is correct."),
    row(Step::FileSystem, r"reason given by server: No such file or directory|No such file or directory.*mount\.nfs",
        "the directory to mount does not exist on the file system",
        "Create the directory of rootDirectory on the file system, or use an access point, which creates it automatically.",
        "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: b'mount.nfs4: mounting fs-0a1b2c3d.efs.eu-west-2.amazonaws.com:/data failed, reason given by server: No such file or directory'"),
    row(Step::FileSystem, r"stunnel|TLS mount|transit encryption",
        "its encrypted connection to the file system (stunnel) fails",
        "Update amazon-efs-utils on the instance, and allow the tasks outbound traffic to port 2049 of the mount targets.",
        "CannotCreateVolumeError: VolumeDriver.Create: mounting volume failed: Failed to initialize TLS tunnel for fs-0a1b2c3d: stunnel exited"),
    row(Step::FileSystem, r"[Cc]onnection reset by peer|Connection refused",
        "the mount target refuses the connection",
        "Check whether the file system and its mount targets are available, and whether port 2049 is open to the tasks.",
        "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: b'mount.nfs4: Connection reset by peer'"),

    // Of secrets.
    row(Step::Secret, r"ThrottlingException|Rate exceeded|TooManyRequests",
        "Secrets Manager or Parameter Store throttles the calls",
        "Start fewer tasks at once, keep all keys in one secret, or turn on Parameter Store's higher throughput.",
        "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: ThrottlingException: Rate exceeded"),
    row(Step::Secret, r"x509: ",
        "something between the tasks and the secrets service presents its own certificate",
        "Exempt calls to AWS from the proxy or firewall (NO_PROXY, or a VPC endpoint): the ECS agent trusts only public CAs.",
        "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    row(Step::Secret, r"unable to find execution role credentials",
        "the ECS agent has no credentials of the execution role",
        "Set executionRoleArn in the task definition; if it has one, update the ECS agent or replace the instance.",
        "ASM secret resource: unable to find execution role credentials"),

    row(Step::Agent, r"credentialspec|gMSA",
        "its credential spec (gMSA) cannot be used",
        "Compare credentialSpecs in the task definition with the file, parameter or secret that it names, and with what the execution role is allowed to read.",
        "failed to retrieve credentials for domainless gMSA user arn:aws:secretsmanager:eu-west-2:123456789012:secret:ad: access denied"),
    row(Step::Log, r"NoCredentialProviders",
        "Docker has no credentials for CloudWatch Logs",
        "Give the instances an instance profile that allows writing logs, or set ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE=true, so that the execution role is used.",
        "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create Cloudwatch log stream: NoCredentialProviders: no valid providers in chain"),

    // Of a task that ECS does not even try to place.
    row(Step::TaskDefinition, r"TaskDefinition is inactive",
        "the revision of the task definition was deregistered",
        "Update the service to an active revision (update-service --task-definition), or register this one again.",
        "(service mailer) failed to launch a task with (error ClientException: TaskDefinition is inactive)."),

    // Of logs that go elsewhere than to CloudWatch.
    row(Step::LogRouter, r"unable to download firelens s3 config file",
        "the FireLens configuration cannot be fetched from Amazon S3",
        "Allow the execution role to read the file (s3:GetObject and s3:GetBucketLocation), and compare config-file-value with the bucket.",
        "ResourceInitializationError: unable to download firelens s3 config file: unable to download s3 config conf.d/fluent.conf from bucket b: AccessDenied: Access Denied"),
    row(Step::LogRouter, r"no firelens container|invalid firelens configuration|unsupported firelens config",
        "the task has no container that FireLens can use",
        "Give one container of the task a firelensConfiguration of type fluentbit or fluentd.",
        "ResourceInitializationError: unable to initialize firelens resource because there's no firelens container"),
    row(Step::LogRouter, r"fluent\.sock",
        "the log router of the task is not running",
        "Look at the log of the container with firelensConfiguration: it must be essential, start before the others, and keep running.",
        "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: dial unix /var/run/fluent.sock: connect: no such file or directory"),
    row(Step::LogRouter, r"splunk|gelf|syslog|fluentd|24224",
        "the log receiver rejects the log driver",
        "Check the address and the token in logConfiguration.options; some drivers have an option to start without the receiver (fluentd-async, splunk-verify-connection).",
        "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: splunk: failed to verify connection - 403 Forbidden"),
];

#[expect(
    clippy::disallowed_methods,
    reason = "patterns that do not compile match nothing, and a test finds them"
)]
static SET: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(HINDRANCES.iter().map(|row| row.pattern)).ok());

/// The first row of the step that the text bears.
pub(super) fn of(step: Step, text: &str) -> Option<&'static Hindrance> {
    let matches = SET.as_ref()?.matches(text);
    matches.into_iter().filter_map(|index| HINDRANCES.get(index)).find(|row| row.step == step)
}

impl Hindrance {
    /// What the text says, as a clause.
    pub fn clause(&self, text: &str) -> String {
        if !self.words.contains("$it") {
            return self.words.to_owned();
        }
        let pattern: Option<Regex> = pattern(self.pattern);
        let captures = pattern.as_ref().and_then(|pattern| pattern.captures(text));
        let it = captures.as_ref().and_then(|found| found.name("it")).map_or("", |it| it.as_str());
        self.words.replace("$it", &shortened(it, LONGEST_PART))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::stop_reason::{hindrance, step};

    #[test]
    fn every_pattern_compiles() {
        assert!(SET.is_some());
    }

    #[test]
    fn each_row_knows_its_own_text() {
        for row in HINDRANCES {
            let found = hindrance(row.example).map(|found| found.pattern);
            assert_eq!(found, Some(row.pattern), "{}", row.example);
            let clause = row.clause(row.example);
            assert!(!clause.contains("$it") && !clause.contains("  "), "{clause}");
        }
    }

    #[test]
    fn words_are_clauses_and_advice_is_of_whole_sentences() {
        for row in HINDRANCES {
            assert!(!row.words.ends_with('.'), "{} is a clause", row.words);
            assert!(row.advice.ends_with('.'), "{} is a sentence", row.advice);
            assert!(row.advice.starts_with(|first: char| first.is_uppercase()), "{}", row.advice);
        }
    }

    #[test]
    fn a_row_counts_for_its_own_step_only() {
        let secret = "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: x509: certificate has expired";
        assert_eq!(step(secret), Some(Step::Secret));
        assert!(hindrance(secret).is_some_and(|row| row.advice.contains("NO_PROXY")));
        assert!(hindrance("Essential container in task exited: nvidia").is_none());
    }
}
