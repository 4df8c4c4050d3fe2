//! TLS towards receivers: whom to trust, what to show, and what it means when it fails.
//!
//! Roots are read once and shared by all workers. Each worker has its own client configuration, because
//! the sessions that it keeps for resumption stand behind a lock; a client certificate has a
//! configuration to itself, so that no session of one subscription is ever resumed by another.
//! Failures are told apart by rustls's own types, never by a text.
//! Deliberately absent: a way not to verify, early data (a request that can be replayed), and revocation,
//! for which nothing is fetched.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use super::counts::Protocol;
use crate::model::{AttemptError, Authority, ClientIdentity, ErrorKind};

/// Sessions that a worker keeps to resume, some kilobytes each; rustls keeps eight of one host at most.
/// At the bound the oldest host's are forgotten and its next handshake is a whole one.
const SESSIONS_MAX: usize = 2048;
/// The same of a configuration with a client certificate, which speaks with one host alone.
const IDENTITY_SESSIONS_MAX: usize = 8;
/// Names of a wrong certificate that an error repeats.
const NAMES_TOLD_MAX: usize = 4;
/// Bytes of what a receiver said of itself that an error repeats.
const TOLD_LEN_MAX: usize = 200;

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// Which roots are trusted beside the built-in ones.
#[derive(Clone, Debug, Default)]
pub struct TrustOptions {
    /// PEM.
    pub ca_file: Option<PathBuf>,
    /// Those of the system as well.
    pub system_roots: bool,
}

/// Why the roots cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate (PEM)", .path.display())]
    Empty { path: PathBuf },
    #[error("{}: certificate {number} cannot be read", .path.display())]
    Invalid { path: PathBuf, number: usize, source: Box<dyn Error + Send + Sync> },
    #[error("the system has no certificates that can be read")]
    System,
}

/// The roots that receivers' certificates must lead to.
#[derive(Clone, Debug)]
pub struct Trust(Arc<RootCertStore>);

impl Trust {
    /// The built-in roots alone: Mozilla's, as of the build.
    #[must_use]
    pub fn built_in() -> Self {
        Self(Arc::new(built_in()))
    }

    /// # Errors
    /// A file that cannot be read or holds anything but certificates; or no root of the system.
    pub fn load(options: &TrustOptions) -> Result<Self, TrustError> {
        let mut roots = built_in();
        if let Some(path) = &options.ca_file {
            add_file(&mut roots, path)?;
        }
        if options.system_roots {
            // One that cannot be read is the system's matter; it is all of them that tells a mistake.
            let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 {
                return Err(TrustError::System);
            }
        }
        Ok(Self(Arc::new(roots)))
    }
}

fn built_in() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let text = std::fs::read(path).map_err(|source| TrustError::Read { path: path.to_owned(), source })?;
    let mut number = 0;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        number += 1;
        let invalid = |source| TrustError::Invalid { path: path.to_owned(), number, source };
        let certificate = certificate.map_err(|error: PemError| invalid(error.into()))?;
        roots.add(certificate).map_err(|error| invalid(error.into()))?;
    }
    if number == 0 { Err(TrustError::Empty { path: path.to_owned() }) } else { Ok(()) }
}

/// Why a client certificate cannot be shown. Never says anything of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the client certificate is no PEM certificate")]
    Certificate,
    #[error("the client certificate's key is no PEM private key that is known here")]
    Key,
    #[error("the client certificate and its key do not belong together")]
    Pair,
}

/// Whether `identity` can be shown, before any connection wants it.
///
/// # Errors
/// See [`IdentityError`].
pub fn check_identity(identity: &ClientIdentity) -> Result<(), IdentityError> {
    config(&Trust::built_in(), Some(identity), IDENTITY_SESSIONS_MAX).map(|_| ())
}

/// What one worker opens its connections with.
pub(super) struct Tls {
    trust: Trust,
    anonymous: Option<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(trust: Trust) -> Self {
        // `None` only if ring and rustls did not fit together, which the tests would see.
        let anonymous = config(&trust, None, SESSIONS_MAX).ok().map(Arc::new);
        Self { trust, anonymous }
    }

    /// What a host's connections are configured with: the worker's own where there is nothing to show.
    pub(super) fn config(
        &self,
        identity: Option<&ClientIdentity>,
    ) -> Result<Arc<ClientConfig>, IdentityError> {
        match (identity, &self.anonymous) {
            (None, Some(anonymous)) => Ok(anonymous.clone()),
            (identity, _) => config(&self.trust, identity, IDENTITY_SESSIONS_MAX).map(Arc::new),
        }
    }
}

