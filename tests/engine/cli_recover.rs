//! `recover`, `jobs`, `deliveries resend` and `subscriptions test`: what the real command asks for, and what
//! it makes of each answer that the contract names. The answers are written here, so that a job can be as
//! far as the test says.

use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::cli::{Desk, Said, run};
use crate::cli_tail::Going;
use crate::http::{event, read_body, read_head};
use crate::process::Options;
use crate::receiver::{self, Reply};
use crate::wait::PATIENCE;

/// A request: its first line without the version, and its body.
type Asked = (String, Value);

/// An admin API that gives these answers, one after the other, the last again and again. A status of 0
/// closes the connection without a word.
struct Api {
    server: String,
    asked: Receiver<Asked>,
    dir: tempfile::TempDir,
}

impl Api {
    fn answering(answers: &[(u16, Value)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        let answers = answers.to_vec();
        std::thread::spawn(move || {
            let last = answers.last().cloned();
            let mut answers = answers.into_iter();
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = BufReader::new(stream);
                let Ok((first, headers)) = read_head(&mut stream) else { continue };
                let body = read_body(&mut stream, &headers).unwrap();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let _ = sender.send((first.trim_end_matches(" HTTP/1.1").to_owned(), body));
                let (status, answer) = answers.next().or_else(|| last.clone()).unwrap();
                if status != 0 {
                    let answer = if answer.is_null() { String::new() } else { answer.to_string() };
                    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
                    let text = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
                    let _ = stream.get_mut().write_all(text.as_bytes());
                }
            }
        });
        Self { server, asked, dir: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let more = ["--server", &self.server, "--account", "acme", "--token", "t"];
        run(self.dir.path(), &[arguments, &more].concat(), "")
    }

    fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("it asks")
    }
}

fn job(status: &str, total: Option<u64>, done: u64, failed: u64) -> Value {
    let ended = !matches!(status, "queued" | "running");
    json!({"id": "job_1", "kind": "recover", "subscriptionId": "sub_1", "status": status, "total": total,
        "done": done, "failed": failed, "createdAt": "2026-11-23T14:49:00.000Z",
        "finishedAt": ended.then_some("2026-11-23T14:50:00.000Z")})
}

const RECOVER: [&str; 4] = ["recover", "sub_1", "--since", "2026-11-23T08:00:00Z"];
const AT: &str = "/api/v1/accounts/acme";

#[test]
fn a_job_is_watched_to_its_end() {
    let api = Api::answering(&[
        (202, job("queued", None, 0, 0)),
        (200, job("running", Some(12), 5, 0)),
        // As while the engine starts again.
        (0, Value::Null),
        (503, json!({"code": "stopping", "detail": "the engine stops"})),
        (200, job("succeeded", Some(12), 12, 1)),
    ]);
    let flags = ["--until", "2026-11-23T11:00:00Z", "--status", "failed", "--type", "a,b", "--rate", "50"];
    let said = api.run(&[&RECOVER[..], &flags].concat());
    assert_eq!(said.fine(), "succeeded: 12 of 12 sent, 1 of them failed (job_1)\n");
    let want = json!({"since": "2026-11-23T08:00:00.000Z", "until": "2026-11-23T11:00:00.000Z",
        "status": "failed", "types": ["a", "b"], "ratePerSecond": 50});
    assert_eq!(api.next(), (format!("POST {AT}/subscriptions/sub_1/recover"), want));
    for _ in 0..4 {
        assert_eq!(api.next(), (format!("GET {AT}/jobs/job_1"), Value::Null));
    }
}

#[test]
fn what_did_not_succeed_is_no_success() {
    for status in ["cancelled", "failed"] {
        let api = Api::answering(&[(202, job("running", Some(9), 1, 0)), (200, job(status, Some(9), 3, 0))]);
        let said = api.run(&[&RECOVER[..], &["--json"]].concat());
        assert_eq!(said.code, 1, "{said:?}");
        assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap(), job(status, Some(9), 3, 0));
    }
    let api = Api::answering(&[
        (202, job("running", Some(9), 1, 0)),
        (404, json!({"code": "not_found", "detail": "there is no such thing"})),
    ]);
    let line = api.run(&RECOVER).refused(1);
    assert!(line.starts_with("postrider: the job job_1 can no longer be seen"), "{line}");
}

#[test]
fn counting_and_leaving_alone() {
    let api = Api::answering(&[(200, json!({"matched": 42}))]);
    assert_eq!(api.run(&[&RECOVER[..], &["--dry-run"]].concat()).fine(), "42 deliveries would be sent\n");
    assert_eq!(api.next().1["dryRun"], json!(true));

    let api = Api::answering(&[(202, job("queued", None, 0, 0))]);
    let text = api.run(&[&RECOVER[..], &["--detach"]].concat()).fine();
    assert!(text.starts_with("id            job_1\n") && text.contains("status        queued\n"), "{text}");
    assert_eq!(api.next().1, json!({"since": "2026-11-23T08:00:00.000Z", "status": "dead"}));
    assert!(api.asked.try_recv().is_err(), "it is not looked at again");
}

