//! What the API tells of a client certificate: its fingerprint, and when it ends.
//!
//! Of a certificate only the outermost fields are walked (RFC 5280 §4.1), which needs no library. What
//! cannot be read is told as unknown: the TLS library has already judged the certificate when it was set.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::ClientIdentity;
use crate::registry::MASKED;

/// `clientCertificate` as it is shown; its key never is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    certificate: String,
    key: &'static str,
    /// SHA-256 of the leaf, hexadecimal.
    fingerprint: Option<String>,
    not_after: Option<String>,
}

impl CertificateView {
    pub fn new(identity: &ClientIdentity) -> Self {
        let leaf = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).ok();
        Self {
            certificate: identity.certificate.clone(),
            key: MASKED,
            fingerprint: leaf.as_deref().map(|der| format!("{:x}", Sha256::digest(der))),
            not_after: leaf.as_deref().and_then(not_after),
        }
    }
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first DER element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

/// The content of the first element, which must be a sequence, and what follows it.
fn sequence(der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).and_then(|(tag, content, rest)| (tag == SEQUENCE).then_some((content, rest)))
}

/// The end of validity, as RFC 3339.
fn not_after(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = sequence(certificate)?;
    let (mut fields, _) = sequence(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    let (_, _, after_serial) = element(fields)?;
    let (_, after_algorithm) = sequence(after_serial)?;
    let (_, after_issuer) = sequence(after_algorithm)?;
    let (validity, _) = sequence(after_issuer)?;
    let (_, _, after_begin) = element(validity)?;
    let (tag, time, _) = element(after_begin)?;
    rfc3339(tag, std::str::from_utf8(time).ok()?)
}

/// `YYMMDDHHMMSSZ` (years from 1950) or `YYYYMMDDHHMMSSZ`.
fn rfc3339(tag: u8, time: &str) -> Option<String> {
    let digits = time.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let digits = match (tag, digits.len()) {
        (UTC_TIME, 12) if digits < "50" => format!("20{digits}"),
        (UTC_TIME, 12) => format!("19{digits}"),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
    let (hour, minute, second) = (part(8, 10), part(10, 12), part(12, 14));
    Some(format!("{year}-{month}-{day}T{hour}:{minute}:{second}.000Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(year: i32) -> ClientIdentity {
        let mut params = rcgen::CertificateParams::new(vec!["client".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        ClientIdentity { certificate, key: key.serialize_pem() }
    }

    #[test]
    fn real_certificates() {
        for (year, want) in [(2031, "2031-02-03T00:00:00.000Z"), (2077, "2077-02-03T00:00:00.000Z")] {
            let identity = made(year);
            let view = CertificateView::new(&identity);
            assert_eq!(view.not_after.as_deref(), Some(want));
            assert!(view.fingerprint.is_some_and(|text| text.len() == 64));
            assert_eq!((view.certificate, view.key), (identity.certificate, MASKED));
        }
    }

    #[test]
    fn anything_is_read_or_unknown() {
        use proptest::prelude::*;
        let whole = CertificateDer::from_pem_slice(made(2031).certificate.as_bytes()).expect("a certificate");
        for end in 0..whole.len() {
            assert_eq!(not_after(&whole[..end]), None);
        }
        proptest!(|(at in 0..200usize, byte in any::<u8>(), noise in proptest::collection::vec(any::<u8>(), 0..60))| {
            let mut changed = whole.to_vec();
            changed[at] = byte;
            let _ = (not_after(&changed), not_after(&noise));
        });
    }
}
