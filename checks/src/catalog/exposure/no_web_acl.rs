//! A load balancer that is open to the world has no web ACL. Security groups decide by address
//! only; more than that in front of a public site needs a web ACL. A load balancer that only a few
//! can reach needs none.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::inbound_rules;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// An internet-facing application load balancer that allows every address has no AWS WAF web
    /// ACL.
    ///
    /// # Why it matters
    ///
    /// Security groups filter by address and port only. Rate limits, separate allow lists for
    /// services behind a shared load balancer, and known bad requests need a web ACL. Without one,
    /// scanners' requests reach the app, and their 404s count in an Express service's rollback
    /// alarm.
    ///
    /// # How we tell
    ///
    /// `GetWebACLForResource` names none for the load balancer, which is internet-facing and whose
    /// security groups allow all of IPv4 on a port that it listens on, prefix lists included. A
    /// load balancer that only some sources can reach is no finding, such as one behind CloudFront
    /// whose groups have CloudFront's prefix list: its web ACL is likely on CloudFront. Network
    /// load balancers cannot have one.
    ///
    /// # What to do
    ///
    /// If the app alone should decide, leave it. Otherwise associate a web ACL, with its rules set
    /// to Count before they block:
    ///
    /// ```sh
    /// aws wafv2 list-web-acls --scope REGIONAL
    /// aws wafv2 associate-web-acl --web-acl-arn <web ACL> --resource-arn <load balancer>
    /// ```
    ///
    /// On the load balancer of Express services it applies to all of them, up to 25.
    ///
    /// Terraform/OpenTofu: `aws_wafv2_web_acl_association`.
    ///
    /// # See also
    ///
    /// `web_acl_can_be_bypassed`, `balancer_open_to_world`, `alarm_counts_client_errors`,
    /// <https://docs.aws.amazon.com/waf/latest/developerguide/web-acl-associating-aws-resource.html>
    title: "An open load balancer has no web ACL",
    severity: Low,
    role: Risk,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules, GetWebAclForResource,
        DescribeSecurityGroups, GetManagedPrefixListEntries,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{everywhere, id};
        use crate::seen::Seen;
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions = vec![everywhere("tcp", Some(443))]);
        snapshot.web_acls.insert(id::elb("loadbalancer/app/web/50dc6c495c0c9188"), Seen::Yes(None));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let inbounds = inbound_rules::each(patient, findings)?;
    let public = inbounds.iter().filter(|inbound| inbound.is_application() && inbound.is_public());
    let open: Vec<_> =
        public.filter(|inbound| inbound.is_open_to_world(patient, findings)).collect();
    if open.is_empty() {
        return Err(NoAnswer::NotApplicable(
            "no application load balancer that the whole internet can reach",
        ));
    }
    for inbound in open {
        let arn = &inbound.balancer.load_balancer_arn;
        let Some(None) = findings.see(patient.web_acl(arn)) else { continue };
        let shared = if patient.is_express() {
            " It would apply to every Express service on this load balancer."
        } else {
            ""
        };
        let claim =
            format!("load balancer {} is open to the internet and has no web ACL", inbound.name());
        let remedy = Remedy::new(format!("Associate a web ACL, unless filtering by address and by the app itself is enough.{shared}"))
            .cli(aws!(
                "wafv2 associate-web-acl --web-acl-arn $WEB_ACL_ARN --resource-arn {}",
                arn
            ))
            .terraform(hcl!(
                r#"
                resource "aws_wafv2_web_acl_association" "web" {
                  resource_arn = {}
                  web_acl_arn  = aws_wafv2_web_acl.web.arn
                }"#,
                arn
            ));
        findings.add(
            Subject::new(Kind::LoadBalancer, arn)
                .sick(claim, Evidence::new(Call::GetWebAclForResource, arn, "WebACL", "[]"))
                .because(Evidence::new(
                    Call::DescribeLoadBalancers,
                    arn,
                    "Scheme",
                    "internet-facing",
                ))
                .mend(remedy)
                .concerns(Kind::LoadBalancer, arn),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, prefix_list};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::testing::{exam, says};

    const ALB: &str = "loadbalancer/app/web/50dc6c495c0c9188";

    #[test]
    fn a_balancer_that_some_may_reach_needs_none() {
        let mut snapshot = baseline::fargate();
        snapshot.web_acls.insert(id::elb(ALB), Seen::Yes(None));
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        let list = prefix_list::of_cloudfront(&mut snapshot);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![prefix_list::from_list(443, list)];
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        snapshot.prefix_lists.put(list, vec!["0.0.0.0/0".into()]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "a list that has the world");
        snapshot.prefix_lists.insert(list, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_internal_balancer_needs_none() {
        let mut snapshot = (CHECK.example)();
        snapshot.load_balancers.change(&id::elb(ALB)).unwrap().scheme = Some("internal".into());
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn one_that_was_not_told_may_be_there() {
        let mut snapshot = (CHECK.example)();
        snapshot.web_acls.insert(id::elb(ALB), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            ["Load balancer web is open to the internet and has no web ACL."]
        );
    }
}
