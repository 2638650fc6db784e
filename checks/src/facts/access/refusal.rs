//! Why a role was refused something: IAM's own words in the failure, and what a simulation of the
//! role's policies says now. A simulation sees the policies of the role, its permissions boundary
//! and the organisation; it does not see the policy of the resource, of its key or of an endpoint,
//! and the finding says that.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::json;

use crate::aws::arn;
use crate::aws::rollback_reason::{HookFailure, Reason};
use crate::aws::stop_reason::{self, Trouble};
use crate::call::Call;
use crate::command::Command;
use crate::facts::deployment::{managed, rollback, rollout};
use crate::facts::tasks::reason::{self, Told};
use crate::finding::{Evidence, Finding, Remedy};
use crate::patient::Patient;
use crate::seen::{See, Unseen};
use crate::snapshot::Simulation;
use crate::text::{and_list, pattern};
use crate::{aws, hcl, words};

/// What IAM refused: to which role, which action, on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The role's ARN.
    pub role: String,
    pub action: &'a str,
    /// Where it is one thing, and not all.
    pub resource: Option<&'a str>,
}

static ASSUMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r"arn:(?<partition>aws[a-z-]*):sts::(?<account>\d+):assumed-role/(?<name>[^/\s]+)/")
});

impl<'a> Question<'a> {
    /// The question that a text raises. A session does not tell the path of its role: `known` roles
    /// may. Where the text names no role at all, it is the last resort `of`.
    fn read(
        patient: &Patient,
        text: &'a str,
        known: &[&str],
        of: Option<&str>,
    ) -> Option<Question<'a>> {
        let refused = stop_reason::refused(text);
        let role = match ASSUMED.as_ref()?.captures(text) {
            Some(session) if session["account"] != *patient.account() => return None,
            Some(session) => {
                let is_it = |role: &&&str| role.rsplit('/').next() == Some(&session["name"]);
                let plain = || {
                    format!(
                        "arn:{}:iam::{}:role/{}",
                        &session["partition"], &session["account"], &session["name"]
                    )
                };
                known.iter().find(is_it).map_or_else(plain, |role| (*role).to_owned())
            }
            None => of?.to_owned(),
        };
        let resource = refused
            .resource
            .map(|resource| resource.trim_end_matches(['.', ',', ')']))
            .filter(|resource| *resource != "*");
        Some(Question { role, action: refused.action?, resource })
    }

    /// What it is known by in the snapshot.
    pub fn key(&self) -> String {
        format!("{} {} {}", self.role, self.action, self.resource.unwrap_or("*"))
    }

    /// The question of a key.
    pub fn parse(key: &'a str) -> Option<Question<'a>> {
        let mut words = key.splitn(3, ' ');
        let (role, action, resource) = (words.next()?.to_owned(), words.next()?, words.next()?);
        Some(Question {
            role,
            action,
            resource: Some(resource).filter(|resource| *resource != "*"),
        })
    }

    /// The role's name, which the IAM commands want.
    pub fn name(&self) -> &str {
        self.role.rsplit('/').next().unwrap_or(&self.role)
    }
}

/// The question that a failed start raises: ECS used the execution role, unless the text names
/// another one.
pub fn of_start<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
    told: &Told<'a>,
) -> Option<Question<'a>> {
    let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
    let execution = definition.and_then(|definition| definition.execution_role_arn.as_deref());
    let known: Vec<&str> = execution
        .into_iter()
        .chain(definition.and_then(|definition| definition.task_role_arn.as_deref()))
        .collect();
    Question::read(patient, told.text, &known, execution)
}

/// The question that ECS's own words about a deployment or a resource of its own raise.
pub fn of_words<'a>(patient: &Patient, text: &'a str) -> Option<Question<'a>> {
    let hooks = &patient.service().deployment_configuration.lifecycle_hooks;
    let known: Vec<&str> = hooks.iter().filter_map(|hook| hook.role_arn.as_deref()).collect();
    Question::read(patient, text, &known, None)
}

/// The roles with which ECS takes the targets of a deleted service out of their groups, as far as
/// they are the user's own: nobody can delete the service-linked one while it is in use.
pub fn of_deletion<'a>(patient: &Patient<'a>) -> BTreeSet<&'a str> {
    let service = patient.service();
    if service.status != "DRAINING" {
        return BTreeSet::new();
    }
    let of_balancers = service.load_balancers.iter().filter_map(|one| one.role_arn.as_deref());
    let roles = service.role_arn.as_deref().into_iter().chain(of_balancers);
    roles.filter(|role| !role.contains("/aws-service-role/")).collect()
}

