//! `postrider demo`: the whole product on one screen, nothing of it staged.
//!
//! The engine runs as it does in `serve`, on a store in a fresh directory. Events of all types of the
//! catalogue go in over its socket; subscriptions are made through its API; a receiver on loopback checks
//! each signature. One subscription's receiver fails now and then, so that retries are seen as well.

mod events;
mod receiver;
mod screen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use url::Url;

use super::api::{self, ApiError};
use super::send::client::Client;
use super::{Done, Failure, print};
use crate::config::{Cidr, Config, FileMode};
use crate::model::Catalogue;
use crate::rt::{clock, random};
use crate::server::{self, Server};

use self::receiver::{Receiver, Tally};
use self::screen::Screen;

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End by itself after this time, such as 30s; without it at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    pub(super) duration: Option<Duration>,
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) rate: u32,
}

/// The account that the demo is about.
pub(super) const ACCOUNT: &str = "acme";
/// How long the end waits for what is still on its way.
const DRAIN_MAX: Duration = Duration::from_secs(15);
/// Steps in which events are written.
const STEP: Duration = Duration::from_millis(100);

/// A directory that is gone with the demo.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let name = random::bytes::<6>().iter().fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        let path = std::env::temp_dir().join(format!("postrider-demo-{name}"));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the demo changes of the defaults, each for a reason.
fn configuration(directory: &Path) -> Config {
    let mut config = Config { data_dir: directory.to_owned(), ..Config::default() };
    config.ingest.socket = directory.join("ingest.sock");
    config.ingest.socket_mode = FileMode(0o600);
    // The receiver is on this machine and speaks plain HTTP.
    config.egress.allow_http = true;
    config.egress.allow_networks = Cidr::parse("127.0.0.0/8").into_iter().collect();
    // Retries are to be seen within the demo.
    config.delivery.retry_schedule = [1, 2, 4].map(Duration::from_secs).to_vec();
    config
}

/// Takes the usual admin address, or any free one where that is taken.
fn start(directory: &Path) -> Result<Server, Failure> {
    let mut config = configuration(directory);
    if std::net::TcpListener::bind(config.admin.listen).is_err() {
        config.admin.listen.set_port(0);
    }
    Ok(server::start(&config)?)
}

pub(super) fn run(args: &DemoArgs) -> Done {
    super::serve::start_logging("warn");
    let scratch = Scratch::new()?;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let server = start(&scratch.0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, show(args, &server, &stop));
    let clean = server.stop();
    let fine = outcome?;
    Ok(if fine && clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(rename = "secret")]
    text: String,
}

/// Makes a subscription through the API, as any client would; gives its id and its secret. Blocks, when
/// nothing else is there to be done yet.
fn subscribe(api: &api::Client, name: &str, url: &str, events: &str) -> Result<(String, String), ApiError> {
    let body = json!({"name": name, "callbackUrl": url, "events": [events]});
    let Made { id } = api.call("POST", &["accounts", ACCOUNT, "subscriptions"]).body(body).send()?.read()?;
    let path = ["accounts", ACCOUNT, "subscriptions", &id, "secret"];
    let Secret { text: secret } = api.call("GET", &path).send()?.read()?;
    Ok((id, secret))
}

async fn show(
    args: &DemoArgs,
    server: &Server,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<bool, Failure> {
    let receiver = Receiver::start().await?;
    let address = Url::parse(&format!("http://{}", server.admin_address()))?;
    let api = api::Client::new(address, Some(server.token().as_str().to_owned()))?;
    for (path, name, events) in [
        ("all", "Data warehouse", "*"),
        ("visitors", "Front desk", "visitor.*"),
        ("flaky", "Flaky chat bot", "user.*"),
    ] {
        let url = format!("http://{}/{path}", receiver.address());
        let (id, secret) = subscribe(&api, name, &url, events)?;
        receiver.expect(&id, path, name, &secret)?;
    }
    print(&screen::intro(server, receiver.address()))?;
    let catalogue = Catalogue::builtin();
    let mut events = events::Events::new(&catalogue);
    let mut client = Client::new(server.socket());
    let mut screen = Screen::new(&catalogue);
    let begun = clock::mono();
    let mut accepted = Tally::default();
    let ended = || {
        let over = args.duration.is_some_and(|duration| clock::mono().since(begun) >= duration);
        over || stop.load(std::sync::atomic::Ordering::Relaxed)
    };
    let mut ticks = tokio::time::interval(STEP);
    while !ended() {
        ticks.tick().await;
        let elapsed_ms = u64::try_from(clock::mono().since(begun).as_millis()).unwrap_or(u64::MAX);
        let due = u64::from(args.rate).saturating_mul(elapsed_ms) / 1000;
        while accepted.events < due && !ended() {
            let many = (due - accepted.events).min(500);
            let (body, kinds) = events.batch(many);
            let answer = client.post("application/x-ndjson", &body).await?;
            accepted.add(&kinds, answer.accepted);
        }
        screen.show(&receiver, &accepted, false)?;
    }
    let deadline = clock::mono() + DRAIN_MAX;
    while receiver.delivered() < accepted.expected() && clock::mono() < deadline {
        tokio::time::sleep(STEP).await;
        screen.show(&receiver, &accepted, false)?;
    }
    screen.show(&receiver, &accepted, true)?;
    let (text, fine) = screen::summary(&receiver, &accepted, clock::mono().since(begun));
    print(&text)?;
    Ok(fine)
}
