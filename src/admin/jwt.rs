//! JSON Web Tokens of the platform: their keys, and whether a signature holds.
//!
//! The header's algorithm must be one of the key's own kind, so that nothing can be signed with a public
//! key as if it were a secret; `none` is no algorithm here. Formats of keys and headers are the crate
//! `jsonwebtoken`'s; signatures are checked by `ring`, which TLS brings along. What the claims say is judged
//! by the registry.
//!
//! The files are looked at again when they change, every few seconds at most; where they cannot be read
//! then, the keys that were there go on. Deliberately absent: fetching keys from an address.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, decode_header};
use ring::{hmac, signature};
use serde_json::Value;

use crate::model::UnixMillis;
use crate::registry::{Claims, Vouched};

/// Bytes of a token at most.
const TOKEN_LEN_MAX: usize = 8 * 1024;
/// Bytes of a file of keys at most.
const FILE_LEN_MAX: u64 = 256 * 1024;
/// Keys at most: each may have to be tried.
const KEYS_MAX: usize = 32;
/// Bytes of a secret at least: as many as of the shortest digest (RFC 7518 §3.2).
const SECRET_LEN_MIN: usize = 32;
/// How long files are not looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    #[error("jwt.{key}: {} cannot be read", .path.display())]
    File { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("jwt.key_file: {} must hold a public key as PEM, or a secret of {SECRET_LEN_MIN} visible characters or more on one line", .path.display())]
    Key { path: PathBuf },
    #[error("jwt.jwks_file: {} must hold a JSON Web Key Set of 1 to {KEYS_MAX} keys that can be used", .path.display())]
    Set { path: PathBuf },
}

/// Where the keys are.
#[derive(Clone, Debug, Default)]
pub struct JwtFiles {
    pub key: Option<PathBuf>,
    pub set: Option<PathBuf>,
}

/// Checks tokens that the platform signed.
pub struct Jwt {
    files: JwtFiles,
    claims: Claims,
    held: Mutex<Held>,
}

struct Held {
    keys: Vec<Key>,
    stamps: Vec<Stamp>,
    looked_at: UnixMillis,
}

/// What tells that a file is another one.
type Stamp = Option<(SystemTime, u64)>;

struct Key {
    id: Option<String>,
    /// Where the key names one.
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
}

impl Jwt {
    /// # Errors
    /// Files that cannot be read or hold no keys.
    pub fn open(files: JwtFiles, claims: Claims, now: UnixMillis) -> Result<Self, JwtError> {
        let stamps = files.stamps();
        let held = Held { keys: files.read()?, stamps, looked_at: now };
        Ok(Self { files, claims, held: Mutex::new(held) })
    }

    /// Whom the token vouches for; `None` where it is none, or does not hold.
    pub(super) fn vouch(&self, token: &str, now: UnixMillis) -> Option<Vouched> {
        if token.len() > TOKEN_LEN_MAX {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (_, payload) = message.split_once('.')?;
        let header = decode_header(token).ok()?;
        // What must be understood and is not (RFC 7515 §4.1.11).
        if header.crit.is_some() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            self.look_again(&mut held, now);
            let fits = |key: &&Key| {
                key.decoding.family() == header.alg.family()
                    && key.algorithm.is_none_or(|own| own == header.alg)
                    && (header.kid.is_none() || key.id.is_none() || key.id == header.kid)
            };
            let holds = |key: &Key| verify(&key.decoding, header.alg, message.as_bytes(), &signature);
            if !held.keys.iter().filter(fits).any(holds) {
                tracing::debug!("a JWT's signature does not hold");
                return None;
            }
        }
        let Value::Object(claims) = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?
        else {
            return None;
        };
        let judged = self.claims.judge(&claims, now);
        // Signed by the platform: its people will want to know what is wrong with it.
        judged.inspect_err(|error| tracing::info!(%error, "a JWT is not taken")).ok()
    }

    fn look_again(&self, held: &mut Held, now: UnixMillis) {
        // A clock that went back looks again at once.
        if held.looked_at <= now && now.since(held.looked_at) < LOOK_AGAIN {
            return;
        }
        held.looked_at = now;
        let stamps = self.files.stamps();
        if stamps == held.stamps {
            return;
        }
        held.stamps = stamps;
        match self.files.read() {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the keys for JWTs were read again");
                held.keys = keys;
            }
            Err(error) => tracing::error!(%error, "the keys for JWTs stay as they were"),
        }
    }
}

