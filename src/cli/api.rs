//! What every command over the admin API shares: where the engine is, who asks, and for which account.
//!
//! Beside the engine nothing has to be said: the address and the operator's token are found by the same
//! configuration that the engine reads. The token that was found there goes to this machine alone; a
//! server elsewhere is told the one that its user names.

mod client;
pub(super) mod sse;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::Deserialize;
use url::{Host, Url};

pub(super) use self::client::{Answer, ApiError, Call, Client};
use super::{Failure, check_config};

/// Where the operator's token may stand, beside the file that the engine makes.
const OPERATOR_VARIABLE: &str = "POSTRIDER_OPERATOR_TOKEN";
const OPERATOR_FILE: &str = "operator.token";
/// Where nothing else is known.
const SERVER_DEFAULT: &str = "http://127.0.0.1:8080";

/// Where the engine is, and who asks.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerArgs {
    /// The engine's admin address; without it that of ./config.toml, or http://127.0.0.1:8080
    #[arg(long, value_name = "URL", env = "POSTRIDER_SERVER", global = true, value_parser = server_url)]
    server: Option<Url>,
    /// Token to sign in with; without it the operator's, where its file can be read and the server is here
    #[arg(long, value_name = "TOKEN", env = "POSTRIDER_TOKEN", global = true, hide_env_values = true)]
    token: Option<String>,
}

/// For commands about an account.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ApiArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Account that the command is about; may be left out with a token of an account
    #[arg(long, value_name = "ACCOUNT", env = "POSTRIDER_ACCOUNT", global = true)]
    account: Option<String>,
    /// Print the API's JSON: one document, or one a line for lists
    #[arg(long, global = true)]
    json: bool,
}

/// For clap: an address with its scheme; a path before `/api` is kept, as a proxy may have one.
fn server_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write it as {SERVER_DEFAULT}"))?;
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    if fits { Ok(url) } else { Err(format!("write it as {SERVER_DEFAULT}")) }
}

/// A client that knows its account.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) account: String,
    pub(super) json: bool,
}

impl ServerArgs {
    /// The client. Nothing is sent yet.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        // Somewhere else than on the engine's machine there is no configuration, and none is needed.
        let beside = if self.server.is_none() || self.token.is_none() { Beside::look() } else { None };
        let server = match (&self.server, &beside) {
            (Some(server), _) => server.clone(),
            (None, Some(beside)) => beside.server.clone(),
            (None, None) => Url::parse(SERVER_DEFAULT)?,
        };
        let found = || beside.and_then(|beside| beside.token).filter(|_| is_here(&server));
        let token = self.token.clone().filter(|token| !token.is_empty()).or_else(found);
        Ok(Client::new(server, token)?)
    }
}

impl ApiArgs {
    /// The client and the account: the one that was named, or else the token's own.
    pub(super) fn session(&self) -> Result<Session, Failure> {
        let client = self.server.client()?;
        let account = match &self.account {
            Some(account) => account.clone(),
            None => own_account(&client)?,
        };
        Ok(Session { client, account, json: self.json })
    }
}

impl Session {
    /// A call about something of the account.
    pub(super) fn get(&self, path: &[&str]) -> Call<'_> {
        self.call("GET", path)
    }

    pub(super) fn call(&self, method: &'static str, path: &[&str]) -> Call<'_> {
        let mut whole = vec!["accounts", self.account.as_str()];
        whole.extend(path);
        self.client.call(method, &whole)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Me {
    account_id: Option<String>,
}

fn own_account(client: &Client) -> Result<String, Failure> {
    let me: Me = client.call("GET", &["me"]).send()?.read()?;
    me.account_id.ok_or_else(|| Failure::usage("name the account with --account or POSTRIDER_ACCOUNT"))
}

/// What an engine on this machine would be reached by.
struct Beside {
    server: Url,
    token: Option<String>,
}

impl Beside {
    /// `None` where there is no configuration that can be read: whoever asks may be anywhere.
    fn look() -> Option<Self> {
        let config = check_config::load(None).ok()?;
        let server = Url::parse(&format!("http://{}", reachable(config.admin.listen))).ok()?;
        Some(Self { server, token: operator_token(&config.data_dir) })
    }
}

fn operator_token(data_dir: &Path) -> Option<String> {
    let token = std::env::var(OPERATOR_VARIABLE).ok();
    let token = token.or_else(|| std::fs::read_to_string(data_dir.join(OPERATOR_FILE)).ok())?;
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

/// Where to connect to for what listens at `address`. What port 0 became is not to be known.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, if address.port() == 0 { 8080 } else { address.port() })
}

/// Whether a server is on this machine, by its address alone: a name could lead anywhere.
fn is_here(server: &Url) -> bool {
    match server.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}