#[test]
fn ctrl_c_leaves_the_job_and_says_so() {
    let api = Api::answering(&[(202, job("running", Some(9), 1, 0))]);
    let more = ["--server", &api.server, "--account", "acme", "--token", "t"];
    let going = Going::start_in(api.dir.path(), &[&RECOVER[..], &more].concat());
    for _ in 0..2 {
        api.next();
    }
    let (code, said) = going.interrupt();
    assert_eq!(code, Some(130));
    assert!(said.contains("the job goes on; `postrider jobs show job_1 --account acme`"), "{said}");
    assert!(said.contains("`postrider recover --cancel job_1 --account acme` cancels it"), "{said}");
}

#[test]
fn jobs_are_listed_shown_and_cancelled() {
    let items = [job("running", Some(12), 5, 2), job("succeeded", Some(3), 3, 0)];
    let api = Api::answering(&[(200, json!({"items": items, "next": null}))]);
    let table = api.run(&["jobs", "list"]).fine();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split("  ").collect()).collect();
    let row: Vec<_> = rows[0].iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(row, ["job_1", "running", "5 of 12", "2", "sub_1", "2026-11-23 14:49:00Z", "-", "recover"]);
    assert_eq!(api.run(&["jobs", "list", "--json"]).lines(), items);

    let api = Api::answering(&[(200, job("running", Some(12), 5, 2))]);
    assert!(api.run(&["jobs", "show", "job_1"]).fine().contains("done          5 of 12\n"));
    for cancel in [&["jobs", "cancel", "job_1"][..], &["recover", "--cancel", "job_1"]] {
        for answer in [(204, Value::Null), (200, job("cancelled", Some(12), 5, 2))] {
            let api = Api::answering(&[answer]);
            assert_eq!(api.run(cancel).fine(), "cancelled job_1\n");
            assert_eq!(api.next().0, format!("DELETE {AT}/jobs/job_1"));
        }
    }
}

#[test]
fn one_delivery_is_sent_again_and_one_is_tried() {
    let api = Api::answering(&[(202, json!({}))]);
    assert_eq!(api.run(&["deliveries", "resend", "sub_1", "evt-1"]).fine(), "sending evt-1 again\n");
    assert_eq!(api.next(), (format!("POST {AT}/subscriptions/sub_1/resend"), json!({"eventId": "evt-1"})));

    let attempt = |status: u16, error: Value| {
        json!({"number": 1, "trigger": "test", "startedAt": "2026-11-23T14:49:00.000Z", "durationMs": 3,
            "statusCode": status, "error": error, "request": {"url": "https://x/h", "headers": [], "bodySize": 7},
            "response": {"headers": [], "body": "", "truncated": false}})
    };
    let api = Api::answering(&[(200, attempt(204, Value::Null))]);
    let text = api.run(&["subscriptions", "test", "sub_1", "--type", "user.created"]).fine();
    assert!(text.starts_with("attempt 1 (test)  2026-11-23 14:49:00Z  3 ms  delivered: 204\n"), "{text}");
    assert_eq!(api.next().1, json!({"type": "user.created"}));
    let api = Api::answering(&[(200, attempt(500, json!({"kind": "status", "message": "answered 500"})))]);
    let said = api.run(&["subscriptions", "test", "sub_1"]);
    assert!(said.code == 1 && said.out.contains("failed: 500 (status: answered 500)"), "{said:?}");
}

#[test]
fn what_died_is_recovered_at_a_rate() {
    let desk = Desk::open_with(&Options { retries: &["50ms"], ..Options::default() });
    let receiver = receiver::Receiver::start();
    receiver.on("/", |_| Reply::Status(500));
    let sub = desk.engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
    desk.engine.ingest().send(&[event("acme", "user.created", "evt-1", "{}")]).unwrap().want(202);
    desk.engine.until_status("acme", &sub, "evt-1", "dead");
    let count = desk.run(&["recover", &sub, "--since", "1h", "--dry-run"]).fine();
    assert_eq!(count, "1 delivery would be sent\n");
    receiver.on("/", |_| Reply::Status(204));
    let said = desk.run(&["recover", &sub, "--since", "1h", "--rate", "50"]).fine();
    assert!(said.starts_with("succeeded: 1 of 1 sent"), "{said}");
    desk.engine.until_status("acme", &sub, "evt-1", "delivered");
    let wrong = desk.run(&["recover", &sub, "--since", "1h", "--rate", "0"]);
    assert!(wrong.code != 0 && wrong.err.contains("--rate"), "{wrong:?}");
    // JSON has one kind of number.
    let body = json!({"since": "2020-01-01T00:00:00Z", "ratePerSecond": 50.0, "dryRun": true});
    let path = format!("/accounts/acme/subscriptions/{sub}/recover");
    desk.engine.api("POST", &path, Some(&body)).want(200);
}