/// Whether such a role may take targets out of the service's target group.
pub fn deregistering<'a>(patient: &Patient<'a>, role: &str) -> Option<Question<'a>> {
    let mut groups = patient.service().load_balancers.iter();
    let group = groups.find_map(|one| one.target_group_arn.as_deref())?;
    Some(Question {
        role: role.to_owned(),
        action: "elasticloadbalancing:DeregisterTargets",
        resource: Some(group),
    })
}

/// What there is to ask IAM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Questions {
    /// Names of roles that could not be assumed.
    pub roles: BTreeSet<String>,
    /// Keys of refusals.
    pub refused: BTreeSet<String>,
}

/// Every question that today's failures raise, as far as they are seen by now.
pub fn questions(patient: &Patient) -> Questions {
    let mut questions = Questions::default();
    for role in of_deletion(patient) {
        questions.roles.insert(arn::last(role).to_owned());
        questions.refused.extend(deregistering(patient, role).map(|question| question.key()));
    }
    // What is hidden now is for the checks to note.
    let mut unseen = Unseen::default();
    if !somebody_speaks_of_iam(patient, &mut unseen) {
        return questions;
    }
    for told in reason::told(patient, &mut unseen) {
        match told.reason.trouble {
            Trouble::RoleNotAssumable => {
                questions.roles.extend(unassumable(patient, told.text).map(str::to_owned))
            }
            Trouble::ImagePullDenied
            | Trouble::SecretDenied
            | Trouble::LogsDenied
            | Trouble::LogGroupMissing => {
                questions
                    .refused
                    .extend(of_start(patient, &mut unseen, &told).map(|question| question.key()));
            }
            _ => {}
        }
    }
    let newest = unseen.see(rollout::newest(patient)).flatten();
    for (reason, evidence) in
        newest.into_iter().flat_map(|deployment| rollback::reasons(patient, deployment))
    {
        match reason {
            Reason::Hook { failure: HookFailure::NotInvoked { .. }, .. } => {}
            Reason::Denied(_) if newest.is_some_and(rollback::began) => {}
            _ => continue,
        }
        questions.refused.extend(of_words(patient, &evidence.value).map(|question| question.key()));
    }
    let revision = unseen.see(managed::revision(patient)).flatten();
    for resource in revision
        .into_iter()
        .flat_map(managed::resources)
        .filter(|resource| matches!(resource.status, "PROVISIONING" | "FAILED"))
    {
        questions.refused.extend(
            resource
                .reason
                .and_then(|reason| of_words(patient, reason))
                .map(|question| question.key()),
        );
    }
    questions
}

/// Whether there is a word of IAM anywhere: most services have none, and then nothing has to be
/// read twice.
fn somebody_speaks_of_iam(patient: &Patient, unseen: &mut impl See) -> bool {
    let events = patient.service().events.iter().map(|event| event.message.as_str());
    let tasks = unseen.see(patient.stopped_tasks()).into_iter().flatten();
    let stops = tasks.flat_map(|task| {
        task.stopped_reason
            .iter()
            .chain(task.containers.iter().filter_map(|container| container.reason.as_ref()))
    });
    let newest = unseen.see(rollout::newest(patient)).flatten();
    let given_up = newest.into_iter().flat_map(|newest| {
        newest
            .status_reason
            .iter()
            .chain(newest.rollback.iter().filter_map(|it| it.reason.as_ref()))
    });
    let revision = unseen.see(managed::revision(patient)).flatten();
    let managed =
        revision.into_iter().flat_map(managed::resources).filter_map(|resource| resource.reason);
    let mut texts = events.chain(stops.chain(given_up).map(String::as_str)).chain(managed);
    texts.any(|text| {
        text.contains("not authorized to perform") || text.contains("unable to assume the role")
    })
}

static ROLE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"role '(?<it>[^']+)'"));

/// The name of the role that ECS could not assume, if it is one of this account.
pub fn unassumable<'a>(patient: &Patient, text: &'a str) -> Option<&'a str> {
    let role = stop_reason::part(&ROLE, text)?;
    let foreign = role.starts_with("arn:") && !role.contains(&format!("::{}:", patient.account()));
    if foreign { None } else { role_named(text) }
}

