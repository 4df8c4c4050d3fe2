//! Cases as data: a name, a script, and what the attempt must have become. All of a table run at once against
//! one engine, each behind a host of its own; what is wrong is told of all of them together.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::host::{Deaf, Host, Script};
use super::peer::Peer;
use crate::http::event;
use crate::identity::{Server, authority};
use crate::process::{Engine, Options};
use crate::wait::{PATIENCE, alone, until, until_within};

/// The deadline of an attempt, unless a case has its own.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// How much later than its deadline an attempt may end: its worker shares two cores with all the floods.
const SLACK: Duration = Duration::from_millis(750);
/// Bytes of `data`: more than the small receive buffers take, so that a request can be stuck half-way.
const DATA_LEN: usize = 100 * 1024;
/// Descriptors that may come and go beside those of deliveries: files of the store, calls of the API.
const DESCRIPTORS_SLACK: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Failed {
        /// Several, with `|` between, where the network decides.
        kind: &'static str,
        status: Option<u16>,
        /// Part of the message that the operator reads.
        words: &'static str,
    },
    Delivered {
        status: u16,
    },
}

/// How the URL and the host stand to TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    None,
    /// An `https` URL; the script has the bare socket.
    Raw,
    Server(Server),
}

enum Place {
    Host { small: bool, tls: Tls, script: Script },
    Deaf,
    Nobody,
}

