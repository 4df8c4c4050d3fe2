//! The rules for single hosts, with the certificates that they name read in.
//!
//! Deliberately absent: whether a certificate is one, which `send` says when it takes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Host};
use crate::model::{ClientIdentity, HostRule, HostRules};

/// A file that the configuration names could not be read.
#[derive(Debug, thiserror::Error)]
#[error("host[{index}].{key}: {} cannot be read", .path.display())]
pub struct HostsError {
    index: usize,
    key: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

pub fn rules(config: &Config) -> Result<HostRules, HostsError> {
    let rules =
        config.hosts.iter().enumerate().map(|(index, host)| Ok((host.host.as_str(), rule(index, host)?)));
    Ok(HostRules::new(rules.collect::<Result<Vec<_>, HostsError>>()?))
}

fn rule(index: usize, host: &Host) -> Result<HostRule, HostsError> {
    let read = |key: &'static str, path: &Path| {
        std::fs::read_to_string(path).map_err(|source| HostsError { index, key, path: path.into(), source })
    };
    let identity = match (&host.client_certificate, &host.client_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(ClientIdentity {
            certificate: read("client_certificate", certificate)?,
            key: read("client_key", key)?,
        })),
        // The configuration refuses one without the other.
        _ => None,
    };
    Ok(HostRule {
        spread: usize::try_from(host.spread).unwrap_or(1),
        max_connections: host.max_connections,
        rate_per_second: host.rate_per_second,
        http2: host.http2,
        identity,
    })
}