/// The name of the role that a text has in quotes.
pub fn role_named(text: &str) -> Option<&str> {
    stop_reason::part(&ROLE, text)?.rsplit('/').next()
}

/// Whether a role exists and which services it trusts, as words to put behind "ECS cannot assume
/// role x", with evidence.
pub struct Trust {
    pub words: String,
    pub evidence: Option<Evidence>,
    /// What to do, in a sentence.
    pub mend: String,
}

/// What IAM says of a role that ECS could not assume as that service; none where it may not be
/// seen.
pub fn trust(
    patient: &Patient,
    findings: &mut impl See,
    name: &str,
    service: &str,
) -> Option<Trust> {
    let Some(role) = findings.see(patient.role(name))? else {
        let mend =
            format!("Create the role and allow {service} to assume it, or use another role.");
        return Some(Trust { words: "The role does not exist".into(), evidence: None, mend });
    };
    let policy = &role.assume_role_policy_document;
    let evidence = |field, value: &str| Some(Evidence::new(Call::GetRole, name, field, value));
    let again = "If the trust policy was changed after the last failure, deploy again.".to_owned();
    let mend =
        format!("Allow {service} to assume the role; the command replaces its whole trust policy.");
    let trusts =
        |service: &str| policy.service.iter().any(|trusted| trusted == service || trusted == "*");
    Some(if !trusts(service) {
        let trusted = match policy.service.as_slice() {
            [] => "no AWS service".to_owned(),
            some => and_list(some),
        };
        let first = policy.service.first().map_or("[]", String::as_str);
        let evidence = evidence("AssumeRolePolicyDocument.Statement.Principal.Service", first);
        Trust {
            words: format!("Its trust policy allows {trusted} to assume it, but not {service}"),
            evidence,
            mend,
        }
    } else if let Some(first) = policy.condition.first() {
        let conditions = and_list(&policy.condition);
        let evidence = evidence("AssumeRolePolicyDocument.Statement.Condition", first);
        Trust {
            words: format!(
                "Its trust policy names {service}, with conditions on {conditions} that are likely not met"
            ),
            evidence,
            mend,
        }
    } else if policy.denies {
        let evidence = evidence("AssumeRolePolicyDocument.Statement.Principal.Service", service);
        Trust {
            words: format!("Its trust policy names {service}, but also has a Deny statement"),
            evidence,
            mend,
        }
    } else {
        let evidence = evidence("AssumeRolePolicyDocument.Statement.Principal.Service", service);
        Trust {
            words: format!(
                "Its trust policy now allows {service} to assume it, so it was likely fixed since"
            ),
            evidence,
            mend: again,
        }
    })
}

static DENIED_BY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r"explicit deny in an? (?<it>[\w -]*?(?:policy|permissions boundary))")
});
static ALLOWED_BY_NO: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"because no (?<it>[\w -]*?(?:policy|permissions boundary)) allows"));

/// Who refuses, so far as words and simulation tell.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// Some statement denies, and nothing that is added overrules it: `policy no-secrets`, `a
    /// service control policy`.
    Denies(String),
    /// Something beside the role's own policies would have to allow it too.
    AllowedByNo(String),
    /// No policy of the role allows it.
    NotAllowed,
    /// The role's policies allow it.
    Allowed,
    Unseen,
}

fn refusal(text: &str, simulation: Option<&Simulation>) -> Refusal {
    let own = |by: &&str| *by != "identity-based policy";
    if let Some(by) = stop_reason::part(&DENIED_BY, text).filter(own) {
        return Refusal::Denies(format!("a {by}"));
    }
    if let Some(by) = stop_reason::part(&ALLOWED_BY_NO, text).filter(own) {
        return Refusal::AllowedByNo(by.to_owned());
    }
    let Some(simulation) = simulation else { return Refusal::Unseen };
    match simulation.eval_decision.as_str() {
        "allowed" => Refusal::Allowed,
        "explicitDeny" => {
            let policies: BTreeSet<&str> = simulation
                .matched_statements
                .iter()
                .filter_map(|statement| statement.source_policy_id.as_deref())
                .collect();
            Refusal::Denies(if policies.is_empty() {
                "a policy of the role".into()
            } else {
                format!("policy {}", and_list(policies))
            })
        }
        _ if simulation.allowed_by_organizations == Some(false) => {
            Refusal::AllowedByNo("service control policy".into())
        }
        _ if simulation.allowed_by_permissions_boundary == Some(false) => {
            Refusal::AllowedByNo("permissions boundary".into())
        }
        _ => Refusal::NotAllowed,
    }
}

