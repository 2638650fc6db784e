//! `--probe`: one GET, to the load balancer's addresses and nowhere else, kept in the snapshot and
//! told in every format.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use crate::doctor::doctor;
use crate::wire::{Account, Fault};

/// Answers one request at this address as a load balancer answers that has nowhere to send it, and
/// gives back what was asked.
fn balancer(address: &str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).expect("a request");
        let page = "<html><body><center><h1>503 Service Temporarily Unavailable</h1></center></body></html>";
        let head = format!(
            "HTTP/1.1 503 Service Temporarily Unavailable\r\nserver: awselb/2.0\r\ncontent-length: {}\r\n\r\n",
            page.len()
        );
        stream.write_all((head + page).as_bytes()).expect("a client that listens");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    });
    (port, thread)
}

#[test]
fn the_answer_is_told_and_kept() {
    let account = Account::start("localhost");
    let (port, served) = balancer("127.0.0.1");
    let url = format!("http://ana:hunter2@localhost:{port}/v1?token=hunter2");
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe.json");
    let name = file.to_str().expect("UTF-8");
    let live =
        doctor(&["api", "--url", &url, "--probe", "--save", name, "--full"]).at(&account).run();
    assert_eq!(account.complaints(), Vec::<String>::new());
    let told = live.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(", server awselb/2.0: the load balancer itself answered"), "{live:#?}");
    assert!(told.contains(", which the load balancer's network interfaces have"), "{live:#?}");
    let asked = served.join().expect("one request");
    assert!(asked.starts_with("GET /v1 HTTP/1.1\r\n"), "{asked}");
    for secret in ["hunter2", "AKIDEXAMPLE", "authorization"] {
        assert!(!asked.to_ascii_lowercase().contains(&secret.to_ascii_lowercase()), "{asked}");
    }
    assert_eq!(doctor(&["--from", name, "--full"]).run().stdout, live.stdout);
    let snapshot = std::fs::read_to_string(&file).expect("the snapshot");
    assert!(!snapshot.contains("hunter2"), "nothing secret is kept");
    let probe = doctor(&["--from", name, "--output", "json"]).run().service()["probe"].clone();
    assert_eq!(
        (&probe["answers"][0]["status"], &probe["answers"][0]["by"]),
        (&503.into(), &"load_balancer".into())
    );
}

#[test]
fn nothing_is_sent_to_an_address_that_is_not_the_balancers() {
    let account = Account::start("localhost");
    let listener = TcpListener::bind("127.0.0.2:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let url = format!("http://127.0.0.2:{}/", listener.local_addr().expect("an address").port());
    let run = doctor(&["api", "--url", &url, "--probe", "--output", "json"]).at(&account).run();
    let probe = run.service()["probe"].clone();
    assert_eq!(probe["failure"]["stage"], "address", "{probe:#}");
    let has = "127.0.0.2 is no address of load balancer web, whose network interfaces have 10.0.1.12, 10.0.2.14, 127.0.0.1, 127.0.0.3 and 2001:db8::12. ";
    assert!(
        probe["failure"]["message"].as_str().is_some_and(|message| message.starts_with(has)),
        "{probe:#}"
    );
    assert_eq!(
        listener.accept().map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::WouldBlock),
        "nobody came"
    );
}

/// DNS gives some of a load balancer's addresses at a time; its network interfaces have them all.
#[test]
fn an_address_that_only_the_interfaces_have_is_the_balancers() {
    let account = Account::start("localhost");
    let (port, served) = balancer("127.0.0.3");
    let run = doctor(&[
        "api",
        "--url",
        &format!("http://127.0.0.3:{port}/"),
        "--probe",
        "--output",
        "json",
    ])
    .at(&account)
    .run();
    assert_eq!(account.complaints(), Vec::<String>::new());
    let probe = run.service()["probe"].clone();
    assert_eq!(
        (&probe["answers"][0]["status"], &probe["compared_with"]),
        (&503.into(), &"network_interfaces".into()),
        "{probe:#}"
    );
    served.join().expect("one request");
}

#[test]
fn without_the_interfaces_the_balancers_name_has_the_word() {
    let account = Account::start("localhost");
    account.fault("ec2.DescribeNetworkInterfaces", Fault::Denied);
    let (port, served) = balancer("127.0.0.1");
    let run = doctor(&[
        "api",
        "--url",
        &format!("http://localhost:{port}/"),
        "--probe",
        "--output",
        "json",
    ])
    .at(&account)
    .run();
    let probe = run.service()["probe"].clone();
    assert_eq!(
        (&probe["answers"][0]["status"], &probe["compared_with"]),
        (&503.into(), &"balancer_name".into()),
        "{probe:#}"
    );
    assert!(
        run.json()["blind"].as_array().is_some_and(|blind| blind
            .iter()
            .any(|one| one["call"] == "ec2:DescribeNetworkInterfaces")),
        "{run:#?}"
    );
    served.join().expect("one request");
}

/// The time that the user gives is for all of the run.
#[test]
fn a_balancer_that_does_not_answer_costs_no_more_than_the_timeout() {
    let account = Account::start("localhost");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://localhost:{}/", listener.local_addr().expect("an address").port());
    let run = doctor(&["api", "--url", &url, "--probe", "--timeout", "3", "--output", "json"])
        .at(&account)
        .run();
    let failure = run.service()["probe"]["failure"].clone();
    assert_eq!(failure["stage"], "timeout", "{failure:#}");
    assert!(failure["elapsed_ms"].as_u64().is_some_and(|ms| ms <= 3500), "{failure:#}");
}

/// Without the option nothing is sent, and a snapshot has nobody to send anything to.
#[test]
fn it_is_off_by_default() {
    let account = Account::start("localhost");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let url = format!("http://localhost:{}/", listener.local_addr().expect("an address").port());
    let run = doctor(&["api", "--url", &url, "--output", "json"]).at(&account).run();
    assert!(run.service()["probe"].is_null(), "{run:#?}");
    assert_eq!(
        listener.accept().map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::WouldBlock),
        "nobody came"
    );
    assert_eq!(doctor(&["--from", "-", "--probe"]).run().code, 2);
}
