//! The engine as a process: started with a configuration file, killed or stopped, asked over its sockets.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::http::{Answer, Ingest, call};
use crate::receiver::Receiver as Endpoint;
use crate::wait::{PATIENCE, until, until_within};

/// What a test sets; the rest is as shipped, except that loopback may be called.
#[derive(Clone, Debug)]
pub struct Options {
    pub workers: u32,
    pub timeout: &'static str,
    pub retries: &'static [&'static str],
    /// Keys of `[delivery]`, one a line.
    pub delivery: &'static str,
    /// Keys of `[breaker]`, one a line; most tests want none to open.
    pub breaker: &'static str,
    /// Tables of their own.
    pub more: String,
    /// Where it is not `<dir>/data`.
    pub data_dir: Option<PathBuf>,
    /// Of the process, beside the test's own.
    pub environment: &'static [(&'static str, &'static str)],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 2,
            timeout: "5s",
            retries: &["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"],
            delivery: "",
            breaker: "min_requests = 1000000",
            more: String::new(),
            data_dir: None,
            environment: &[],
        }
    }
}

impl Options {
    pub fn data_dir(&self, dir: &Path) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| dir.join("data"))
    }

    fn toml(&self, dir: &Path) -> String {
        let retries: Vec<_> = self.retries.iter().map(|wait| format!("\"{wait}\"")).collect();
        let mut text = format!("data_dir = \"{}\"\n", self.data_dir(dir).display());
        let _ = write!(
            text,
            "[admin]\nlisten = \"127.0.0.1:0\"\n\
             [workers]\ncount = {}\npin = false\n\
             [delivery]\ntimeout = \"{}\"\nretry_schedule = [{}]\nretry_jitter = 0.0\n{}\n\
             [breaker]\n{}\n\
             [egress]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n{}\n",
            self.workers,
            self.timeout,
            retries.join(", "),
            self.delivery,
            self.breaker,
            self.more
        );
        text
    }
}

/// A start that failed: how it ended and what it said.
#[derive(Debug)]
pub struct Refused {
    pub status: ExitStatus,
    pub lines: Vec<String>,
}

pub struct Engine {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    pub admin: SocketAddr,
    pub socket: PathBuf,
    pub token: String,
    /// From the start of the process to its line.
    pub ready_after: Duration,
}

fn read_lines(child: &mut Child) -> (Arc<Mutex<Vec<String>>>, Receiver<String>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line.clone());
            let _ = sender.send(line);
        }
    });
    (lines, receiver)
}

/// Starts the binary with arguments of its own and gives its standard error by lines.
pub fn spawn(arguments: &[&str], dir: &Path) -> Child {
    spawn_in(arguments, dir, &[])
}