/// Adds to a finding about a refusal who refuses, and corrects its remedy where an added permission
/// would not help.
pub fn settle(
    patient: &Patient,
    findings: &mut impl See,
    mut finding: Finding,
    text: &str,
    question: Option<&Question>,
) -> Finding {
    let Some(question) = question else { return finding };
    let Question { action, .. } = question;
    let (key, name) = (question.key(), question.name());
    let seen = findings.see(patient.simulation(&key));
    let simulation = seen.flatten();
    let see = patient.see(Call::SimulatePrincipalPolicy, &key);
    match refusal(text, simulation) {
        Refusal::Unseen if seen.is_some() => return finding,
        Refusal::Unseen => {
            finding.remedy.summary += " iam:SimulatePrincipalPolicy would show whether the role's own policies refuse it.";
            finding.remedy = finding.remedy.cli(see);
        }
        Refusal::NotAllowed => {
            let unknown = simulation
                .map(|simulation| &simulation.missing_context_values)
                .filter(|unknown| !unknown.is_empty());
            finding = finding.detail(match unknown {
                Some(keys) => format!(
                    "No policy of the role allows it, except under conditions on {}.",
                    and_list(keys)
                ),
                None => "No policy of the role allows it.".into(),
            });
        }
        Refusal::Denies(by) => {
            finding = finding.detail(format!(
                "It is explicitly denied by {by}, so adding a permission does not help."
            ));
            finding.remedy = Remedy::new(format!("Remove the Deny of {action} from {by}, or exempt the role from it; then deploy again."))
                .cli(aws!("iam list-role-policies --role-name {}", name))
                .cli(aws!("iam list-attached-role-policies --role-name {}", name))
                .cli(see);
        }
        Refusal::AllowedByNo(what) => {
            finding = finding
                .detail(format!("No {what} allows it, whatever the role's own policies say."));
            let remedy = Remedy::new(format!(
                "Allow the role {action} in the {what}, too, then deploy again."
            ));
            finding.remedy = match what.as_str() {
                "permissions boundary" => remedy.cli(aws!("iam get-role --role-name {} --query Role.PermissionsBoundary", name)),
                "service control policy" => remedy
                    .cli(aws!("organizations list-policies-for-target --target-id {} --filter SERVICE_CONTROL_POLICY", patient.account())),
                "resource-based policy" => of_resource(question).into_iter().chain(grant(question)).fold(remedy, Remedy::cli),
                _ => remedy,
            }
            .cli(see);
        }
        Refusal::Allowed => {
            finding = finding.detail("The role's own policies now allow it: they were fixed since, or the policy of the resource, of its key or of an \
                             endpoint refuses it, which is not checked.");
            let remedy = Remedy::new(
                "Deploy again if the role's policies were changed after the last failure. If not, look at the other policies that apply.",
            );
            let remedy = of_resource(question).into_iter().fold(remedy, Remedy::cli);
            finding.remedy =
                remedy.cli(patient.update_service().and(words!("--force-new-deployment")));
        }
    }
    finding.because_all(simulation.into_iter().flat_map(|simulation| evidence(&key, simulation)))
}

fn evidence<'a>(key: &'a str, simulation: &'a Simulation) -> impl Iterator<Item = Evidence> + 'a {
    let evidence = move |field, value: &dyn ToString| {
        Evidence::new(Call::SimulatePrincipalPolicy, key, field, value.to_string())
    };
    let policies = simulation
        .matched_statements
        .iter()
        .filter_map(|statement| statement.source_policy_id.as_ref());
    let organisation = simulation.allowed_by_organizations.filter(|allowed| !allowed);
    let boundary = simulation.allowed_by_permissions_boundary.filter(|allowed| !allowed);
    std::iter::once(evidence("EvalDecision", &simulation.eval_decision))
        .chain(policies.map(move |policy| evidence("MatchedStatements.SourcePolicyId", policy)))
        .chain(
            organisation
                .map(move |no| evidence("OrganizationsDecisionDetail.AllowedByOrganizations", &no)),
        )
        .chain(boundary.map(move |no| {
            evidence("PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary", &no)
        }))
}

