//! The rules for single hosts, with the certificates that they name read in.
//!
//! A certificate that is none is told here, at the start, and not by every attempt.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Host};
use crate::model::{ClientIdentity, HostRule, HostRules};
use crate::send::tls::{IdentityError, check_identity};

/// What a rule names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    #[error("host[{index}].{key}: {} cannot be read", .path.display())]
    Read { index: usize, key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("host[{index}].{key}")]
    Identity { index: usize, key: &'static str, source: IdentityError },
}

pub fn rules(config: &Config) -> Result<HostRules, HostsError> {
    let rules =
        config.hosts.iter().enumerate().map(|(index, host)| Ok((host.host.as_str(), rule(index, host)?)));
    Ok(HostRules::new(rules.collect::<Result<Vec<_>, HostsError>>()?))
}

/// What is wrong with each of them.
pub fn errors(config: &Config) -> impl Iterator<Item = HostsError> {
    config.hosts.iter().enumerate().filter_map(|(index, host)| rule(index, host).err())
}

fn rule(index: usize, host: &Host) -> Result<HostRule, HostsError> {
    let read = |key: &'static str, path: &Path| {
        std::fs::read_to_string(path).map_err(|source| HostsError::Read {
            index,
            key,
            path: path.into(),
            source,
        })
    };
    let identity = match (&host.client_certificate, &host.client_key) {
        (Some(certificate), Some(key)) => {
            let identity = ClientIdentity {
                certificate: read("client_certificate", certificate)?,
                key: read("client_key", key)?,
            };
            check_identity(&identity).map_err(|source| {
                let key = match source {
                    IdentityError::Certificate => "client_certificate",
                    IdentityError::Key | IdentityError::Pair => "client_key",
                };
                HostsError::Identity { index, key, source }
            })?;
            Some(Arc::new(identity))
        }
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
