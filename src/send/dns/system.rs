//! Whom to ask for a name, as the system has it, and asking them.
//!
//! `/etc/hosts` answers first, then the name servers of the configuration or of `/etc/resolv.conf`; both
//! files are read again when they change. A name is first taken as it stands, and only where there is
//! no such name are the search domains tried: the other way round, which some systems have, one of
//! those domains could shadow a receiver's name, and every look-up would cost several.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{NameServerConfigGroup, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::proto::{ProtoError, ProtoErrorKind};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, ResolveError, TokioResolver};

use super::resolver::ResolverOptions;
use super::{ADDRESSES_MAX, DnsError, Found};
use crate::model::Mono;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// Whether the files have changed is looked at so often, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What `/etc/hosts` says holds for this long: it may be edited.
const HOSTS_TTL: Duration = LOOK_EVERY;
/// Repetitions of a question to which there was no answer.
const REPETITIONS: usize = 2;
/// All of a look-up, however many name servers and search domains there are. Below the default of
/// `connect_timeout`, so that the error can say what went wrong.
const LOOKUP_MAX: Duration = Duration::from_millis(4800);
/// For how long addresses of one family wait for those of the other (RFC 8305 §3: resolution delay).
const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(50);
/// What is known of one family alone holds for at most this long.
const HALF_TTL_MAX: Duration = Duration::from_secs(10);

/// The system's configuration as it was read last.
pub(super) struct System {
    options: ResolverOptions,
    asker: Asker,
    look_at: Mono,
    seen: [Option<(SystemTime, u64)>; 2],
}

impl System {
    /// Needs the runtime that look-ups run on.
    pub(super) fn new(options: ResolverOptions) -> Self {
        Self { asker: Asker::new(&options), seen: seen(), look_at: (options.clock)() + LOOK_EVERY, options }
    }

    /// Who is to be asked now.
    pub(super) fn asker(&mut self, now: Mono) -> Asker {
        if self.look_at <= now {
            self.look_at = now + LOOK_EVERY;
            let seen = seen();
            if seen != self.seen {
                self.seen = seen;
                self.asker = Asker::new(&self.options);
            }
        }
        self.asker.clone()
    }
}

