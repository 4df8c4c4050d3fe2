//! nginx as receiver: TLS with HTTP/2 and HTTP/1.1 as the field runs them, with its habits of closing.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hostile::pause;
use crate::http::event;
use crate::identity::{Pair, authority};
use crate::peers_standardwebhooks::installed;
use crate::process::{Engine, Options};
use crate::wait::until;

struct Nginx {
    child: Child,
    dir: PathBuf,
    plain: u16,
    tls: u16,
}

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Nginx {
    /// `http`: directives of the whole; `server`: of the one server, its locations.
    fn start(dir: &Path, http: &str, server: &str) -> Self {
        let pair = authority().pair();
        fs::write(dir.join("server.pem"), pair.certificate).unwrap();
        fs::write(dir.join("server.key"), pair.key).unwrap();
        authority().write(dir);
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let (plain, tls, at) = (port(), port(), dir.display());
        let config = format!(
            r"
            {user}
            daemon off;
            worker_processes 1;
            pid {at}/nginx.pid;
            error_log stderr error;
            events {{ worker_connections 1024; }}
            http {{
                client_body_temp_path {at}/body;
                proxy_temp_path {at}/proxy;
                fastcgi_temp_path {at}/fastcgi;
                uwsgi_temp_path {at}/uwsgi;
                scgi_temp_path {at}/scgi;
                log_format requests '$http_webhook_id $uri $status $server_protocol $connection $ssl_session_reused $ssl_client_fingerprint';
                access_log {at}/requests requests;
                {http}
                server {{
                    listen 127.0.0.1:{plain};
                    listen 127.0.0.1:{tls} ssl http2;
                    ssl_certificate {at}/server.pem;
                    ssl_certificate_key {at}/server.key;
                    ssl_session_cache shared:s:1m;
                    {server}
                }}
            }}
            "
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        installed();
        // Debian has it where only root's PATH leads.
        let program =
            ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let mut child =
            Command::new(program.unwrap_or("nginx")).arg("-p").arg(dir).arg("-c").arg(&file).spawn().unwrap();
        // Somebody else may have taken a port meanwhile: then it ends at once.
        let listening = || {
            if child.try_wait().unwrap().is_some() {
                return Ok(false);
            }
            TcpStream::connect(("127.0.0.1", tls)).map(|_| true)
        };
        if !until("nginx to listen", listening) {
            return Self::start(dir, http, server);
        }
        Self { child, dir: dir.to_owned(), plain, tls }
    }

    /// What came, a line each, as words.
    fn requests(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.dir.join("requests")).unwrap_or_default();
        text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its workers along only if it is asked.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

struct Rig {
    engine: Engine,
    nginx: Nginx,
    _dir: TempDir,
}

impl Rig {
    fn new(http: &str, server: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nginx = Nginx::start(dir.path(), http, server);
        let options =
            Options { retries: &["100ms"; 10], more: authority().trusted(dir.path()), ..Options::default() };
        let engine = Engine::start(dir.path(), &options);
        Self { engine, nginx, _dir: dir }
    }

    fn subscribe(&self, tls: bool, path: &str) -> String {
        let (scheme, port) = if tls { ("https", self.nginx.tls) } else { ("http", self.nginx.plain) };
        self.engine.subscribe_url("acme", &format!("{scheme}://127.0.0.1:{port}{path}"), &["*"], &json!({}))
    }

    fn send(&self, ids: &[String]) {
        let events: Vec<_> = ids.iter().map(|id| event("acme", "user.created", id, r#"{"a":1}"#)).collect();
        self.engine.ingest().send(&events).unwrap().want(202);
    }

    /// Requests by id, where each must have come exactly once and been answered by 204.
    fn exactly_once(&self, count: usize) -> Vec<Vec<String>> {
        let requests = until("the log of requests", || {
            let requests = self.nginx.requests();
            if requests.len() >= count { Ok(requests) } else { Err(requests.len()) }
        });
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for request in &requests {
            assert_eq!(request[2], "204", "{request:?}");
            *times.entry(&request[0]).or_default() += 1;
        }
        assert!(times.len() == count && times.values().all(|times| *times == 1), "{times:?}");
        requests
    }

    fn retried(&self, sub: &str, ids: &[String]) -> usize {
        let again = |id: &&String| {
            let found = self.engine.delivery("acme", sub, id).unwrap();
            assert_eq!(found["status"], "delivered");
            found["attempts"] != 1
        };
        ids.iter().filter(again).count()
    }
}

fn connections(requests: &[Vec<String>]) -> usize {
    let mut numbers: Vec<_> = requests.iter().map(|request| &request[4]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("e-{n}")).collect()
}

#[test]
fn h2_over_tls() {
    let rig = Rig::new("", "location / { return 204; }");
    let sub = rig.subscribe(true, "/");
    let ids = ids(1000);
    ids.chunks(100).for_each(|part| rig.send(part));
    rig.engine.until_settled(1000);
    let requests = rig.exactly_once(1000);
    assert!(requests.iter().all(|request| request[3] == "HTTP/2.0"), "{:?}", requests[0]);
    let connections = connections(&requests);
    println!("1000 requests on {connections} connections");
    assert!(connections <= 4);
    assert_eq!(rig.retried(&sub, &ids), 0);
}

/// nginx ends a connection of HTTP/2 after so many requests with GOAWAY.
#[test]
fn h2_connections_that_end() {
    let rig = Rig::new("keepalive_requests 20;", "location / { return 204; }");
    let sub = rig.subscribe(true, "/");
    let ids = ids(600);
    ids.chunks(30).for_each(|part| rig.send(part));
    rig.engine.until_settled(600);
    let requests = rig.exactly_once(600);
    let (connections, retried) = (connections(&requests), rig.retried(&sub, &ids));
    let resumed = requests.iter().filter(|request| request[5] == "r").count();
    println!(
        "600 requests on {connections} connections, {resumed} on resumed sessions, {retried} tried again"
    );
    assert!(connections >= 10);
    assert_eq!(retried, 0);
    assert!(resumed > 0, "sessions are resumed");
}

/// The same without TLS and with notice: `connection: close`.
#[test]
fn h1_connections_that_end() {
    let rig = Rig::new("keepalive_requests 5;", "location / { return 204; }");
    let sub = rig.subscribe(false, "/");
    let ids = ids(500);
    ids.chunks(25).for_each(|part| rig.send(part));
    rig.engine.until_settled(500);
    let requests = rig.exactly_once(500);
    let (connections, retried) = (connections(&requests), rig.retried(&sub, &ids));
    println!("500 requests on {connections} connections, {retried} tried again");
    assert!(connections >= 100);
    assert_eq!(retried, 0);
}

/// nginx closes connections that were idle for so long without a word: a request that crosses its close was
/// not processed, and comes again.
#[test]
fn h1_connections_that_end_without_notice() {
    let rig = Rig::new("keepalive_timeout 20ms;", "location / { return 204; }");
    let sub = rig.subscribe(false, "/");
    let ids = ids(150);
    for (n, id) in ids.iter().enumerate() {
        rig.send(std::slice::from_ref(id));
        pause(std::time::Duration::from_millis(10 + n as u64 % 20));
    }
    rig.engine.until_settled(150);
    let requests = rig.exactly_once(150);
    println!(
        "150 requests on {} connections, {} tried again",
        connections(&requests),
        rig.retried(&sub, &ids)
    );
    assert!(connections(&requests) > 10, "it does close");
}

#[test]
fn answers_of_nginx() {
    let nowhere = port();
    let server = format!(
        "location /ok {{ return 204; }}
         location /moved {{ return 301 https://127.0.0.1/; }}
         location /closes {{ return 444; }}
         location /gateway {{ proxy_pass http://127.0.0.1:{nowhere}; }}
         location /small {{ client_max_body_size 16; proxy_pass http://127.0.0.1:{nowhere}; }}
         location /limited {{ add_header Retry-After 1 always; return 429; }}
         location /longer {{ return 200 '{}'; }}",
        "x".repeat(3000)
    );
    let rig = Rig::new("", &server);
    for tls in [false, true] {
        let check = |path: &str, status: Value, kind: Value| {
            let sub = rig.subscribe(tls, path);
            let id = format!("e{}-{tls}", path.replace('/', "-"));
            rig.send(std::slice::from_ref(&id));
            let attempt = until(&format!("an attempt at {path}"), || {
                rig.engine.attempts("acme", &sub, &id).into_iter().next().ok_or("none")
            });
            println!("{path} tls {tls}: {} {}", attempt["statusCode"], attempt["error"]["message"]);
            assert_eq!(
                (&attempt["statusCode"], &attempt["error"]["kind"]),
                (&status, &kind),
                "{path}: {attempt}"
            );
            rig.engine.api("DELETE", &format!("/accounts/acme/subscriptions/{sub}"), None).want(204);
        };
        check("/ok", json!(204), Value::Null);
        check("/moved", json!(301), json!("status"));
        check("/closes", Value::Null, json!("reset"));
        check("/gateway", json!(502), json!("status"));
        check("/small", json!(413), json!("status"));
        check("/limited", json!(429), json!("status"));
        check("/longer", json!(200), Value::Null);
    }
}

/// Who asks for a certificate is shown the subscription's own: two of one host never share a connection.
#[test]
fn client_certificates() {
    let rig = Rig::new("", "ssl_verify_client on; ssl_client_certificate ca.pem; location / { return 204; }");
    let shown = |pair: &Pair| json!({"certificate": pair.certificate, "key": pair.key});
    let subs = ["/none", "/a", "/b"].map(|path| rig.subscribe(true, path));
    for sub in &subs[1..] {
        let certificate = shown(&authority().pair());
        let known = rig.engine.patch("acme", sub, &json!({"clientCertificate": certificate}));
        assert_ne!(known["clientCertificate"]["key"], certificate["key"]);
    }
    let ends = |id: &str, statuses: [&str; 3]| {
        rig.send(&[id.to_owned()]);
        for (sub, status) in subs.iter().zip(statuses) {
            rig.engine.until_status("acme", sub, id, status);
        }
    };
    let of = |id: &str, path: &str| {
        let requests = rig.nginx.requests();
        let request = requests.iter().find(|request| request[0] == id && request[1] == path);
        request.unwrap_or_else(|| panic!("{id} at {path}: {requests:?}"))[6].clone()
    };
    for id in ["e-1", "e-2", "e-3"] {
        ends(id, ["dead", "delivered", "delivered"]);
        assert_eq!((of(id, "/a"), of(id, "/b")), (of("e-1", "/a"), of("e-1", "/b")));
    }
    assert_ne!(of("e-1", "/a"), of("e-1", "/b"));
    let renewed = json!({"clientCertificate": shown(&authority().pair())});
    rig.engine.patch("acme", &subs[1], &renewed);
    rig.engine.patch("acme", &subs[2], &json!({"clientCertificate": null}));
    ends("e-4", ["dead", "delivered", "dead"]);
    assert_ne!(of("e-4", "/a"), of("e-1", "/a"));
}
