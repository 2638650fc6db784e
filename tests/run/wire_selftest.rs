//! Tests of the loopback account itself, with a client that knows no more of HTTP than it must.
//! They say what the other tests may rely on: which reply a request gets, what is complained about,
//! and how each fault looks from outside.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::wire::{Account, Fault, Request};

const TARGET_GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-2:123456789012:targetgroup/api/6d0ecf831eec9f09";
const REVISION: &str =
    "arn:aws:ecs:eu-west-2:123456789012:service-revision/prod/api/4872019365518274096";
const OLD_REVISION: &str =
    "arn:aws:ecs:eu-west-2:123456789012:service-revision/prod/api/3150926748193057742";

/// A connection to an account that can carry several requests.
struct Client(TcpStream);

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

impl Client {
    fn new(account: &Account) -> Self {
        let endpoint = account.endpoint();
        let stream =
            TcpStream::connect(endpoint.trim_start_matches("http://")).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        Self(stream)
    }

    fn ecs(&mut self, operation: &str, input: &Value) -> std::io::Result<Reply> {
        let target = format!("x-amz-target: AmazonEC2ContainerServiceV20141113.{operation}\r\n");
        self.post("/", &target, input.to_string().as_bytes())
    }

    fn form(&mut self, form: &[(&str, &str)]) -> std::io::Result<Reply> {
        self.post("/", "", serde_urlencoded::to_string(form).expect("a form").as_bytes())
    }

    fn target_health(&mut self) -> std::io::Result<Reply> {
        self.form(&[
            ("Action", "DescribeTargetHealth"),
            ("Version", "2015-12-01"),
            ("TargetGroupArn", TARGET_GROUP),
        ])
    }

    fn cloudwatch(&mut self, operation: &str, input: &Value) -> std::io::Result<Reply> {
        let mut body = Vec::new();
        ciborium::into_writer(input, &mut body).expect("CBOR");
        let path = format!("/service/GraniteServiceVersion20100801/operation/{operation}");
        self.post(&path, "smithy-protocol: rpc-v2-cbor\r\n", &body)
    }

    fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> std::io::Result<Reply> {
        let length = body.len();
        write!(
            self.0,
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n"
        )?;
        self.0.write_all(body)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head in ASCII").to_lowercase();
        let length = head
            .split_once("content-length: ")
            .and_then(|(_, rest)| rest.lines().next()?.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        self.0.read_exact(&mut body)?;
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Ok(Reply { status, head, body })
    }
}

#[test]
fn each_protocol_is_understood_on_one_connection() {
    let account = Account::start("fargate");
    let mut client = Client::new(&account);
    assert_eq!(account.now(), "2026-11-22T03:00:00Z");
    assert!(account.environment().contains(&("AWS_ENDPOINT_URL", account.endpoint())));

    let services = client
        .ecs(
            "DescribeServices",
            &json!({"cluster": "prod", "services": ["api"], "include": ["TAGS"]}),
        )
        .unwrap();
    assert_eq!(services.json()["services"][0]["runningCount"], 2);
    assert!(services.head.contains("content-type: application/x-amz-json-1.1"));

    let health = client.target_health().unwrap();
    assert_eq!(health.text().matches("<State>healthy</State>").count(), 2);

    let version = [("Action", "DescribeRouteTables"), ("Version", "2016-11-15")];
    let filter = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", "vpc-0a1b2c3d4e5f60718")];
    assert!(client.form(&[version, filter].concat()).unwrap().text().contains("<natGatewayId>"));

    let ids = ["requests", "elb_5xx", "elb_502", "elb_503", "elb_504", "fixed"]
        .map(|id| format!("lb0_{id}"))
        .to_vec();
    let targets = [
        "requests",
        "target_5xx",
        "target_4xx",
        "target_3xx",
        "connection_errors",
        "response_time",
        "healthy",
        "unhealthy",
    ];
    let targets = targets.map(|id| format!("tg0_{id}")).to_vec();
    let ids = [ids, targets, vec!["svc_cpu".to_owned(), "svc_memory".to_owned()]].concat();
    let queries: Vec<_> = ids.iter().map(|id| json!({ "Id": id })).collect();
    let metrics =
        json!({"MetricDataQueries": queries, "StartTime": 1_795_312_800, "EndTime": 1_795_316_400});
    let metrics = client.cloudwatch("GetMetricData", &metrics).unwrap();
    assert!(metrics.head.contains("smithy-protocol: rpc-v2-cbor"));
    let metrics: ciborium::Value = ciborium::from_reader(&metrics.body[..]).unwrap();
    assert_eq!(metrics.as_map().unwrap()[0].0.as_text(), Some("MetricDataResults"));

    let filters = json!({"Filters": [{"Name": "vpc-id", "Values": ["vpc-0a1b2c3d4e5f60718"]}]});
    let expected = Request {
        service: "ec2".to_owned(),
        operation: "DescribeRouteTables".to_owned(),
        input: filters,
    };
    assert_eq!(account.requests()[2], expected);
    assert_eq!(account.count("ecs.DescribeServices"), 1);
    assert_eq!(account.complaints(), Vec::<String>::new());
}

#[test]
fn things_can_be_asked_about_together_in_any_order_or_alone() {
    let account = Account::start("fargate");
    let mut client = Client::new(&account);
    let mut ask = |arns: &[&str]| {
        let revisions = client
            .ecs("DescribeServiceRevisions", &json!({ "serviceRevisionArns": arns }))
            .unwrap()
            .json();
        revisions["serviceRevisions"].as_array().map(Vec::len)
    };
    assert_eq!(ask(&[OLD_REVISION, REVISION]), Some(2));
    assert_eq!(ask(&[REVISION]), Some(1));
    assert_eq!(account.complaints(), Vec::<String>::new());
}

#[test]
fn an_account_that_extends_another_answers_from_it() {
    let account = Account::start("naff");
    let mut client = Client::new(&account);
    let clusters = client.ecs("ListClusters", &json!({})).unwrap().json();
    assert_eq!(clusters["clusterArns"][0], "arn:aws:ecs:eu-west-2:123456789012:cluster/default");
    let deployments =
        client.ecs("ListServiceDeployments", &json!({"service": "api"})).unwrap().json();
    assert_eq!(deployments["serviceDeployments"][0]["status"], "ROLLBACK_FAILED");
    assert_eq!(account.complaints(), Vec::<String>::new());

    let gone = json!({"serviceRevisionArns": ["arn:aws:ecs:eu-west-2:123456789012:service-revision/default/api/5820174639201847365"]});
    assert_eq!(
        client.ecs("DescribeServiceRevisions", &gone).unwrap().status,
        400,
        "the base has it, this account has not"
    );
}

#[test]
fn what_aws_would_refuse_is_complained_about() {
    let complaint = |operation: &str, input: Value| {
        let account = Account::start("fargate");
        let reply = Client::new(&account).ecs(operation, &input).unwrap();
        (reply.status, account.complaints().join("; "))
    };
    let (status, says) = complaint("DescribeServices", json!({"services": ["other"]}));
    assert_eq!(
        (status, says.as_str()),
        (400, r#"ecs.DescribeServices: the account has no reply for {"services":["other"]}"#)
    );
    let (_, says) = complaint("DescribeServices", json!({ "services": vec!["api"; 11] }));
    assert!(says.contains("11 services in one request, AWS takes 10"), "{says}");
    let (_, says) = complaint("DescribeServices", json!({}));
    assert!(says.contains("lacks the required member services"), "{says}");
    let (_, says) = complaint("UpdateService", json!({}));
    assert!(says.contains("may change something"), "{says}");
    let (_, says) = complaint("ListAccountSettings", json!({}));
    assert!(says.contains("no account has a reply for this operation"), "{says}");

    let account = Account::start("fargate");
    let action = [("Action", "DescribeTargetHealth"), ("Version", "2015-12-01")];
    let reply = Client::new(&account)
        .form(&[&action[..], &[("TargetGroup", TARGET_GROUP)]].concat())
        .unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(
        account.complaints(),
        ["DescribeTargetHealth: the model has no parameter TargetGroup"]
    );

    let account = Account::start("fargate");
    let reply = Client::new(&account)
        .cloudwatch("GetMetricData", &json!({"MetricDataQueries": [{"Id": "q1"}]}))
        .unwrap();
    assert_eq!(reply.status, 200);
    assert!(
        account.complaints().iter().any(|says| says.contains(r#""q1""#)),
        "{:?}",
        account.complaints()
    );
}

#[test]
fn a_second_time_is_complained_about_unless_the_first_failed() {
    let account = Account::start("fargate");
    let mut client = Client::new(&account);
    account.fault_first(1, "elbv2.DescribeTargetHealth", Fault::Throttled);
    assert_eq!(client.target_health().unwrap().status, 400);
    assert_eq!(client.target_health().unwrap().status, 200);
    assert_eq!(account.complaints(), Vec::<String>::new());
    assert_eq!(client.target_health().unwrap().status, 200);
    assert_eq!(account.complaints().len(), 1);
    assert!(account.complaints()[0].contains("asked twice"));
}

#[test]
fn every_service_refuses_in_its_own_words() {
    let account = Account::start("fargate");
    let mut client = Client::new(&account);
    account.fault("*", Fault::Denied);

    let reply = client.ecs("ListClusters", &json!({})).unwrap();
    assert_eq!((reply.status, &reply.json()["__type"]), (400, &json!("AccessDeniedException")));
    let reply = client.target_health().unwrap();
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("<Code>AccessDenied</Code>"));
    let action = "elasticloadbalancing:DescribeTargetHealth";
    let because = format!(
        "not authorized to perform: {action} because no identity-based policy allows the {action} action"
    );
    assert!(reply.text().contains(&because));
    let reply = client.form(&[
        ("Action", "DescribeSubnets"),
        ("Version", "2016-11-15"),
        ("SubnetId.1", "subnet-0aa1111111111111a"),
    ]);
    let reply = reply.unwrap();
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("<Code>UnauthorizedOperation</Code>"));
    let reply = client.cloudwatch("GetMetricData", &json!({"MetricDataQueries": []})).unwrap();
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("com.amazonaws.cloudwatch#AccessDeniedException"));

    for (fault, status, code) in [
        (Fault::Throttled, 400, "<Code>Throttling</Code>"),
        (Fault::ExpiredToken, 403, "<Code>ExpiredToken</Code>"),
        (Fault::ServerError, 500, "<Code>InternalFailure</Code>"),
        (Fault::Garbage, 200, "<!doctype html>"),
    ] {
        account.fault("elbv2.DescribeTargetHealth", fault);
        let reply = client.target_health().unwrap();
        assert_eq!(reply.status, status, "{fault:?}");
        assert!(reply.text().contains(code), "{fault:?}: {}", reply.text());
    }
}

#[test]
fn connections_break_as_they_are_told() {
    let account = Account::start("fargate");
    let broken = |fault| {
        account.fault("elbv2.DescribeTargetHealth", fault);
        Client::new(&account).target_health().err().map(|error| error.kind())
    };
    assert_eq!(broken(Fault::Reset), Some(ErrorKind::ConnectionReset));
    assert_eq!(broken(Fault::Truncated), Some(ErrorKind::UnexpectedEof));

    account.fault("elbv2.DescribeTargetHealth", Fault::Slow(150));
    let before = Instant::now();
    assert_eq!(Client::new(&account).target_health().unwrap().status, 200);
    assert!(before.elapsed() >= Duration::from_millis(150));
}

#[test]
fn a_hanging_call_ends_with_the_account() {
    let account = Account::start("fargate");
    account.fault("ecs.ListClusters", Fault::Hanging);
    let mut client = Client::new(&account);
    client.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let timed_out = client.ecs("ListClusters", &json!({})).err().map(|error| error.kind());
    assert!(
        matches!(timed_out, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)),
        "{timed_out:?}"
    );
    assert_eq!(Client::new(&account).target_health().unwrap().status, 200, "other calls go on");
    drop(account);
    assert_eq!(client.0.read(&mut [0]).ok(), Some(0), "the connection is closed");
}

