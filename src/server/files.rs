//! The files that a configuration names, read as a start reads them: what `check-config` tells beyond values.
//!
//! All of them, where a start ends with the first that is wrong. Nothing is made or changed.

use super::hosts::{self, HostsError};
use super::key_file::{self, KeyFileError};
use super::options;
use crate::admin::JwtError;
use crate::config::{Config, Jwt};
use crate::send::tls::TrustError;

/// A file that cannot be used; its text begins with the key that names it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("egress.{key}")]
    Trust { key: &'static str, source: TrustError },
    #[error(transparent)]
    Jwt(#[from] JwtError),
    #[error(transparent)]
    Host(#[from] HostsError),
    #[error("secrets.key_file")]
    Secrets(#[source] KeyFileError),
}

/// What is wrong with them.
#[must_use]
pub fn check(config: &Config) -> Vec<FileError> {
    let mut errors = Vec::new();
    let trust = options::trust(config).err();
    errors.extend(trust.map(|source| FileError::Trust { key: options::trust_key(&source), source }));
    // Each by itself, so that one that is wrong hides no other.
    let only = |jwt: Jwt| options::jwt(&jwt).err().map(FileError::Jwt);
    errors.extend(only(Jwt { jwks_file: None, ..config.jwt.clone() }));
    errors.extend(only(Jwt { key_file: None, ..config.jwt.clone() }));
    errors.extend(hosts::errors(config).map(FileError::Host));
    let key_file = config.secrets.key_file.as_deref();
    errors.extend(key_file.and_then(|path| key_file::check(path).err()).map(FileError::Secrets));
    errors
}