fn seen() -> [Option<(SystemTime, u64)>; 2] {
    [RESOLV_CONF, HOSTS].map(|path| {
        let metadata = Path::new(path).metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

/// Asks for names.
#[derive(Clone)]
pub(super) struct Asker {
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
    search: Arc<[Name]>,
    /// A name with at least so many dots is complete.
    dots: usize,
}

impl Asker {
    fn new(options: &ResolverOptions) -> Self {
        let (config, mut opts) = if options.nameservers.is_empty() {
            // As the C library does where the file is missing or names nobody.
            let local = || (config_of(&[(Ipv4Addr::LOCALHOST, 53).into()]), ResolverOpts::default());
            read_system_conf().unwrap_or_else(|_| local())
        } else {
            (config_of(&options.nameservers), ResolverOpts::default())
        };
        // The cache is ours, and so are the hosts: a name in that file is not asked for elsewhere.
        opts.cache_size = 0;
        opts.use_hosts_file = ResolveHosts::Never;
        // The system's five seconds for a lost packet would be all the time there is to connect.
        opts.timeout = opts.timeout.min(options.timeout);
        opts.attempts = REPETITIONS;
        let (search, dots) = (config.search().into(), opts.ndots);
        let mut builder = TokioResolver::builder_with_config(config, TokioConnectionProvider::default());
        *builder.options_mut() = opts;
        Self {
            resolver: builder.build(),
            hosts: Arc::new(Hosts::from_system().unwrap_or_default()),
            search,
            dots,
        }
    }

    pub(super) async fn ask(&self, name: &str) -> Found {
        let timeout = Found::error(DnsError::Timeout, None);
        tokio::time::timeout(LOOKUP_MAX, self.ask_all(name)).await.unwrap_or(timeout)
    }

    async fn ask_all(&self, name: &str) -> Found {
        let Ok(mut absolute) = Name::from_ascii(name) else {
            return Found::error(DnsError::Invalid, None);
        };
        let is_complete = absolute.is_fqdn();
        absolute.set_fqdn(true);
        if let Some(found) = self.ask_hosts(&absolute) {
            return found;
        }
        let found = self.ask_one(absolute.clone()).await;
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        if found.answer != Err(DnsError::NoName) || is_complete || dots >= self.dots {
            return found;
        }
        for domain in self.search.iter() {
            absolute.set_fqdn(false);
            let Ok(mut below) = absolute.clone().append_domain(domain) else { continue };
            below.set_fqdn(true);
            let other = self.ask_one(below).await;
            if other.answer != Err(DnsError::NoName) {
                return other;
            }
        }
        found
    }

    fn ask_hosts(&self, name: &Name) -> Option<Found> {
        let both = [RecordType::AAAA, RecordType::A];
        let known = both.map(|of| self.hosts.lookup_static_host(&Query::query(name.clone(), of)));
        let lines = known.iter().flatten().flat_map(|lookup| lookup.record_iter());
        let addresses: Vec<_> = lines.filter_map(|line| address(line.data())).collect();
        (!addresses.is_empty()).then(|| Found { answer: Ok(addresses.into()), ttl: Some(HOSTS_TTL) })
    }

    /// Both families at once; see [`OTHER_FAMILY_WAIT`].
    async fn ask_one(&self, name: Name) -> Found {
        let mut v6 = std::pin::pin!(self.ask_family(name.clone(), RecordType::AAAA));
        let mut v4 = std::pin::pin!(self.ask_family(name, RecordType::A));
        tokio::select! {
            found = &mut v6 => match other(&found, v4).await {
                Some(v4) => both(found, v4),
                None => half(found),
            },
            found = &mut v4 => match other(&found, v6).await {
                Some(v6) => both(v6, found),
                None => half(found),
            },
        }
    }

    async fn ask_family(&self, name: Name, family: RecordType) -> Found {
        match self.resolver.lookup(name, family).await {
            Ok(lookup) => {
                let mut addresses: Vec<_> =
                    lookup.record_iter().filter_map(|record| address(record.data())).collect();
                addresses.truncate(ADDRESSES_MAX);
                // Aliases count too: each record on the way to the addresses may end first.
                let ttl = lookup.record_iter().map(hickory_resolver::proto::rr::Record::ttl).min();
                let ttl = ttl.map(|seconds| Duration::from_secs(seconds.into()));
                let answer =
                    if addresses.is_empty() { Err(DnsError::NoAddress) } else { Ok(addresses.into()) };
                Found { answer, ttl }
            }
            Err(error) => {
                let (error, ttl) = classify(&error);
                Found::error(error, ttl)
            }
        }
    }
}

fn config_of(nameservers: &[SocketAddr]) -> ResolverConfig {
    let mut group = NameServerConfigGroup::new();
    for address in nameservers {
        group.merge(NameServerConfigGroup::from_ips_clear(&[address.ip()], address.port(), false));
    }
    ResolverConfig::from_parts(None, Vec::new(), group)
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// The other family's answer: however long it takes where it is all there may be, for a moment else.
async fn other(first: &Found, other: impl Future<Output = Found>) -> Option<Found> {
    if first.answer.is_ok() {
        tokio::time::timeout(OTHER_FAMILY_WAIT, other).await.ok()
    } else {
        Some(other.await)
    }
}

/// Addresses of one family where the other could not be had.
fn half(found: Found) -> Found {
    let ttl = found.ttl.map(|ttl| ttl.min(HALF_TTL_MAX));
    Found { ttl, ..found }
}

fn both(v6: Found, v4: Found) -> Found {
    match (v6.answer, v4.answer) {
        (Ok(addresses), Ok(more)) => {
            let all = addresses.iter().chain(more.iter()).copied().collect();
            Found { answer: Ok(all), ttl: v6.ttl.min(v4.ttl) }
        }
        (Ok(addresses), Err(error)) => one(Found { answer: Ok(addresses), ttl: v6.ttl }, &error),
        (Err(error), Ok(addresses)) => one(Found { answer: Ok(addresses), ttl: v4.ttl }, &error),
        (Err(v6_error), Err(v4_error)) => {
            let ttl = v6.ttl.into_iter().chain(v4.ttl).min();
            let errors = [v4_error, v6_error];
            let temporary = errors.iter().find(|error| !error.is_final());
            let no_name = errors.iter().find(|error| **error == DnsError::NoName);
            let error = temporary.or(no_name).unwrap_or(&DnsError::NoAddress).clone();
            Found::error(error, ttl)
        }
    }
}

fn one(found: Found, other: &DnsError) -> Found {
    if other.is_final() { found } else { half(found) }
}

fn classify(error: &ResolveError) -> (DnsError, Option<Duration>) {
    let Some(kind) = error.proto().map(ProtoError::kind) else {
        return (DnsError::Failure(error.to_string().into()), None);
    };
    match kind {
        ProtoErrorKind::NoRecordsFound { response_code, negative_ttl, .. } => {
            let ttl = negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
            match response_code {
                ResponseCode::NXDomain => (DnsError::NoName, ttl),
                ResponseCode::NoError => (DnsError::NoAddress, ttl),
                other => (DnsError::Failure(code(*other).into()), None),
            }
        }
        ProtoErrorKind::Timeout => (DnsError::Timeout, None),
        ProtoErrorKind::Io(error) => (DnsError::Unreachable(error.to_string().into()), None),
        ProtoErrorKind::NoConnections => (DnsError::Unreachable("no connection".into()), None),
        other => (DnsError::Failure(format!("nonsense: {other}").into()), None),
    }
}

/// The name that people know it by.
fn code(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::NotImp => "NOTIMP",
        other => other.to_str(),
    }
}
