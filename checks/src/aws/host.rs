//! Host names: those of AWS's own services, taken apart, in every partition; which values of a
//! listener rule are one; and for which a certificate is. How rules match them is for the reading of
//! requests.

/// A host of AWS whose name tells what answers there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AwsHost<'a> {
    /// A private registry: `123456789012.dkr.ecr.eu-west-2.amazonaws.com`.
    Ecr { account: &'a str, region: &'a str },
    /// `orders.cluster-ro-c9akciq32rgz.eu-west-2.rds.amazonaws.com`: the second label has the kind
    /// of endpoint and the account's own word.
    Rds { identifier: &'a str, account: &'a str, region: &'a str },
    /// `master.sessions.abc123.euw2.cache.amazonaws.com`: the region is abbreviated.
    Cache { endpoint: CacheEndpoint, identifier: &'a str, region: &'a str },
    /// `web-1234567890.eu-west-2.elb.amazonaws.com`, and of a network load balancer
    /// `web-0123456789abcdef.elb.eu-west-2.amazonaws.com`.
    Elb { name: &'a str, region: &'a str },
    /// `s3.eu-west-2.amazonaws.com`, or a bucket's. Old names have no region.
    S3 { region: Option<&'a str> },
    /// An Express service: `or-0123.ecs.eu-west-2.on.aws`.
    Express { region: &'a str },
    /// An API of API Gateway by its own name: `a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com`.
    Api { id: &'a str, region: &'a str },
    /// Any other of AWS.
    Other,
}

/// What an endpoint of ElastiCache belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheEndpoint {
    ReplicationGroup,
    /// One cluster: Memcached, or a node.
    Cluster,
    Serverless,
}

/// How the names of AWS end: the usual ones of each partition, and those for both families of
/// addresses.
const ENDS: [&str; 9] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".on.aws",
    ".api.aws",
    ".on.amazonwebservices.com.cn",
    ".api.amazonwebservices.com.cn",
    ".on.amazonwebservices.eu",
    ".api.amazonwebservices.eu",
];

/// A host as AWS names it; none for anybody else's. It may be written in capitals, and end with
/// a dot.
pub fn of_aws(host: &str) -> Option<AwsHost<'_>> {
    let labels = labels(host)?;
    Some(match labels[..] {
        [account, "dkr", "ecr" | "ecr-fips", region]
        | [account, "dkr-ecr" | "dkr-ecr-fips", region]
            if is_account(account) =>
        {
            AwsHost::Ecr { account, region }
        }
        // In China the region stands last.
        [identifier, account, region, "rds"] | [identifier, account, "rds", region] => {
            AwsHost::Rds { identifier, account, region }
        }
        [.., region, "cache"] if labels.len() > 3 => {
            let (endpoint, identifier) = cache(&labels);
            AwsHost::Cache { endpoint, identifier, region }
        }
        [.., name, region, "elb"] | [.., name, "elb", region] => AwsHost::Elb { name, region },
        [.., "ecs", region] => AwsHost::Express { region },
        [id, "execute-api", region] => AwsHost::Api { id, region },
        [.., "s3" | "s3-fips", "dualstack", region] | [.., "s3" | "s3-fips", region] => {
            AwsHost::S3 { region: Some(region) }
        }
        [.., "s3"] => AwsHost::S3 { region: None },
        [.., last] => last
            .strip_prefix("s3-")
            .map_or(AwsHost::Other, |region| AwsHost::S3 { region: Some(region) }),
        [] => AwsHost::Other,
    })
}

/// What a host of ElastiCache belongs to, from its labels; names differ with the engine, with TLS
/// and with the cluster mode.
fn cache<'a>(labels: &[&'a str]) -> (CacheEndpoint, &'a str) {
    match *labels {
        ["master" | "replica" | "clustercfg", group, ..] => {
            (CacheEndpoint::ReplicationGroup, group)
        }
        [reader, _, "ng", ..] => {
            (CacheEndpoint::ReplicationGroup, reader.strip_suffix("-ro").unwrap_or(reader))
        }
        [group, _, "clustercfg", ..] => (CacheEndpoint::ReplicationGroup, group),
        [name, "serverless", ..] => {
            (CacheEndpoint::Serverless, name.rsplit_once('-').map_or(name, |(name, _account)| name))
        }
        [cluster, ..] => (CacheEndpoint::Cluster, cluster),
        [] => (CacheEndpoint::Cluster, ""),
    }
}

