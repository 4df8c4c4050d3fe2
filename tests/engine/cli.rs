//! The commands over the admin API: the real binary against a real engine, by what they print, what they
//! change and how they exit.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};

/// What a command came to.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Its output, where it went well.
    pub fn fine(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    pub fn json(self) -> Value {
        let out = self.fine();
        assert_eq!(out.lines().count(), 1, "one document, one line: {out}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// One JSON document for each line.
    pub fn lines(self) -> Vec<Value> {
        self.fine().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one line on stderr, where it ended with this code and printed nothing.
    pub fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        self.err.trim_end().to_owned()
    }
}

/// The command, in `dir`, with nothing of the test's own environment that would steer it.
pub fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(arguments).current_dir(dir).env("NO_COLOR", "1").stdin(Stdio::null());
    for name in ["SERVER", "TOKEN", "ACCOUNT", "OPERATOR_TOKEN"] {
        command.env_remove(format!("POSTRIDER_{name}"));
    }
    command
}

pub fn run(dir: &Path, arguments: &[&str], input: &str) -> Said {
    said(command(dir, arguments), input)
}

fn said(mut command: Command, input: &str) -> Said {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that asks nothing may be gone before it is told.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Said {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// An engine, and commands that find it by `--server` and its token by the configuration beside it.
pub struct Desk {
    pub dir: tempfile::TempDir,
    pub engine: Engine,
    server: String,
}

impl Desk {
    pub fn open() -> Self {
        Self::open_with(&Options::default())
    }

    pub fn open_with(options: &Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::start(dir.path(), options);
        let server = format!("http://{}", engine.admin);
        Self { dir, engine, server }
    }

    /// A command about the account acme.
    pub fn run(&self, arguments: &[&str]) -> Said {
        let more = ["--server", &self.server, "--account", "acme"];
        run(self.dir.path(), &[arguments, &more].concat(), "")
    }
}

#[test]
fn a_subscription_from_its_making_to_its_end() {
    let desk = Desk::open();
    let unknown = desk.run(&["subscriptions", "list"]).refused(1);
    assert!(unknown.ends_with("/accounts/acme/subscriptions (not_found)"), "{unknown}");
    desk.engine.api("PUT", "/accounts/acme", None).want(201);
    let empty = desk.run(&["subscriptions", "list"]);
    assert!(empty.out.is_empty() && empty.err.contains("no subscriptions yet"), "{empty:?}");

    let create = ["subscriptions", "create", "--name", "Relay", "--url", "http://127.0.0.1:9/hook"];
    let flags =
        ["--event", "user.*,device.registered", "--header", "X-Key: s3cret", "--rate", "2.5", "--json"];
    let made = desk.run(&[&create[..], &flags].concat()).json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(made, desk.engine.subscription("acme", id), "what it prints is the API's document");
    assert_eq!(made["events"], json!(["user.*", "device.registered"]));
    assert_eq!(made["headers"], json!([{"name": "X-Key", "value": "••••••"}]));
    assert_eq!(made["delivery"]["ratePerSecond"], 2.5);

    let table = desk.run(&["subscriptions", "list"]).fine();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split("  ").collect()).collect();
    assert_eq!(rows[0][0].trim(), "ID");
    let row: Vec<_> = rows[1].iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(&row[..5], [id, "Relay", "active", "healthy", "0"], "{table}");
    assert_eq!(desk.run(&["subscriptions", "list", "--json"]).lines(), std::slice::from_ref(&made));

    let update = ["subscriptions", "update", id, "--json"];
    let change = ["--header", "X-More: m", "--inactive", "--rate", "none", "--description", "for tests"];
    let changed = desk.run(&[&update[..], &change].concat()).json();
    let names: Vec<_> = changed["headers"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["X-Key", "X-More"], "a header that is not named stays");
    assert_eq!((&changed["status"], &changed["version"]), (&json!("inactive"), &json!(2)));
    assert!(changed["delivery"]["ratePerSecond"].is_null());
    let shown = desk.run(&["subscriptions", "show", id]).fine();
    for line in ["status        inactive", "header        X-More: ••••••", "rate          unlimited"]
    {
        assert!(shown.contains(line), "{line} in {shown}");
    }

    let secret = desk.run(&["subscriptions", "secret", id, "--json"]).json();
    assert_eq!(secret["secret"], desk.engine.secret("acme", id));
    let rotated = desk.run(&["subscriptions", "rotate-secret", id, "--overlap", "1h"]).fine();
    assert!(rotated.contains("previous signs until  20"), "{rotated}");
    assert!(rotated.contains(&desk.engine.secret("acme", id)), "{rotated}");

    let asked = desk.run(&["subscriptions", "delete", id]).refused(2);
    assert!(asked.contains("--yes"), "{asked}");
    assert_eq!(desk.run(&["subscriptions", "delete", id, "--yes"]).fine(), format!("deleted {id}\n"));
    let gone = desk.run(&["subscriptions", "show", id]).refused(1);
    assert!(gone.starts_with("postrider: there is no such thing: "), "{gone}");
}

#[test]
fn a_filter_is_tried_kept_shown_and_removed() {
    let desk = Desk::open();
    let floor = r#"{"path":"data.floor","gte":3}"#;
    let try_it = |more: &[&str]| desk.run(&[&["subscriptions", "test-filter"], more].concat());
    let data = ["--filter", floor, "--type", "user.created", "--data"];
    assert_eq!(try_it(&[&data[..], &[r#"{"floor":3}"#]].concat()).fine(), "matches\n");
    let none = try_it(&[&data[..], &[r#"{"floor":2}"#]].concat());
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (1, "does not match\n", ""), "{none:?}");
    assert_eq!(
        try_it(&["--filter", "none", "--type", "user.created", "--json"]).json(),
        json!({"matches": true})
    );
    std::fs::write(desk.dir.path().join("event.json"), r#"{"data":{"floor":7}}"#).unwrap();
    assert_eq!(try_it(&["--filter", floor, "--event", "@event.json"]).fine(), "matches\n");
    let wrong = try_it(&["--filter", r#"{"and":[7]}"#, "--type", "user.created"]).refused(1);
    assert!(wrong.contains("filter.and[0]") && wrong.ends_with("(validation_failed)"), "{wrong}");
    let nothing = try_it(&["--filter", floor]).refused(2);
    assert!(nothing.contains("--event"), "{nothing}");

    desk.engine.api("PUT", "/accounts/acme", None).want(201);
    let create = ["subscriptions", "create", "--name", "Upstairs", "--url", "http://127.0.0.1:9/hook"];
    let made = desk.run(&[&create[..], &["--event", "*", "--filter", floor, "--json"]].concat()).json();
    assert_eq!(made["filter"], json!({"path": "data.floor", "gte": 3}));
    let id = made["id"].as_str().unwrap();
    let shown = desk.run(&["subscriptions", "show", id]).fine();
    assert!(shown.contains("filter        {\"gte\":3,\"path\":\"data.floor\"}"), "{shown}");
    let changed = desk.run(&["subscriptions", "update", id, "--filter", "none", "--json"]).json();
    assert_eq!((&changed["filter"], &changed["version"]), (&Value::Null, &json!(2)));
}

#[test]
fn long_lists_come_whole() {
    let desk = Desk::open();
    for number in 0..260 {
        let url = format!("http://127.0.0.1:9/{number}");
        desk.engine.subscribe_url("acme", &url, &["*"], &json!({}));
    }
    assert_eq!(desk.run(&["subscriptions", "list", "--json"]).lines().len(), 260);
    let some = desk.run(&["subscriptions", "list", "--json", "--limit", "255"]);
    assert!(some.err.contains("there are more"), "{}", some.err);
    assert_eq!(some.lines().len(), 255);
}

#[test]
fn a_refusal_says_what_is_wrong_in_one_line() {
    let desk = Desk::open();
    let bad = ["subscriptions", "create", "--name", "", "--url", "ftp://x", "--event", "user.created"];
    let line = desk.run(&bad).refused(1);
    assert!(line.starts_with("postrider: 2 fields are not valid: "), "{line}");
    assert!(line.contains("callbackUrl: ") && line.contains("name: "), "{line}");
    assert!(line.ends_with("(validation_failed)"), "{line}");
    let line = desk.run(&["subscriptions", "create", "--name", "x"]).refused(2);
    assert!(line.contains("--url <URL>") && line.contains("--event <TYPE>"), "{line}");
    let line = desk.run(&["subscriptions", "update", "sub_0000000000000000000000"]).refused(1);
    assert!(line.ends_with("(not_found)"), "{line}");

    let nobody = ["subscriptions", "list", "--account", "acme", "--server", "http://127.0.0.1:9"];
    let line = run(desk.dir.path(), &nobody, "").refused(1);
    assert!(line.starts_with("postrider: cannot reach http://127.0.0.1:9/ (is postrider serving"), "{line}");
}

#[test]
fn tokens_are_made_used_and_taken_back() {
    let desk = Desk::open();
    let id = desk.engine.subscribe_url("acme", "http://127.0.0.1:9/hook", &["*"], &json!({}));
    let create = ["token", "create", "--name", "CRM", "--role", "account_owner", "--platform-user"];
    let made = desk.run(&create);
    assert!(made.err.contains("not shown again"), "{made:?}");
    let token = made.fine().trim_end().to_owned();
    assert!(token.starts_with("prt_"), "{token}");

    // A token of an account needs no --account, and no configuration beside it.
    let elsewhere = tempfile::tempdir().unwrap();
    let listed = |arguments: &[&str]| {
        let mut command = command(elsewhere.path(), arguments);
        command.env("POSTRIDER_TOKEN", &token).env("POSTRIDER_SERVER", &desk.server);
        said(command, "")
    };
    assert_eq!(listed(&["subscriptions", "list", "--json"]).lines()[0]["id"], json!(id));

    let table = desk.run(&["token", "list"]).fine();
    let row = table.lines().nth(1).unwrap();
    assert!(row.contains("CRM") && row.contains("account_owner"), "{table}");
    assert!(!table.contains(&token), "its text is shown once");
    let token_id = row.split_whitespace().next().unwrap();
    desk.run(&["token", "delete", token_id, "--yes"]).fine();
    let refused = listed(&["subscriptions", "list"]).refused(1);
    assert!(refused.ends_with("(unauthorized)") && refused.contains("--token"), "{refused}");

    // The operator's has no account of its own.
    let server = ["subscriptions", "list", "--server", &desk.server];
    let line = run(desk.dir.path(), &server, "").refused(2);
    assert!(line.contains("--account"), "{line}");
}

#[test]
fn accounts_and_their_features() {
    let desk = Desk::open();
    let run = |arguments: &[&str]| {
        run(desk.dir.path(), &[&["accounts"], arguments, &["--server", &desk.server]].concat(), "")
    };
    assert!(run(&["list"]).err.contains("no accounts yet"));
    assert_eq!(run(&["create", "acme", "--name", "Acme Ltd"]).fine(), "made acme\n");
    assert_eq!(run(&["list", "--json"]).lines()[0]["name"], "Acme Ltd");
    assert!(run(&["list"]).fine().lines().nth(1).unwrap().starts_with("acme     Acme Ltd  20"));
    let flag = "feature.integrations.webhooks";
    let features = |state: &str| {
        let table = run(&["features", "acme"]).fine();
        assert!(table.contains(&format!("{flag}  {state}")), "{table}");
    };
    features("on     configuration");
    assert_eq!(run(&["disable", "acme", flag]).fine(), format!("{flag} is off for acme\n"));
    features("off    operator");
    assert_eq!(run(&["enable", "acme", flag, "--json"]).json()["enabled"], json!(true));
    assert!(run(&["enable", "acme", "feature.unknown"]).refused(1).ends_with("(not_found)"));
    assert!(run(&["delete", "acme"]).refused(2).contains("--yes"));
    assert_eq!(run(&["delete", "acme", "--yes"]).fine(), "deleted acme\n");
    assert!(run(&["list", "--json"]).lines().is_empty());
}

#[test]
fn shells_learn_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(dir.path(), &["completions", shell], "").fine();
        assert!(script.contains("rotate-secret") && script.contains("remove-header"), "{shell}");
    }
    let line = run(dir.path(), &["completions", "tcsh"], "").refused(2);
    assert!(line.contains("bash"), "{line}");
}

#[test]
fn a_failure_can_be_followed_to_its_cause() {
    let desk = Desk::open_with(&Options { retries: &["1h"], ..Options::default() });
    let receiver = Receiver::start();
    let sub = desk.engine.subscribe(&receiver, "acme", "/hook", &["user.*"], &json!({}));
    receiver.on("/hook", |request| Reply::Status(if request.id == "evt-1" { 500 } else { 200 }));
    let send =
        |id: &str| desk.engine.ingest().send(&[event("acme", "user.created", id, "{}")]).unwrap().want(202);
    send("evt-1");
    desk.engine.until_status("acme", &sub, "evt-1", "retrying");
    send("evt-2");
    desk.engine.until_status("acme", &sub, "evt-2", "delivered");

    let table = desk.run(&["deliveries", "list"]).fine();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(rows[1][..5], ["evt-2", &sub, "delivered", "1", "user.created"], "{table}");
    assert_eq!(rows[2][..5], ["evt-1", &sub, "retrying", "1", "user.created"], "{table}");
    let only = desk.run(&["deliveries", "list", "--status", "retrying", "--since", "1h", "--json"]).lines();
    assert_eq!(only.iter().map(|it| &it["eventId"]).collect::<Vec<_>>(), ["evt-1"]);
    let before = desk.run(&["deliveries", "list", "--until", "1h", "--json"]);
    assert!(before.lines().is_empty());
    let some = desk.run(&["deliveries", "list", "--limit", "1"]);
    assert!(some.err.contains("there are more"), "{some:?}");
    let wrong = desk.run(&["deliveries", "list", "--status", "lost"]).refused(1);
    assert!(wrong.contains("status: must be pending, delivered, retrying or dead"), "{wrong}");

    let shown = desk.run(&["deliveries", "show", &sub, "evt-1"]).fine();
    let head = shown.lines().next().unwrap();
    assert!(head.starts_with("attempt 1 (event)  20") && head.contains("failed: 500 (status: "), "{shown}");
    for line in [format!("  > POST {}", receiver.url("/hook")), "  > webhook-id: evt-1".to_owned()] {
        assert!(shown.lines().any(|it| it == line), "{line} in {shown}");
    }
    assert_eq!(
        desk.run(&["deliveries", "show", &sub, "evt-1", "--json"]).lines(),
        desk.engine.attempts("acme", &sub, "evt-1")
    );
    let unknown = desk.run(&["deliveries", "show", &sub, "evt-9"]).refused(1);
    assert!(unknown.ends_with("/deliveries/evt-9/attempts (not_found)"), "{unknown}");
}
