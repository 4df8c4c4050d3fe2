//! The engine: the real binary in a child process, on a fresh store.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::http::Client;

pub const TOKEN: &str = "prt_benchmark_operator_token_0123456789";

/// Where stores of this run lie: beside the build, on a real disk. `BENCH_DIR` chooses another place.
pub fn directory() -> tempfile::TempDir {
    let base = std::env::var_os("BENCH_DIR").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    tempfile::tempdir_in(base).expect("a directory")
}

pub struct Engine {
    child: Child,
    socket: PathBuf,
    admin: String,
    config: PathBuf,
    /// Goes with it, unless it is somebody else's.
    directory_held: Option<tempfile::TempDir>,
}

/// Starts a process and waits until it is ready; gives it and the address of its admin port.
fn spawn(config: &Path) -> (Child, String) {
    // Another build of the same engine, for figures before and after a change.
    let binary = std::env::var_os("BENCH_ENGINE").unwrap_or_else(|| env!("CARGO_BIN_EXE_postrider").into());
    let mut child = Command::new(binary)
        .args(["serve".as_ref(), "--config".as_ref(), config.as_os_str()])
        .env("POSTRIDER_OPERATOR_TOKEN", TOKEN)
        .env("POSTRIDER_LOG", "warn")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the engine starts");
    let mut said = BufReader::new(child.stderr.take().expect("its stderr")).lines().map_while(Result::ok);
    let ready = said.find(|line| line.contains(" is ready: ")).expect("a line when it is ready");
    let admin = ready.trim().rsplit("http://").next().unwrap_or_default().to_owned();
    // Whatever it says later is worth seeing.
    std::thread::spawn(move || said.for_each(|line| eprintln!("{line}")));
    (child, admin)
}

impl Engine {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// `extra`: further lines of the configuration, beginning with a table.
    pub fn start_with(extra: &str) -> Self {
        let directory = directory();
        let mut engine = Self::start_on(directory.path(), extra);
        engine.directory_held = Some(directory);
        engine
    }

    /// On a directory that stays: its store is in `data`.
    pub fn start_on(path: &Path, extra: &str) -> Self {
        let socket = path.join("ingest.sock");
        let config = path.join("config.toml");
        let text = format!(
            "data_dir = \"{data}\"\n[ingest]\nsocket = \"{ingest}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [egress]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n{extra}\n",
            data = path.join("data").display(),
            ingest = socket.display(),
        );
        std::fs::write(&config, text).expect("a configuration");
        let (child, admin) = spawn(&config);
        Self { child, socket, admin, config, directory_held: None }
    }

    /// Kills the process as a crash would, and starts another on the same store.
    pub fn crash(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
        (self.child, self.admin) = spawn(&self.config);
    }

    /// Where its admin port listens.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn ingest(&self) -> Client<UnixStream> {
        Client::new(UnixStream::connect(&self.socket).expect("the socket"))
    }

    /// `count` subscriptions of `account` to everything, in turn to each of `urls`.
    pub fn subscribe(&self, account: &str, urls: &[String], count: usize) {
        let mut client = Client::new(TcpStream::connect(&self.admin).expect("the admin port"));
        for (n, url) in urls.iter().cycle().take(count).enumerate() {
            let body = json!({"name": format!("s{n}"), "callbackUrl": url, "events": ["*"]}).to_string();
            let request = format!(
                "POST /api/v1/accounts/{account}/subscriptions HTTP/1.1\r\nhost: {host}\r\n\
                 authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
                 content-length: {len}\r\n\r\n{body}",
                host = self.admin,
                len = body.len(),
            );
            let (status, answer) = client.call(request.as_bytes());
            assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Nothing of it is needed any more: its store goes with the directory.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