/// Whether ElastiCache abbreviates a region so: `euw2` is `eu-west-2`. Of regions whose names have
/// more parts the abbreviations are not documented, and any may be one.
pub fn abbreviates(short: &str, region: &str) -> bool {
    let [area, direction, number] = region.split('-').collect::<Vec<_>>()[..] else { return true };
    let direction: String = ["north", "south", "east", "west", "central"]
        .into_iter()
        .filter(|word| direction.contains(word))
        .filter_map(|word| word.chars().next())
        .collect();
    short == format!("{area}{direction}{number}")
}

/// The labels of a host of AWS before the end that all have.
fn labels(host: &str) -> Option<Vec<&str>> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let ends_with = |end: &str| {
        let at = host.len().checked_sub(end.len())?;
        host.get(at..)?.eq_ignore_ascii_case(end).then(|| host.get(..at)).flatten()
    };
    Some(ENDS.into_iter().find_map(ends_with)?.split('.').collect())
}

/// The service of AWS whose public endpoint a host is, by the name that its VPC endpoint has: `sqs`,
/// `ecr.api`. None for what has a name of AWS and is in a VPC, such as a database.
pub fn service(host: &str) -> Option<&str> {
    match labels(host)?[..] {
        ["api", "ecr", _] => Some("ecr.api"),
        [.., "dkr", "ecr", _] => Some("ecr.dkr"),
        [service, region] if is_region(region) => Some(service),
        _ => matches!(of_aws(host), Some(AwsHost::S3 { .. })).then_some("s3"),
    }
}

/// `eu-west-2`, `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    label.matches('-').count() >= 2 && label.ends_with(|c: char| c.is_ascii_digit())
}

fn is_account(label: &str) -> bool {
    label.len() == 12 && label.bytes().all(|byte| byte.is_ascii_digit())
}

/// The hosts of AWS that a text names.
pub fn named_in(text: &str) -> impl Iterator<Item = AwsHost<'_>> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.')).filter_map(of_aws)
}

/// Whether a value of a host condition is one host, and no pattern.
pub fn is_name(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))
}