/// The examples of RFC 8949, appendix A, as far as AWS's replies have their like.
#[test]
fn cbor_is_what_its_rfc_says() {
    for (described, bytes) in [
        (r#"[0, 23, 24, 1000, 1000000, -1, -1000]"#, "87001718181903e81a000f4240203903e7"),
        (r#"1000000000000"#, "1b000000e8d4a51000"),
        (r#"[1.1, -4.1, 1e300]"#, "83fb3ff199999999999afbc010666666666666fb7e37e43c8800759c"),
        (r#"100000.0"#, "fb40f86a0000000000"),
        (r#"[true, false, null]"#, "83f5f4f6"),
        (r#"["", "IETF", "\u00fc"]"#, "8360644945544662c3bc"),
        (r#"{"a": 1, "b": [2, 3]}"#, "a26161016162820203"),
        (r#""@2013-03-21T20:04:00.5Z""#, "c1fb41d452d9ec200000"),
    ] {
        let described_as = serde_json::from_str(described).expect("JSON");
        let hex: String = crate::wire::bundle::cbor(&described_as)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, bytes, "{described}");
    }
}

#[test]
fn requests_that_get_the_same_answer_share_it_and_an_account_can_lack_a_reply_of_its_base() {
    let bundle = crate::wire::bundle::Bundle::of(
        "about: two requests\nnow: 2026-11-22T03:00:00Z\nbase: fargate\n\
         > ecs.ListTasks {}\n> ecs.ListTasks {\"desiredStatus\": \"STOPPED\"}\n< 200\n{\n}\n\
         > ec2.DescribeSubnets {}\n< 403\n<Response>\n</Response>\n\n\
         > ecs.ListClusters {}\n< gone\n",
    );
    assert_eq!(
        (bundle.now.as_str(), bundle.base.as_deref()),
        ("2026-11-22T03:00:00Z", Some("fargate"))
    );
    let replies: Vec<_> = bundle
        .replies
        .iter()
        .map(|reply| {
            (reply.call.as_str(), reply.when.to_string(), reply.status, reply.body.as_str())
        })
        .collect();
    let expected = [
        ("ecs.ListTasks", "{}".to_owned(), Some(200), "{\n}"),
        ("ecs.ListTasks", r#"{"desiredStatus":"STOPPED"}"#.to_owned(), Some(200), "{\n}"),
        ("ec2.DescribeSubnets", "{}".to_owned(), Some(403), "<Response>\n</Response>\n"),
        ("ecs.ListClusters", "{}".to_owned(), None, ""),
    ];
    assert_eq!(replies, expected);
}
