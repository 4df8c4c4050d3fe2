//! The body that every receiver gets (contract §4), built once and in one allocation.
//!
//! `data` goes in byte for byte. Everything else is known to need no escaping, except the catalogue's
//! type ids, which configuration may extend; it is checked rather than assumed.

use bytes::Bytes;

use crate::model::event::BODY_PREFIX;
use crate::model::{AccountName, EventId};

const TYPE: &[u8] = b"\",\"type\":";
const TIMESTAMP: &[u8] = b",\"timestamp\":";
const ACCOUNT: &[u8] = b",\"accountId\":\"";
const DATA: &[u8] = b"\",\"data\":";
/// All that is not a value: the pieces above, four quotes and the last brace.
const FRAME_LEN: usize =
    BODY_PREFIX.len() + TYPE.len() + TIMESTAMP.len() + ACCOUNT.len() + DATA.len() + 4 + 1;

/// What a body is made of.
pub struct Envelope<'a> {
    pub id: &'a EventId,
    /// The catalogue's own name of the type.
    pub type_id: &'a str,
    pub timestamp: &'a str,
    pub account: &'a AccountName,
    /// A JSON object, as it came.
    pub data: &'a str,
}

impl Envelope<'_> {
    /// The exact bytes of the body.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let id = self.id.as_str().as_bytes();
        let account = self.account.as_str().as_bytes();
        let values = id.len() + self.type_id.len() + self.timestamp.len() + account.len() + self.data.len();
        let mut body = Vec::with_capacity(FRAME_LEN + values);
        body.extend_from_slice(BODY_PREFIX);
        body.extend_from_slice(id);
        body.extend_from_slice(TYPE);
        write_string(&mut body, self.type_id);
        body.extend_from_slice(TIMESTAMP);
        write_string(&mut body, self.timestamp);
        body.extend_from_slice(ACCOUNT);
        body.extend_from_slice(account);
        body.extend_from_slice(DATA);
        body.extend_from_slice(self.data.as_bytes());
        body.push(b'}');
        Bytes::from(body)
    }
}

/// Writes `text` as a JSON string, escaped where it needs it.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        for c in text.chars() {
            write_char(out, c);
        }
    }
    out.push(b'"');
}

fn write_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        control if u32::from(control) < 0x20 => {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
        }
        other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_in_the_order_of_the_contract_and_one_allocation() {
        let id = EventId::parse("evt-1").unwrap();
        let account = AccountName::parse("acme").unwrap();
        let (timestamp, data) = ("2026-11-23T14:49:00.000Z", r#"{"b":1.0e5, "a":"\u00fc"}"#);
        let envelope = Envelope { id: &id, type_id: "device.registered", timestamp, account: &account, data };
        let body = envelope.build();
        let want = concat!(
            r#"{"id":"evt-1","type":"device.registered","timestamp":"2026-11-23T14:49:00.000Z","#,
            r#""accountId":"acme","data":{"b":1.0e5, "a":"\u00fc"}}"#
        );
        assert_eq!(body, want);
        assert_eq!(Vec::from(body).capacity(), want.len());
    }

    proptest! {
        #[test]
        fn any_text_survives_as_a_json_string(text in "\\PC*|[\\x00-\\x7f]*") {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
