//! `deliveries tail`: the real command reading the real stream, through an engine that is killed and back.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cli::{Desk, command};
use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver as Endpoint, Reply};
use crate::wait::{PATIENCE, until};

/// A command that goes on, and its lines as they come.
pub struct Going {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

impl Going {
    fn start(desk: &Desk, arguments: &[&str]) -> Self {
        let server = format!("http://{}", desk.engine.admin);
        let more = ["--server", &server, "--account", "acme"];
        Self::start_in(desk.dir.path(), &[arguments, &more].concat())
    }

    pub fn start_in(dir: &Path, arguments: &[&str]) -> Self {
        let mut command = command(dir, arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, out, err }
    }

    fn says(&self, what: &str) {
        let line = self.err.recv_timeout(PATIENCE).expect("it says something");
        assert!(line.contains(what), "{line} instead of {what}");
    }

    fn prints(&self) -> String {
        self.out.recv_timeout(PATIENCE).expect("it prints something")
    }

    /// Its exit code after Ctrl-C, and what it said that was not yet heard.
    pub fn interrupt(mut self) -> (Option<i32>, String) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let ended = until("the command to end", || self.child.try_wait().unwrap().ok_or("it still runs"));
        (ended.code(), self.err.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that is free, and stays the same over restarts.
fn fixed_address() -> &'static str {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Box::leak(address.to_string().into_boxed_str())
}

#[test]
fn attempts_are_shown_as_they_happen_also_after_a_restart() {
    let environment = Box::leak(Box::new([("POSTRIDER_ADMIN__LISTEN", fixed_address())]));
    let options = Options { retries: &["1h"], environment, ..Options::default() };
    let mut desk = Desk::open_with(&options);
    let receiver = Endpoint::start();
    let sub = desk.engine.subscribe(&receiver, "acme", "/hook", &["user.*"], &json!({}));
    let other = desk.engine.subscribe(&receiver, "acme", "/other", &["user.*"], &json!({}));
    receiver.on("/hook", |request| Reply::Status(if request.id == "evt-1" { 500 } else { 200 }));
    let send = |engine: &Engine, id: &str| {
        engine.ingest().send(&[event("acme", "user.created", id, "{}")]).unwrap().want(202);
    };

    let tail = Going::start(&desk, &["deliveries", "tail", "--subscription", &sub]);
    let json_of_other = Going::start(&desk, &["deliveries", "tail", "--json", "--subscription", &other]);
    tail.says("waiting for attempts; Ctrl-C ends");
    json_of_other.says("waiting for attempts");
    send(&desk.engine, "evt-1");
    let line = tail.prints();
    let parts = ["  retrying   evt-1  user.created  ", &sub, "  attempt 1 (event)  ", " ms  500  status: "];
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    send(&desk.engine, "evt-2");
    let line = tail.prints();
    assert!(line.contains("  delivered  evt-2  ") && line.ends_with(" ms  200"), "{line}");
    let seen: Value = serde_json::from_str(&json_of_other.prints()).unwrap();
    assert_eq!((&seen["eventId"], &seen["subscriptionId"]), (&json!("evt-1"), &json!(other)));
    assert_eq!(json_of_other.interrupt().0, Some(0));

    desk.engine.restart(desk.dir.path(), &options);
    tail.says("the stream ended; connecting again in 2 s");
    until("the stream to be there again", || {
        let line = tail.err.recv_timeout(PATIENCE).unwrap();
        if line.contains("connected again") { Ok(()) } else { Err(line) }
    });
    send(&desk.engine, "evt-3");
    assert!(tail.prints().contains("  evt-3  "), "and nothing of before");
    assert_eq!(tail.interrupt().0, Some(0), "Ctrl-C is no failure");
}

#[test]
fn a_stream_that_is_refused_is_told() {
    let desk = Desk::open();
    let line = desk.run(&["deliveries", "tail"]).refused(1);
    assert!(line.ends_with("/accounts/acme/deliveries/stream (not_found)"), "{line}");
}