fn config(
    trust: &Trust,
    identity: Option<&ClientIdentity>,
    sessions: usize,
) -> Result<ClientConfig, IdentityError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| IdentityError::Pair)?
        .with_root_certificates(trust.0.clone());
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = read_identity(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(|_| IdentityError::Pair)?
        }
    };
    config.resumption = Resumption::in_memory_sessions(sessions);
    Ok(config)
}

type Chain = Vec<CertificateDer<'static>>;

fn read_identity(identity: &ClientIdentity) -> Result<(Chain, PrivateKeyDer<'static>), IdentityError> {
    let chain: Chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| IdentityError::Certificate)?;
    if chain.is_empty() {
        return Err(IdentityError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| IdentityError::Key)?;
    Ok((chain, key))
}

/// Whom the certificate must name: the host of the callback URL, a name or an address.
pub(super) fn server_name(authority: &Authority) -> Result<ServerName<'static>, AttemptError> {
    ServerName::try_from(authority.host.to_string()).map_err(|_| AttemptError {
        kind: ErrorKind::Tls,
        message: format!("no certificate can name {}", authority.host),
    })
}

/// What a handshake that failed means for an attempt.
pub(super) fn handshake_failed(error: &io::Error, authority: &Authority) -> AttemptError {
    if let Some(failed) = failed(error) {
        return failed;
    }
    let message = if error.kind() == io::ErrorKind::UnexpectedEof {
        format!("{authority} closed the connection during the TLS handshake")
    } else {
        format!("the connection to {authority} failed during the TLS handshake: {error}")
    };
    AttemptError { kind: ErrorKind::Tls, message }
}

/// What an error of a connection means where TLS is its cause; `None` where it is not.
pub(super) fn failed(error: &io::Error) -> Option<AttemptError> {
    let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(AttemptError { kind: ErrorKind::Tls, message: explain(cause) })
}

fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => explain_certificate(why),
        rustls::Error::NoCertificatesPresented => "the receiver shows no certificate".to_owned(),
        rustls::Error::NoApplicationProtocol
        | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the receiver speaks none of the protocols that are offered".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the receiver asks for a client certificate".to_owned()
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) => {
            "the receiver speaks no version of TLS that is offered (1.2, 1.3)".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the receiver refused TLS: {alert:?}"),
        rustls::Error::InvalidMessage(_) => "the receiver's answer is not TLS".to_owned(),
        rustls::Error::PeerIncompatible(why) => {
            shortened(&format!("the receiver and this engine have no TLS in common: {why:?}"))
        }
        other => shortened(&format!("TLS failed: {other}")),
    }
}

fn explain_certificate(error: &CertificateError) -> String {
    let what = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet",
        CertificateError::UnknownIssuer => "is signed by an unknown issuer",
        CertificateError::Revoked => "is revoked",
        CertificateError::BadSignature => "has a wrong signature",
        CertificateError::BadEncoding => "cannot be read",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not meant for servers"
        }
        CertificateError::NotValidForName => "is for another name",
        CertificateError::NotValidForNameContext { expected, presented } => {
            return wrong_name(&expected.to_str(), presented);
        }
        other => return shortened(&format!("the receiver's certificate is not accepted: {other}")),
    };
    format!("the receiver's certificate {what}")
}

fn wrong_name(expected: &str, presented: &[String]) -> String {
    let mut message = format!("the receiver's certificate is not for {expected}");
    for (at, name) in presented.iter().take(NAMES_TOLD_MAX).enumerate() {
        // rustls has them as `DnsName("example.org")`.
        let name = name.split('"').nth(1).unwrap_or(name);
        // Writing to a String does not fail.
        let _ = write!(message, "{} {name}", if at == 0 { ", but for" } else { "," });
    }
    if presented.len() > NAMES_TOLD_MAX {
        let _ = write!(message, " and {} more", presented.len() - NAMES_TOLD_MAX);
    }
    shortened(&message)
}

/// What stems from a receiver is told in one line of bounded length.
fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TOLD_LEN_MAX).collect()
}

/// The protocols to offer, the favourite first.
pub(super) fn offer(http2_only: bool) -> Vec<Vec<u8>> {
    if http2_only { vec![HTTP_2.to_vec()] } else { vec![HTTP_2.to_vec(), HTTP_1.to_vec()] }
}

/// What the receiver has chosen; rustls refuses what was not offered. Without a choice it is HTTP/1.1.
pub(super) fn chosen(alpn: Option<&[u8]>) -> Protocol {
    if alpn == Some(HTTP_2) { Protocol::H2 } else { Protocol::H1 }
}
