//! How a delivery looks on a terminal. Whatever comes from outside is stripped of control characters and
//! bounded, so that a sender can neither steer the terminal nor flood it.

use std::fmt;

use serde::Deserialize;

use crate::cli::text::{body_lines, word};
use crate::model::UnixMillis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    NotChecked,
    Holds,
    Missing,
    Wrong,
    /// It is right, but the time it was made is too far from now.
    Stale,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotChecked => "signature not checked",
            Self::Holds => "signature holds",
            Self::Missing => "signature DOES NOT HOLD: there is none",
            Self::Wrong => "signature DOES NOT HOLD",
            Self::Stale => "signature DOES NOT HOLD: its time is more than 5 minutes off",
        })
    }
}

/// A delivery as it is shown.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    pub(super) at: UnixMillis,
    pub(super) path: &'a str,
    /// Empty where the header is missing; so is `attempt`.
    pub(super) id: &'a str,
    pub(super) attempt: &'a str,
    pub(super) body: &'a [u8],
    pub(super) signature: Signature,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    event_type: std::borrow::Cow<'a, str>,
}

impl fmt::Display for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::str::from_utf8(self.body).ok();
        let typed = text.and_then(|text| serde_json::from_str::<Typed<'_>>(text).ok());
        let event_type = typed.map_or_else(|| "(no type)".to_owned(), |typed| word(&typed.event_type));
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { word(text) };
        writeln!(
            f,
            "{}  {event_type}  {}  attempt {}  {} bytes  {}  {}",
            self.at,
            or(self.id, "(no id)"),
            or(self.attempt, "?"),
            self.body.len(),
            word(self.path),
            self.signature,
        )?;
        for line in body_lines(self.body) {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_in_words() {
        let check = |id: &str, body: &str, want: &str| {
            let delivery = Delivery {
                at: UnixMillis(0),
                path: "/hook",
                id,
                attempt: "2",
                body: body.as_bytes(),
                signature: Signature::Holds,
            };
            assert_eq!(delivery.to_string(), want);
        };
        check(
            "evt-1",
            r#"{"id":"evt-1","type":"user.created","data":{"n":1.0}}"#,
            concat!(
                "1970-01-01T00:00:00.000Z  user.created  evt-1  attempt 2  53 bytes  /hook  signature holds\n",
                "    {\n      \"id\": \"evt-1\",\n      \"type\": \"user.created\",\n",
                "      \"data\": {\n        \"n\": 1.0\n      }\n    }\n"
            ),
        );
        check(
            "",
            "a\u{1b}[2Jb\r\nc",
            concat!(
                "1970-01-01T00:00:00.000Z  (no type)  (no id)  attempt 2  9 bytes  /hook  signature holds\n",
                "    a[2Jb\n    c\n"
            ),
        );
    }
}
