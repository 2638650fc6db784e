//! Commands that fix what several checks of tasks find.

use serde_json::json;

use crate::command::{Command, Word};
use crate::facts::network::reach;
use crate::facts::tasks::reason::Told;
use crate::patient::Patient;
use crate::snapshot::ContainerInstance;
use crate::{aws, words};

/// Deploys the version again, once what kept it from starting is fixed.
pub fn deploy(patient: &Patient, told: &Told) -> Command {
    let update = patient.update_service();
    let update = match told.is_primary {
        true => update,
        false => update.and(words!("--task-definition {}", told.version())),
    };
    update.and(words!("--force-new-deployment"))
}

/// Registers a new revision from a file, in which the user has changed a field.
pub fn register() -> Command {
    aws!("ecs register-task-definition --cli-input-json file://task-definition.json")
}

/// Gives a role one statement on one resource, of which only the user knows the ARN.
pub fn allow(
    role: Option<&str>,
    policy: &str,
    actions: &[&str],
    before: &str,
    unknown: Word,
) -> Command {
    const PLACE: &str = "RESOURCE_ARN";
    let resource = format!("{before}{PLACE}");
    let document = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": resource }] }).to_string();
    let (head, tail) = document.split_once(PLACE).unwrap_or((&document, ""));
    aws!(
        "iam put-role-policy --role-name {} --policy-name {} --policy-document {}{}{}",
        role.map_or(Word::needed("ROLE"), Word::new),
        policy,
        head,
        unknown,
        tail
    )
}

/// Gives the service other subnets, and leaves the rest of its network as it is.
pub fn subnets(patient: &Patient, subnets: impl IntoIterator<Item = Word>) -> Option<Command> {
    let network = reach::configured(patient, None)?;
    Some(patient.update_service().and(words!(
        "--network-configuration \
         awsvpcConfiguration={subnets=[{}],securityGroups=[{}],assignPublicIp={}}",
        Word::list(subnets),
        Word::list(&network.security_groups),
        network.assign_public_ip.as_deref().unwrap_or("DISABLED")
    )))
}

/// The subnets of the service, and one more that the user knows.
pub fn another_subnet(patient: &Patient) -> Option<Command> {
    let known = reach::configured(patient, None)?.subnets.iter().map(Word::new);
    subnets(patient, known.chain([Word::needed("SUBNET_ID")]))
}

/// Makes an Auto Scaling group larger.
pub fn add_instances() -> Command {
    aws!(
        "autoscaling set-desired-capacity --auto-scaling-group-name $AUTO_SCALING_GROUP \
         --desired-capacity $INSTANCES"
    )
}

/// Restarts the ECS agent of an EC2 instance with Linux.
pub fn restart_agent(instance: &ContainerInstance) -> Option<Command> {
    Some(on_instance(
        Word::new(instance.ec2_instance_id.as_deref()?),
        "commands=[\"systemctl restart ecs\"]",
    ))
}

/// Runs something on an instance with Linux.
pub fn on_instance(instance: Word, parameters: &str) -> Command {
    aws!(
        "ssm send-command --instance-ids {} --document-name AWS-RunShellScript --parameters {}",
        instance,
        parameters
    )
}
