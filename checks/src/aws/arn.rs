//! Amazon Resource Names, taken apart. What is no ARN is taken as a name, so that ids and ARNs of
//! the same thing can be compared.

/// The parts of an ARN that name whose a thing is, and the thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    pub partition: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    /// `service/default/api`, `log-group:/ecs/api`, `targetgroup/api/0123456789abcdef`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    pub fn read(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        Some(Arn {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        })
    }

    /// What kind of thing it is, as ARNs call it: `service`, `listener-rule`.
    pub fn kind(&self) -> &'a str {
        self.resource.split(['/', ':']).next().unwrap_or(self.resource)
    }
}

/// The last part of an ARN or a path, which is the name or the id of the thing.
pub fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The partition of an ARN: `aws`, `aws-cn`, `aws-us-gov`. What is no ARN is of the common one.
pub fn partition(arn: &str) -> &str {
    Arn::read(arn).map_or("aws", |arn| arn.partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_five_parts_and_the_last_may_have_colons() {
        let arn = Arn::read("arn:aws-cn:logs:cn-north-1:123456789012:log-group:/ecs/api:*");
        let arn = arn.expect("an ARN");
        assert_eq!((arn.partition, arn.service, arn.kind()), ("aws-cn", "logs", "log-group"));
        assert_eq!((arn.region, arn.account), ("cn-north-1", "123456789012"));
        assert_eq!(arn.resource, "log-group:/ecs/api:*");
        assert_eq!(Arn::read("api"), None);
        assert_eq!(Arn::read("arn:aws:ecs:eu-west-2:1"), None);
    }

    #[test]
    fn a_name_is_its_own_last_part() {
        assert_eq!(last("arn:aws:ecs:eu-west-2:1:service/default/api"), "api");
        assert_eq!(last("api"), "api");
        assert_eq!(partition("arn:aws-us-gov:iam::1:role/x"), "aws-us-gov");
        assert_eq!(partition("api"), "aws");
    }
}