/// Whether a token has the shape of one: opaque ones have no dots.
pub fn has_shape(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl JwtFiles {
    /// Whether there are any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.key.is_some() || self.set.is_some()
    }

    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [&self.key, &self.set].into_iter().flatten().map(stamp).collect()
    }

    fn read(&self) -> Result<Vec<Key>, JwtError> {
        let mut keys = Vec::new();
        if let Some(path) = &self.key {
            let key =
                key_of(&bytes_of("key_file", path)?).ok_or_else(|| JwtError::Key { path: path.clone() })?;
            keys.push(Key { id: None, algorithm: None, decoding: key });
        }
        if let Some(path) = &self.set {
            let set = set_of(&bytes_of("jwks_file", path)?).filter(|set| (1..=KEYS_MAX).contains(&set.len()));
            keys.extend(set.ok_or_else(|| JwtError::Set { path: path.clone() })?);
        }
        Ok(keys)
    }
}

fn bytes_of(key: &'static str, path: &Path) -> Result<Vec<u8>, JwtError> {
    use std::io::Read as _;
    let failed = |source| JwtError::File { key, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_LEN_MAX).read_to_end(&mut bytes))
        .map_err(failed)?;
    Ok(bytes)
}

/// A public key as PEM, or a secret as it is (without the end of its line).
fn key_of(bytes: &[u8]) -> Option<DecodingKey> {
    let text = bytes.trim_ascii();
    if !text.starts_with(b"-----BEGIN") {
        return may_be_secret(text).then(|| DecodingKey::from_secret(text));
    }
    if text.windows(11).any(|part| part == b"PRIVATE KEY") {
        return None;
    }
    let kinds = [DecodingKey::from_ed_pem, DecodingKey::from_ec_pem, DecodingKey::from_rsa_pem];
    kinds.into_iter().find_map(|kind| kind(text).ok())
}

/// One line of visible characters that is no public key in another dress (a set of keys, PEM after a
/// comment or without its armour): taken as a secret, it would be one that everybody knows.
fn may_be_secret(text: &[u8]) -> bool {
    let is_line = text.iter().all(u8::is_ascii_graphic);
    let is_der = STANDARD.decode(text).is_ok_and(|der| match der.as_slice() {
        [0x30, 0x82, high, low, rest @ ..] => rest.len() == usize::from(u16::from_be_bytes([*high, *low])),
        [0x30, 0x81, length, rest @ ..] | [0x30, length, rest @ ..] => rest.len() == usize::from(*length),
        _ => false,
    });
    text.len() >= SECRET_LEN_MIN && is_line && !text.starts_with(b"{") && !is_der
}

/// The keys of a set that are for signatures and of a known kind.
fn set_of(bytes: &[u8]) -> Option<Vec<Key>> {
    use jsonwebtoken::jwk::PublicKeyUse;
    let set: JwkSet = serde_json::from_slice(bytes).ok()?;
    let signs = |own: &Option<PublicKeyUse>| own.as_ref().is_none_or(|own| *own == PublicKeyUse::Signature);
    let keys = set.keys.iter().filter(|key| signs(&key.common.public_key_use));
    let key = |jwk: &jsonwebtoken::jwk::Jwk| {
        // A key for an algorithm that is not known here is for nothing here.
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(named) => Some(named.to_string().parse::<Algorithm>().ok()?),
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let short = key.family() == AlgorithmFamily::Hmac
            && key.try_get_as_bytes().is_ok_and(|secret| secret.len() < SECRET_LEN_MIN);
        (!short).then(|| Key { id: jwk.common.key_id.clone(), algorithm, decoding: key })
    };
    Some(keys.filter_map(key).collect())
}

/// Whether the signature is this key's. The algorithm's kind must be the key's.
fn verify(key: &DecodingKey, algorithm: Algorithm, message: &[u8], given: &[u8]) -> bool {
    if key.family() != algorithm.family() {
        return false;
    }
    let public = |how: &'static dyn signature::VerificationAlgorithm| {
        let key = key.try_get_as_bytes().map(|key| signature::UnparsedPublicKey::new(how, key));
        key.is_ok_and(|key| key.verify(message, given).is_ok())
    };
    let rsa = |how: &'static signature::RsaParameters| match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            signature::RsaPublicKeyComponents { n, e }.verify(how, message, given).is_ok()
        }
        DecodingKeyKind::SecretOrDer(_) => public(how),
    };
    let secret = |how: hmac::Algorithm| {
        let key = key.try_get_as_bytes().map(|key| hmac::Key::new(how, key));
        key.is_ok_and(|key| hmac::verify(&key, message, given).is_ok())
    };
    match algorithm {
        Algorithm::HS256 => secret(hmac::HMAC_SHA256),
        Algorithm::HS384 => secret(hmac::HMAC_SHA384),
        Algorithm::HS512 => secret(hmac::HMAC_SHA512),
        Algorithm::ES256 => public(&signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => public(&signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::RS256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => rsa(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => rsa(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::EdDSA => public(&signature::ED25519),
        // One that a later version of the crate knows is not one that was judged here.
        _ => false,
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
