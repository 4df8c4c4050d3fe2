//! `clientCertificate`: what a subscription shows to receivers that ask for a certificate (mTLS).
//!
//! What can be said without knowing certificates is said here: shape, length, kind of PEM. Whether a TLS
//! library takes the pair is asked by whoever has one ([`GivenIdentity::complete`] gives it the pair). The
//! key is masked wherever it is shown; sent back masked it stays, so that a certificate can be renewed
//! without its key.

use std::fmt;

use serde_json::Value;

use super::field::{Errors, FieldError, Object, kind};
use super::headers::MASKED;
use crate::model::ClientIdentity;

/// Bytes at most in a chain of certificates.
pub const CERTIFICATE_LEN_MAX: usize = 32 * 1024;
/// Bytes at most in a private key.
pub const CLIENT_KEY_LEN_MAX: usize = 16 * 1024;

const FIELD: &str = "clientCertificate";
const CERTIFICATE_BEGINS: &str = "-----BEGIN CERTIFICATE-----";

/// A certificate as it was sent: with its key, or with the mask in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenIdentity {
    certificate: String,
    /// `None`: keep the stored key.
    key: Option<String>,
}

impl fmt::Debug for GivenIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenIdentity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl From<ClientIdentity> for GivenIdentity {
    fn from(identity: ClientIdentity) -> Self {
        Self { certificate: identity.certificate, key: Some(identity.key) }
    }
}

impl GivenIdentity {
    /// Puts the stored key where the mask was sent.
    ///
    /// # Errors
    /// There is none.
    pub fn complete(&self, stored: Option<&ClientIdentity>) -> Result<ClientIdentity, FieldError> {
        let key = self.key.clone().or_else(|| stored.map(|stored| stored.key.clone()));
        let key =
            key.ok_or_else(|| FieldError::new(format!("{FIELD}.key"), "is masked, but no key is stored"))?;
        Ok(ClientIdentity { certificate: self.certificate.clone(), key })
    }
}

/// Reads `{"certificate","key"}`, both PEM.
pub fn parse(value: &Value, errors: &mut Errors) -> Option<GivenIdentity> {
    let prefix = format!("{FIELD}.");
    let object = Object::of(value, &prefix, errors)?;
    object.only(&["certificate", "key"], &["fingerprint", "notAfter"], errors);
    let certificate = pem(&object, "certificate", CERTIFICATE_LEN_MAX, errors).and_then(|text| {
        if text.contains("PRIVATE KEY-----") {
            errors.add(object.path("certificate"), "holds a private key, which belongs into `key`");
        } else if text.contains(CERTIFICATE_BEGINS) {
            return Some(text);
        } else {
            errors.add(object.path("certificate"), format!("must be PEM: {CERTIFICATE_BEGINS}…"));
        }
        None
    });
    let key = pem(&object, "key", CLIENT_KEY_LEN_MAX, errors).and_then(|text| {
        if text == MASKED {
            return Some(None);
        }
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
            errors.add(object.path("key"), "must not be encrypted: the engine has no passphrase for it");
        } else if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
            return Some(Some(text));
        } else {
            errors.add(object.path("key"), "must be a private key in PEM: -----BEGIN PRIVATE KEY-----…");
        }
        None
    });
    Some(GivenIdentity { certificate: certificate?, key: key? })
}

fn pem(object: &Object<'_>, name: &str, len_max: usize, errors: &mut Errors) -> Option<String> {
    let said = match object.get(name) {
        Some(Value::String(text)) if text.len() <= len_max => return Some(text.clone()),
        Some(Value::String(text)) => format!("must be at most {len_max} bytes, has {}", text.len()),
        Some(other) => format!("must be a string, is {}", kind(other)),
        None => "is required".to_owned(),
    };
    errors.add(object.path(name), said);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nsesame\n-----END PRIVATE KEY-----\n";

    fn read(value: &Value) -> Result<GivenIdentity, Vec<FieldError>> {
        let mut errors = Errors::default();
        let given = parse(value, &mut errors);
        errors.into_result(given)
    }

    #[test]
    fn what_can_be_seen_without_a_library() {
        let check = |value: Value, want: &[(&str, &str)]| {
            let errors = read(&value).err().unwrap_or_default();
            assert_eq!(errors.len(), want.len(), "{value}: {errors:?}");
            for (error, (field, message)) in errors.iter().zip(want) {
                assert_eq!(error.field, *field);
                assert!(error.message.contains(message) && !error.message.contains("sesame"), "{error:?}");
            }
        };
        let certificate = "clientCertificate.certificate";
        let key = "clientCertificate.key";
        check(json!({"certificate": CERTIFICATE, "key": KEY}), &[]);
        check(json!({"certificate": CERTIFICATE, "key": MASKED}), &[]);
        check(json!({"certificate": CERTIFICATE, "key": KEY.replace("PRIVATE", "EC PRIVATE")}), &[]);
        check(json!("x"), &[("clientCertificate", "an object")]);
        check(json!({}), &[(certificate, "required"), (key, "required")]);
        check(json!({"certificate": 1, "key": null}), &[(certificate, "a number"), (key, "null")]);
        check(json!({"certificate": "x", "key": "sesame"}), &[(certificate, "PEM"), (key, "PEM")]);
        check(json!({"certificate": KEY, "key": KEY}), &[(certificate, "private key")]);
        let encrypted = KEY.replace("PRIVATE", "ENCRYPTED PRIVATE");
        check(json!({"certificate": CERTIFICATE, "key": encrypted}), &[(key, "encrypted")]);
        let long = |len| format!("{CERTIFICATE}{}", "x".repeat(len));
        check(json!({"certificate": long(CERTIFICATE_LEN_MAX), "key": KEY}), &[(certificate, "32768")]);
        check(json!({"certificate": CERTIFICATE, "key": "x".repeat(20_000)}), &[(key, "16384")]);
        let more = json!({"certificate": CERTIFICATE, "key": KEY, "fingerprint": "", "pass": ""});
        check(more, &[("clientCertificate.fingerprint", "server"), ("clientCertificate.pass", "known")]);
    }

    #[test]
    fn a_masked_key_keeps_the_stored_one() {
        let masked = read(&json!({"certificate": CERTIFICATE, "key": MASKED})).expect("valid");
        let stored = ClientIdentity { certificate: "old".to_owned(), key: KEY.to_owned() };
        let renewed = masked.complete(Some(&stored)).expect("complete");
        assert_eq!((renewed.certificate.as_str(), renewed.key.as_str()), (CERTIFICATE, KEY));
        assert_eq!(masked.complete(None).expect_err("none").field, "clientCertificate.key");
        let given = GivenIdentity::from(renewed);
        assert!(!format!("{given:?}").contains("sesame"));
    }
}