/// Whether a name of a certificate is for a host: a `*` stands for just the first label.
pub fn covers(name: &str, host: &str) -> bool {
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((first, rest))) => {
            !first.is_empty() && parent.eq_ignore_ascii_case(rest)
        }
        _ => name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_an_account_and_a_region_in_every_partition() {
        for (host, region) in [
            ("123456789012.dkr.ecr.eu-west-2.amazonaws.com", "eu-west-2"),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
            ("123456789012.dkr-ecr.eu-west-2.on.aws", "eu-west-2"),
            ("123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1"),
            ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1"),
        ] {
            assert_eq!(
                of_aws(host),
                Some(AwsHost::Ecr { account: "123456789012", region }),
                "{host}"
            );
        }
        for other in ["team.dkr.ecr.eu-west-2.amazonaws.com", "api.ecr.eu-west-2.amazonaws.com"] {
            assert_eq!(of_aws(other), Some(AwsHost::Other), "{other}");
        }
        for other in
            ["public.ecr.aws", "123456789012.dkr.ecr.eu-west-2.example.com", "amazonaws.com", ""]
        {
            assert_eq!(of_aws(other), None, "{other}");
        }
    }

    #[test]
    fn databases_and_balancers_have_their_region_before_or_behind_the_service() {
        let rds = |region| {
            Some(AwsHost::Rds { identifier: "orders", account: "cluster-c9akciq32rgz", region })
        };
        for (host, region) in [
            ("orders.cluster-c9akciq32rgz.eu-west-2.rds.amazonaws.com", "eu-west-2"),
            ("orders.cluster-c9akciq32rgz.rds.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ] {
            assert_eq!(of_aws(host), rds(region), "{host}");
        }
        for (host, name, region) in [
            ("web-1.eu-west-2.elb.amazonaws.com", "web-1", "eu-west-2"),
            ("dualstack.web-1.eu-west-2.elb.amazonaws.com", "web-1", "eu-west-2"),
            ("web-0f.elb.eu-west-2.amazonaws.com", "web-0f", "eu-west-2"),
            ("internal-web-1.cn-north-1.elb.amazonaws.com.cn", "internal-web-1", "cn-north-1"),
        ] {
            assert_eq!(of_aws(host), Some(AwsHost::Elb { name, region }), "{host}");
        }
    }

    #[test]
    fn a_bucket_and_an_express_service_tell_their_region() {
        for (host, region) in [
            ("s3.eu-west-2.amazonaws.com", Some("eu-west-2")),
            ("bucket.s3.eu-west-2.amazonaws.com", Some("eu-west-2")),
            ("my.bucket.s3.dualstack.eu-west-2.amazonaws.com", Some("eu-west-2")),
            ("s3-eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("bucket.s3.amazonaws.com", None),
            ("bucket.s3.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        ] {
            assert_eq!(of_aws(host), Some(AwsHost::S3 { region }), "{host}");
        }
        let express = of_aws("OR-0123.ecs.eu-west-2.ON.AWS.");
        assert_eq!(express, Some(AwsHost::Express { region: "eu-west-2" }));
        assert_eq!(of_aws("sqs.eu-west-2.amazonaws.com"), Some(AwsHost::Other));
    }

    #[test]
    fn a_public_endpoint_tells_its_service() {
        for (host, expected) in [
            ("sqs.eu-west-2.amazonaws.com", Some("sqs")),
            ("secretsmanager.us-gov-west-1.amazonaws.com", Some("secretsmanager")),
            ("sts.cn-north-1.amazonaws.com.cn", Some("sts")),
            ("api.ecr.eu-west-2.amazonaws.com", Some("ecr.api")),
            ("123456789012.dkr.ecr.eu-west-2.amazonaws.com", Some("ecr.dkr")),
            ("bucket.s3.eu-west-2.amazonaws.com", Some("s3")),
            ("orders.c9akciq32rgz.eu-west-2.rds.amazonaws.com", None),
            ("orders.abc123.0001.euw2.cache.amazonaws.com", None),
            ("web-1234567890.eu-west-2.elb.amazonaws.com", None),
            ("a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com", None),
            ("vpce-0123-abcd.sqs.eu-west-2.vpce.amazonaws.com", None),
            ("api.example.com", None),
        ] {
            assert_eq!(service(host), expected, "{host}");
        }
    }

    #[test]
    fn an_api_has_an_id_and_a_region() {
        let of = |region| Some(AwsHost::Api { id: "a1b2c3d4e5", region });
        assert_eq!(of_aws("a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com"), of("eu-west-2"));
        let china = "a1b2c3d4e5.execute-api.cn-north-1.amazonaws.com.cn";
        assert_eq!(of_aws(china), of("cn-north-1"));
        assert_eq!(of_aws("execute-api.eu-west-2.amazonaws.com"), Some(AwsHost::Other));
    }

    #[test]
    fn an_endpoint_of_a_cache_names_what_it_belongs_to() {
        use CacheEndpoint::{Cluster, ReplicationGroup, Serverless};
        for (host, endpoint, identifier) in [
            ("master.sessions.abc123.euw2.cache.amazonaws.com", ReplicationGroup, "sessions"),
            ("replica.sessions.abc123.euw2.cache.amazonaws.com", ReplicationGroup, "sessions"),
            ("clustercfg.sessions.abc123.euw2.cache.amazonaws.com", ReplicationGroup, "sessions"),
            ("sessions.abc123.clustercfg.euw2.cache.amazonaws.com", ReplicationGroup, "sessions"),
            ("sessions.abc123.ng.0001.euw2.cache.amazonaws.com", ReplicationGroup, "sessions"),
            ("sessions-ro.abc123.ng.0001.euw2.cache.amazonaws.com", ReplicationGroup, "sessions"),
            ("sessions-abc123.serverless.euw2.cache.amazonaws.com", Serverless, "sessions"),
            ("pages.abc123.cfg.euw2.cache.amazonaws.com", Cluster, "pages"),
            ("pages-001.abc123.0001.euw2.cache.amazonaws.com", Cluster, "pages-001"),
        ] {
            let expected = AwsHost::Cache { endpoint, identifier, region: "euw2" };
            assert_eq!(of_aws(host), Some(expected), "{host}");
        }
        assert_eq!(of_aws("cache.amazonaws.com"), Some(AwsHost::Other));
    }

    #[test]
    fn a_region_has_an_abbreviation() {
        for (short, region) in [
            ("euw2", "eu-west-2"),
            ("use1", "us-east-1"),
            ("aps1", "ap-south-1"),
            ("apse2", "ap-southeast-2"),
        ] {
            assert!(abbreviates(short, region), "{region}");
            assert!(!abbreviates(short, "sa-east-1"), "{region}");
        }
    }

    #[test]
    fn a_text_names_hosts_between_whatever_else_it_says() {
        let text = "failed to do request: Head \"https://123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/v2/api\": dial tcp";
        let named: Vec<AwsHost> = named_in(text).collect();
        assert_eq!(named, [AwsHost::Ecr { account: "123456789012", region: "us-east-1" }]);
    }

    #[test]
    fn a_star_in_a_certificate_is_one_label() {
        assert!(
            covers("*.example.com", "API.example.com")
                && covers("api.example.com", "api.example.com")
        );
        assert!(
            !covers("*.example.com", "a.b.example.com") && !covers("*.example.com", "example.com")
        );
    }
}