fn spawn_in(arguments: &[&str], dir: &Path, environment: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(arguments)
        .current_dir(dir)
        .env_remove("POSTRIDER_OPERATOR_TOKEN")
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

impl Engine {
    pub fn start(dir: &Path, options: &Options) -> Self {
        Self::try_start(dir, options).unwrap_or_else(|refused| panic!("it does not start: {refused:?}"))
    }

    pub fn try_start(dir: &Path, options: &Options) -> Result<Self, Refused> {
        let file = dir.join("config.toml");
        fs::write(&file, options.toml(dir)).unwrap();
        let started = Instant::now();
        let arguments = ["serve", "--config", file.to_str().unwrap()];
        let mut child = spawn_in(&arguments, dir, options.environment);
        let (lines, said) = read_lines(&mut child);
        let ready = loop {
            match said.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(" is ready: ") => break line,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let status = child.wait().unwrap();
                    return Err(Refused { status, lines: lines.lock().unwrap().clone() });
                }
                Err(RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    panic!("not ready after {PATIENCE:?}: {:?}", lines.lock().unwrap());
                }
            }
        };
        let ready_after = started.elapsed();
        let data_dir = options.data_dir(dir);
        let admin = ready.rsplit("http://").next().and_then(|address| address.trim().parse().ok());
        let token = fs::read_to_string(data_dir.join("operator.token")).unwrap().trim().to_owned();
        Ok(Self {
            child,
            lines,
            admin: admin.unwrap_or_else(|| panic!("no address in {ready:?}")),
            socket: data_dir.join("ingest.sock"),
            token,
            ready_after,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process is gone when this returns; it had no chance to say goodbye.
    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Killed and started again, on the same directory.
    pub fn restart(&mut self, dir: &Path, options: &Options) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        *self = Self::start(dir, options);
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Stops it in good order and gives its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.ask_to_stop();
        self.wait()
    }

    pub fn wait(&mut self) -> Option<i32> {
        let ended = until("the process to end", || self.child.try_wait().unwrap().ok_or("it still runs"));
        ended.code()
    }

    pub fn said(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub fn ingest(&self) -> Ingest {
        Ingest::open(&self.socket).unwrap()
    }

    /// A call of the admin API as operator; `path` without `/api/v1`.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = body.map(Value::to_string).unwrap_or_default();
        call(self.admin, method, &format!("/api/v1{path}"), &headers, body.as_bytes()).unwrap()
    }

    /// Something outside of `/api`.
    pub fn get(&self, path: &str) -> Answer {
        call(self.admin, "GET", path, &[], b"").unwrap()
    }

    /// A subscription to `events` at `url`; `more` goes into the body. Gives its id.
    pub fn subscribe(
        &self,
        to: &Endpoint,
        account: &str,
        path: &str,
        events: &[&str],
        more: &Value,
    ) -> String {
        let id = self.subscribe_url(account, &to.url(path), events, more);
        to.trust(&id, &self.secret(account, &id));
        id
    }

    /// The same at a URL of which this kit knows nothing.
    pub fn subscribe_url(&self, account: &str, url: &str, events: &[&str], more: &Value) -> String {
        let mut body = json!({"name": url, "callbackUrl": url, "events": events});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let made = self.api("POST", &format!("/accounts/{account}/subscriptions"), Some(&body)).want(201);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    pub fn secret(&self, account: &str, id: &str) -> String {
        let answer =
            self.api("GET", &format!("/accounts/{account}/subscriptions/{id}/secret"), None).want(200);
        answer.json()["secret"].as_str().unwrap().to_owned()
    }

    pub fn subscription(&self, account: &str, id: &str) -> Value {
        self.api("GET", &format!("/accounts/{account}/subscriptions/{id}"), None).want(200).json()
    }

    pub fn patch(&self, account: &str, id: &str, change: &Value) -> Value {
        self.api("PATCH", &format!("/accounts/{account}/subscriptions/{id}"), Some(change)).want(200).json()
    }

    pub fn attempts(&self, account: &str, id: &str, event: &str) -> Vec<Value> {
        let path = format!("/accounts/{account}/subscriptions/{id}/deliveries/{event}/attempts");
        self.api("GET", &path, None).want(200).json()["items"].as_array().unwrap().clone()
    }

    /// The delivery of one event to one subscription, if there is one.
    pub fn delivery(&self, account: &str, id: &str, event: &str) -> Option<Value> {
        let path = format!("/accounts/{account}/deliveries?subscriptionId={id}&eventId={event}");
        self.api("GET", &path, None).want(200).json()["items"].as_array().unwrap().first().cloned()
    }

    /// Waits until the delivery has this status.
    pub fn until_status(&self, account: &str, id: &str, event: &str, status: &str) -> Value {
        until(&format!("{event} to be {status}"), || {
            let found = self.delivery(account, id, event);
            found.clone().filter(|found| found["status"] == status).ok_or(found)
        })
    }

    /// The value of a metric, labels as they are written; the sum over them where `name` has none.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").want(200).text();
        let of = |line: &str| {
            let (key, value) = line.rsplit_once(' ')?;
            let plain = key.split('{').next()?;
            (key == name || plain == name).then(|| value.parse::<f64>().ok())?
        };
        text.lines().filter(|line| !line.starts_with('#')).filter_map(of).sum()
    }

    pub fn until_metric(&self, name: &str, patience: Duration, fits: impl Fn(f64) -> bool) -> f64 {
        until_within(&format!("a value of {name}"), patience, || {
            let value = self.metric(name);
            if fits(value) { Ok(value) } else { Err(value) }
        })
    }

    /// Waits until the log has `head` events and nothing waits for its first attempt, nor a retry.
    pub fn until_settled(&self, head: u64) {
        let patience = PATIENCE * 2;
        for name in ["head", "low_watermark"] {
            self.until_metric(&format!("postrider_log_{name}"), patience, |at| at == head as f64);
        }
        for name in ["lagging_subscriptions", "retries_waiting", "queued", "in_flight"] {
            self.until_metric(&format!("postrider_{name}"), patience, |value| value == 0.0);
        }
    }

    /// The same where the number of events is not known: the figures, which are renewed once a second, must
    /// say twice that nothing is left. Gives the number of events.
    pub fn until_quiet(&self) -> u64 {
        const RENEWED: Duration = Duration::from_millis(1500);
        let mut quiet: Option<(f64, Instant)> = None;
        until_within("everything to be settled", PATIENCE * 2, || {
            let names = ["lagging_subscriptions", "retries_waiting", "queued", "in_flight"];
            let [head, low] =
                ["head", "low_watermark"].map(|name| self.metric(&format!("postrider_log_{name}")));
            let left = names.map(|name| self.metric(&format!("postrider_{name}")));
            match quiet {
                Some((before, since)) if before == head && since.elapsed() >= RENEWED => {
                    return Ok(head as u64);
                }
                Some((before, _)) if before == head && head == low && left == [0.0; 4] => {}
                _ => quiet = (head == low && left == [0.0; 4]).then(|| (head, Instant::now())),
            }
            Err((head, low, left))
        })
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Gone already where the test has stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            eprintln!("the engine said:\n{}", lines.join("\n"));
        }
    }
}
