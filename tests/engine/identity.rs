//! Certificates made for one run: an authority that the engine trusts, and servers that are what they should be,
//! or are not.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;

/// What is wrong with a server's TLS, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Speaks h2 and HTTP/1.1 by ALPN.
    Good,
    /// Speaks HTTP/1.1 alone, and does not know ALPN.
    Http1,
    /// Of a name that is not called.
    OtherName,
    Expired,
    /// From an authority that nobody trusts.
    Untrusted,
    /// Asks for a client's certificate and does not go on without.
    WantsClient,
    /// Speaks a protocol by ALPN that nobody asked for.
    OtherProtocol,
}

pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key as PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn params(names: &[&str]) -> CertificateParams {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        CertificateParams::new(names).unwrap()
    }

    fn sign(&self, params: &CertificateParams) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// For loopback, by address and by name.
    pub fn pair(&self) -> Pair {
        let (certificate, key) = self.sign(&Self::params(&["127.0.0.1", "localhost"]));
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Writes the authority's certificate and gives the line of `[egress]` that makes it trusted.
    pub fn trusted(&self, dir: &Path) -> String {
        format!("ca_file = \"{}\"", self.write(dir).display())
    }

    pub fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    pub fn server(&self, server: Server) -> Arc<ServerConfig> {
        let mut params = Self::params(match server {
            Server::OtherName => &["receiver.example"],
            _ => &["127.0.0.1", "localhost"],
        });
        if server == Server::Expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let (certificate, key) = match server {
            Server::Untrusted => Self::new("nobody").sign(&params),
            _ => self.sign(&params),
        };
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if server == Server::WantsClient {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.der()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = match server {
            Server::Http1 => Vec::new(),
            Server::OtherProtocol => vec![b"spdy/3".to_vec()],
            _ => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        Arc::new(config)
    }

    fn der(&self) -> rustls::pki_types::CertificateDer<'static> {
        use rustls::pki_types::pem::PemObject as _;
        rustls::pki_types::CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()
    }
}

/// The authority of this run.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("Postrider's tests"))
}