pub struct Case {
    name: &'static str,
    place: Place,
    want: Want,
    /// Excerpt of the answer's body, and whether it is cut off.
    body: Option<(&'static str, bool)>,
    timeout_ms: Option<u64>,
    /// The connection may live on.
    stays: bool,
}

fn case(name: &'static str, place: Place, want: Want) -> Case {
    Case { name, place, want, body: None, timeout_ms: None, stays: false }
}

fn host(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Place {
    Place::Host { small: false, tls: Tls::None, script: Arc::new(script) }
}

/// An attempt that fails without a status.
pub fn fails(
    name: &'static str,
    kind: &'static str,
    words: &'static str,
    script: impl Fn(&mut Peer) + Send + Sync + 'static,
) -> Case {
    case(name, host(script), Want::Failed { kind, status: None, words })
}

/// An attempt that fails by its status.
pub fn refuses(
    name: &'static str,
    status: u16,
    words: &'static str,
    script: impl Fn(&mut Peer) + Send + Sync + 'static,
) -> Case {
    let kind = if status == 410 { "gone" } else { "status" };
    case(name, host(script), Want::Failed { kind, status: Some(status), words })
}

/// An attempt that succeeds in spite of all.
pub fn delivers(name: &'static str, status: u16, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Case {
    case(name, host(script), Want::Delivered { status })
}

/// A host that is there and never accepts.
pub fn deaf(name: &'static str, kind: &'static str, words: &'static str) -> Case {
    case(name, Place::Deaf, Want::Failed { kind, status: None, words })
}

/// A port on which nobody listens.
pub fn nobody(name: &'static str, kind: &'static str, words: &'static str) -> Case {
    case(name, Place::Nobody, Want::Failed { kind, status: None, words })
}

impl Case {
    /// The receiver has little room for what it does not read.
    pub fn small(mut self) -> Self {
        if let Place::Host { small, .. } = &mut self.place {
            *small = true;
        }
        self
    }

    /// The script speaks through TLS.
    pub fn tls(mut self, server: Server) -> Self {
        if let Place::Host { tls, .. } = &mut self.place {
            *tls = Tls::Server(server);
        }
        self
    }

    /// The engine wants TLS, the script has the bare socket.
    pub fn instead_of_tls(mut self) -> Self {
        if let Place::Host { tls, .. } = &mut self.place {
            *tls = Tls::Raw;
        }
        self
    }

    fn scheme(&self) -> &'static str {
        match self.place {
            Place::Host { tls: Tls::Raw | Tls::Server(_), .. } => "https",
            Place::Host { tls: Tls::None, .. } | Place::Deaf | Place::Nobody => "http",
        }
    }

    pub fn body(mut self, text: &'static str, truncated: bool) -> Self {
        self.body = Some((text, truncated));
        self
    }

    pub fn within(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    pub fn stays(mut self) -> Self {
        self.stays = true;
        self
    }
}

enum Running {
    Host(Host),
    Deaf(Deaf),
    Nobody(Socket),
}

impl Running {
    fn start(place: &Place) -> Self {
        match place {
            Place::Host { tls: Tls::Server(server), script, .. } => {
                Self::Host(Host::start_tls(authority().server(*server), Arc::clone(script)))
            }
            Place::Host { small: true, script, .. } => Self::Host(Host::start_small(Arc::clone(script))),
            Place::Host { script, .. } => Self::Host(Host::start(Arc::clone(script))),
            Place::Deaf => Self::Deaf(Deaf::start()),
            Place::Nobody => {
                // Bound and never listening: the port refuses, and nobody else is given it.
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
                Self::Nobody(socket)
            }
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Host(host) => host.address(),
            Self::Deaf(deaf) => deaf.address(),
            Self::Nobody(socket) => socket.local_addr().unwrap().as_socket().unwrap(),
        }
    }
}

/// What is wrong with the attempt, if anything.
fn judge(case: &Case, attempt: &Value) -> Result<(), String> {
    let (error, status) = (&attempt["error"], &attempt["statusCode"]);
    let (want_kind, want_status, words) = match case.want {
        Want::Failed { kind, status, words } => (kind, json!(status), words),
        Want::Delivered { status } => ("delivered", json!(status), ""),
    };
    let kind = error["kind"].as_str().unwrap_or("delivered");
    if want_kind.split('|').all(|want| want != kind) || *status != want_status {
        return Err(format!("wanted {want_kind} with status {want_status}"));
    }
    if !error["message"].as_str().unwrap_or_default().contains(words) {
        return Err(format!("wanted a message with {words:?}"));
    }
    let deadline = case.timeout_ms.map_or(TIMEOUT, Duration::from_millis);
    let took = Duration::from_millis(attempt["durationMs"].as_u64().unwrap_or(u64::MAX / 2));
    if took > deadline + SLACK {
        return Err(format!("took {took:?} of {deadline:?}"));
    }
    let response = &attempt["response"];
    match case.body {
        Some((text, truncated)) if response["body"] != text || response["truncated"] != truncated => {
            Err(format!("wanted the body {text:?}, truncated: {truncated}"))
        }
        _ => Ok(()),
    }
}

/// Runs a table. `more` are tables of the configuration.
pub fn run(cases: &[Case]) {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        timeout: "2s",
        retries: &["1h"],
        delivery: "connect_timeout = \"1s\"",
        more: authority().trusted(dir.path()),
        ..Options::default()
    };
    let engine = Engine::start(dir.path(), &options);
    let descriptors = engine.descriptors();
    let running: Vec<_> = cases.iter().map(|case| Running::start(&case.place)).collect();
    let subscribe = |(case, running): (&Case, &Running)| {
        let url = format!("{}://{}/", case.scheme(), running.address());
        let delivery = case.timeout_ms.map_or(json!({}), |ms| json!({"timeoutMs": ms}));
        engine.subscribe_url("acme", &url, &["*"], &json!({"delivery": delivery}))
    };
    let subs: Vec<_> = cases.iter().zip(&running).map(subscribe).collect();
    let data = format!(r#"{{"x":"{}"}}"#, "x".repeat(DATA_LEN));
    let sent = Instant::now();
    engine.ingest().send(&[event("acme", "user.created", "e", &data)]).unwrap().want(202);
    let mut wrong = String::new();
    for (case, sub) in cases.iter().zip(&subs) {
        let settled = until(&format!("an outcome of: {}", case.name), || {
            let found = engine.delivery("acme", sub, "e");
            found.clone().filter(|found| found["status"] != "pending").ok_or(found)
        });
        let attempt = engine.attempts("acme", sub, "e").remove(0);
        let status = match case.want {
            Want::Delivered { .. } => "delivered",
            Want::Failed { kind: "gone", .. } => "dead",
            Want::Failed { .. } => "retrying",
        };
        let judged = judge(case, &attempt).and_then(|()| {
            let fits = settled["status"] == status && settled["attempts"] == 1;
            fits.then_some(()).ok_or_else(|| format!("the delivery is {settled}"))
        });
        println!(
            "{}: {} {} after {} ms: {}",
            case.name,
            attempt["error"]["kind"].as_str().unwrap_or("delivered"),
            attempt["statusCode"],
            attempt["durationMs"],
            attempt["error"]["message"].as_str().unwrap_or("-"),
        );
        if let Err(why) = judged {
            let _ = writeln!(wrong, "{}: {why}, got {attempt}", case.name);
        }
    }
    println!("{} receivers, all settled after {:?}", cases.len(), sent.elapsed());
    assert!(wrong.is_empty(), "{wrong}");
    let mut stay = 0;
    for (case, running) in cases.iter().zip(&running) {
        match running {
            Running::Host(_) if case.stays => stay += 1,
            Running::Host(host) => host.until_closed(case.name),
            Running::Deaf(_) | Running::Nobody(_) => {}
        }
    }
    // Nothing of all this is left but what may live on.
    until_within("the descriptors to be given back", PATIENCE, || match engine.descriptors() {
        now if now <= descriptors + stay + DESCRIPTORS_SLACK => Ok(()),
        now => Err((descriptors, now)),
    });
    until("the engine to be well", || {
        let ready = engine.get("/readyz");
        if ready.status == 200 { Ok(()) } else { Err(ready.text()) }
    });
    let said = engine.said();
    assert!(!said.iter().any(|line| line.contains("panicked")), "{said:#?}");
}

/// The same of cases that speak HTTP/2 over good TLS.
pub fn run_h2(cases: Vec<Case>) {
    let cases: Vec<_> = cases.into_iter().map(|case| case.tls(Server::Good)).collect();
    run(&cases);
}
