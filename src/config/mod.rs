//! Configuration: the structs that mirror `config.toml`, and how text and environment become one.
//!
//! Every key is optional and is named in exactly one list, [`Section::visit`] (in `keys.rs`): reading,
//! printing, the names of environment variables and "did you mean" all walk that list, so none of them
//! can forget a key. All errors are reported together, since an operator fixes a file and not a line.
//!
//! Defaults never contradict what was set: a deadline that is set to 2 s takes the default connect
//! timeout down with it, and only two keys that were both set can be at odds.
//!
//! Deliberately absent: reading files and the process's environment (the command line does), and every
//! component's view of its options (the server makes those).

mod check;
mod document;
mod egress;
mod error;
mod keys;
mod print;
#[cfg(test)]
mod tests;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use egress::{HostName, Port, Proxy};
pub use error::{ConfigError, Place, Problem};
pub use value::{Cidr, FileMode, Origin, Size, parse_duration, write_duration};

use crate::model::CustomType;

/// The feature flag of which `[features]` holds the default.
pub const WEBHOOKS_FLAG: &str = "feature.integrations.webhooks";

/// The effective configuration; complete and checked where it came from [`Config::load`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The store, the operator's token and, by default, the ingest socket are in here.
    pub data_dir: PathBuf,
    pub ingest: Ingest,
    pub admin: Admin,
    pub jwt: Jwt,
    pub workers: Workers,
    pub delivery: Delivery,
    pub breaker: Breaker,
    pub egress: Egress,
    pub retention: Retention,
    pub secrets: Secrets,
    pub features: Features,
    pub hosts: Vec<Host>,
    pub event_types: Vec<CustomType>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// `ingest.sock` in `data_dir` where it is not set.
    pub socket: PathBuf,
    pub socket_mode: FileMode,
    pub listen: Option<SocketAddr>,
    pub max_event_size: Size,
    /// Events in one request.
    pub max_batch: u32,
    pub max_request_size: Size,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Of one token. 0: no limit.
    pub requests_per_second: u32,
    /// Requests of one token that may come at once.
    pub burst: u32,
    /// Pages that may show the console in a frame.
    pub frame_ancestors: Vec<Origin>,
}

/// Tokens that the platform signs for its people. Without a file of keys there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// A public key as PEM, or a secret.
    pub key_file: Option<PathBuf>,
    pub jwks_file: Option<PathBuf>,
    pub issuer: String,
    pub audience: String,
    pub account_claim: String,
    pub role_claim: String,
    pub licence_claim: String,
    pub leeway: Duration,
    pub max_lifetime: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// 0: one per core.
    pub count: u32,
    pub pin: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub max_response_size: Size,
    /// Wait before the second attempt, the third, …; one attempt more than there are waits.
    pub retry_schedule: Vec<Duration>,
    /// Share of each wait by which it varies, 0 to 1.
    pub retry_jitter: f64,
    pub max_in_flight_per_subscription: u32,
    pub max_connections_per_host: u32,
    /// Zero: never.
    pub disable_after: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    pub window: Duration,
    pub min_requests: u32,
    /// Above 0, at most 1.
    pub failure_ratio: f64,
    pub open: Duration,
    pub open_max: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    pub allow_http: bool,
    pub allow_networks: Vec<Cidr>,
    pub allow_hosts: Vec<HostName>,
    pub refuse_ports: Vec<Port>,
    /// Empty: those that the system names.
    pub nameservers: Vec<SocketAddr>,
    pub ca_file: Option<PathBuf>,
    pub system_roots: bool,
    pub proxy: Option<Proxy>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    pub events: Duration,
    pub attempts: Duration,
    pub dead_letters: Duration,
    /// Entries of the audit trail.
    pub audit: Duration,
    pub dedupe_window: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// `secrets.key` in `data_dir` where it is not set.
    pub key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// [`WEBHOOKS_FLAG`] for accounts that have no setting of their own.
    pub webhooks: bool,
}

/// What holds for one receiving host (`[[host]]`) in place of `[delivery]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// `example.com`, or `example.com:8443` for one port of it.
    pub host: String,
    /// Workers over which it is spread.
    pub spread: u32,
    pub max_connections: Option<u32>,
    /// Attempts a second to the whole host.
    pub rate_per_second: Option<f64>,
    /// HTTP/2 without asking, also over plain http.
    pub http2: bool,
    /// PEM, shown to the host when it asks for a client certificate; comes with `client_key`.
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Nothing is sent to these ports: those of mail, name service, shells and files, databases and caches, and of what
/// steers a cluster. They do not speak HTTP, or only for their own; what is sent to them is at best lost and at worst obeyed.
const REFUSED_PORTS: [u16; 29] = [
    21, 22, 23, 25, 53, 110, 111, 135, 139, 143, 389, 445, 465, 587, 636, 993, 995, 1433, 1521, 2049, 2375,
    2379, 2380, 3306, 3389, 5432, 6379, 10250, 11211,
];

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            ingest: Ingest::default(),
            admin: Admin::default(),
            jwt: Jwt::default(),
            workers: Workers { count: 0, pin: true },
            delivery: Delivery::default(),
            breaker: Breaker::default(),
            egress: Egress::default(),
            retention: Retention::default(),
            secrets: Secrets::default(),
            features: Features { webhooks: true },
            hosts: Vec::new(),
            event_types: Vec::new(),
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("data/ingest.sock"),
            socket_mode: FileMode(0o660),
            listen: None,
            max_event_size: Size(256 << 10),
            max_batch: 1000,
            max_request_size: Size(16 << 20),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            requests_per_second: 50,
            burst: 100,
            frame_ancestors: Vec::new(),
        }
    }
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            key_file: None,
            jwks_file: None,
            issuer: String::new(),
            audience: String::new(),
            account_claim: "account".to_owned(),
            role_claim: "role".to_owned(),
            licence_claim: "platform_user".to_owned(),
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(12 * HOUR),
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        let waits = [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, DAY];
        Self {
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            max_response_size: Size(64 << 10),
            retry_schedule: waits.map(Duration::from_secs).to_vec(),
            retry_jitter: 0.2,
            max_in_flight_per_subscription: 64,
            max_connections_per_host: 32,
            disable_after: Duration::from_secs(5 * DAY),
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            min_requests: 10,
            failure_ratio: 0.5,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(5 * MINUTE),
        }
    }
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            allow_http: false,
            allow_networks: Vec::new(),
            allow_hosts: Vec::new(),
            refuse_ports: REFUSED_PORTS.map(Port).to_vec(),
            nameservers: Vec::new(),
            ca_file: None,
            system_roots: false,
            proxy: None,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: Duration::from_secs(7 * DAY),
            attempts: Duration::from_secs(30 * DAY),
            dead_letters: Duration::from_secs(30 * DAY),
            audit: Duration::from_secs(90 * DAY),
            dedupe_window: Duration::from_secs(DAY),
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self {
            host: String::new(),
            spread: 1,
            max_connections: None,
            rate_per_second: None,
            http2: false,
            client_certificate: None,
            client_key: None,
        }
    }
}

impl Config {
    /// Reads the text of a file (`path` only names it in errors) and, over it, the variables of an
    /// environment that begin with `POSTRIDER_`.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the file; variables last.
    pub fn load(
        path: Option<&Path>,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<ConfigError>> {
        document::load(text, environment).map_err(|found| error::report(path, found))
    }

    /// The configuration as TOML, every key written out; [`Self::load`] reads it back to the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        print::to_toml(self)
    }
}