/// A role can be allowed to use a key without a change of the key's policy.
fn grant(question: &Question) -> Option<Command> {
    let (key, operation) = (question.resource?, question.action.strip_prefix("kms:")?);
    Some(aws!(
        "kms create-grant --key-id {} --grantee-principal {} --operations {}",
        key,
        &question.role,
        operation
    ))
}

/// The command that shows the policy of the resource itself.
fn of_resource(question: &Question) -> Option<Command> {
    let resource = question.resource?;
    let service = question.action.split(':').next()?;
    Some(match service {
        "secretsmanager" => aws!("secretsmanager get-resource-policy --secret-id {}", resource),
        "kms" => aws!("kms get-key-policy --key-id {} --policy-name default", resource),
        "lambda" => aws!("lambda get-policy --function-name {}", resource),
        "ecr" => aws!(
            "ecr get-repository-policy --repository-name {}",
            resource.split_once(":repository/")?.1
        ),
        _ => return None,
    })
}

/// What to do with a statement that allows a role an action: the command, and the same as
/// Terraform/OpenTofu. `name` is what the policy is called.
pub fn allowing(remedy: Remedy, role: &str, name: &str, action: &str, resource: &str) -> Remedy {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource }] });
    remedy
        .cli(aws!(
            "iam put-role-policy --role-name {} --policy-name {} --policy-document {}",
            role,
            name,
            policy
        ))
        .terraform(hcl!(
            r#"
            resource "aws_iam_role_policy" {} {
              role   = {}
              policy = jsonencode({
                Version   = "2012-10-17"
                Statement = [{ Effect = "Allow", Action = {}, Resource = {} }]
              })
            }"#,
            name.replace('-', "_"),
            role,
            action,
            resource
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::patient::Intent;

    const TEXT: &str = "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/mailer-execution/0123 is not authorized to perform: \
                        kms:Decrypt on resource: arn:aws:kms:eu-west-2:123456789012:key/1. Some more";

    fn question<'a>(text: &'a str, known: &[&str], of: Option<&str>) -> Option<Question<'a>> {
        let (snapshot, intent) = (baseline::worker(), Intent::default());
        Question::read(&Patient::new(&snapshot, &snapshot.services[0], &intent), text, known, of)
    }

    #[test]
    fn a_session_does_not_tell_the_path_of_its_role() {
        let known = "arn:aws:iam::123456789012:role/team/mailer-execution";
        assert_eq!(question(TEXT, &[known], None).unwrap().role, known);
        let plain = question(TEXT, &[], None).unwrap();
        assert_eq!(plain.role, "arn:aws:iam::123456789012:role/mailer-execution");
        assert_eq!(
            (plain.action, plain.resource),
            ("kms:Decrypt", Some("arn:aws:kms:eu-west-2:123456789012:key/1"))
        );
        assert_eq!(Question::parse(&plain.key()), Some(plain.clone()));
    }

    #[test]
    fn a_text_without_an_action_or_with_a_foreign_role_raises_no_question() {
        assert_eq!(
            question(
                "AccessDeniedException: Access to KMS is not allowed",
                &[],
                Some("arn:aws:iam::123456789012:role/x")
            ),
            None
        );
        assert_eq!(
            question(&TEXT.replace("123456789012:assumed", "999999999999:assumed"), &[], None),
            None
        );
    }

    #[test]
    fn the_words_of_iam_count_before_a_simulation() {
        let allowed = Simulation { eval_decision: "allowed".into(), ..Simulation::default() };
        assert_eq!(
            refusal("with an explicit deny in a service control policy", Some(&allowed)),
            Refusal::Denies("a service control policy".into())
        );
        assert_eq!(
            refusal("because no VPC endpoint policy allows the x:Y action", None),
            Refusal::AllowedByNo("VPC endpoint policy".into())
        );
        assert_eq!(
            refusal("because no identity-based policy allows the x:Y action", Some(&allowed)),
            Refusal::Allowed
        );
        assert_eq!(
            refusal("because no identity-based policy allows the x:Y action", None),
            Refusal::Unseen
        );
    }

    #[test]
    fn a_boundary_is_told_from_a_policy_that_is_not_there() {
        let no = Simulation { eval_decision: "implicitDeny".into(), ..Simulation::default() };
        assert_eq!(refusal("denied", Some(&no)), Refusal::NotAllowed);
        let bounded = Simulation { allowed_by_permissions_boundary: Some(false), ..no };
        assert_eq!(
            refusal("denied", Some(&bounded)),
            Refusal::AllowedByNo("permissions boundary".into())
        );
    }
}
